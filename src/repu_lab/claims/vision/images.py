"""Claim 13: images in ten classes: accuracy against depth."""

from collections.abc import Mapping, Sequence

import numpy as np

from repu_lab.claims.base import Claim, Evidence, Picture, Table, prose
from repu_lab.claims.contest import (
    Array,
    Case,
    Entries,
    case_rows,
    champion,
    hold,
    misclassified,
    pooled,
)
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, median_interval, paired_test
from repu_lab.claims.training.depth import shared_grid
from repu_lab.claims.training.tuning import Grid, scale_of
from repu_lab.tasks.datasets import CIFAR10, FASHION_MNIST, MNIST, Dataset, DataUnavailable, cache_folder
from repu_lab.tasks.datasets import images as read_images

MREPU = ("MRePU 1", "MRePU 2")
REPU = ("RePU 2",)
USUAL = ("ReLU", "GELU", "tanh")
BEYOND = "spline RePU 2"  # past the paper: shown, no part of the verdict
NAMES = (*MREPU, *REPU, *USUAL, BEYOND)
RESIDUAL = "digits, residual"
MARGIN = 0.01  # of the accuracy: as accurate as another means less accurate by no more than that
LARGER_GRID = Grid(("critical", "pytorch"), ("3e-4", "1e-3"), 1, 10)
LARGER_SIZES = ("width=64", "batch_size=128", "steps=600")
LARGER_DEPTHS = (2, 5, 20)


def examine(lab: Lab) -> Evidence:
    """Tune every activation at every depth on the digits, and on the larger sets of images if they can be had."""
    depths = lab.choose(smoke=(2, 5, 10), full=(2, 5, 12, 20))
    cases = [Case(name="digits", depth=depth, overrides=scale_of(lab)) for depth in depths]
    entries = hold(lab, NAMES, cases, shared_grid(lab))
    notes = []
    for dataset in (MNIST, FASHION_MNIST, CIFAR10):
        missing = lab.choose(smoke="is left to the full scale", full=None) or unavailable(dataset)
        if missing:
            notes.append(f"{dataset.name} {missing}")
            continue
        larger = _larger(dataset)
        entries |= hold(lab, NAMES, larger, LARGER_GRID)
        cases += larger
    errors = {name: pooled(entries, name, cases, misclassified) for name in NAMES}
    against = compare(errors)
    residual = [
        Case(name=RESIDUAL, depth=depth, overrides=(*scale_of(lab), "residual=true")) for depth in depths if depth > 2
    ]
    entries |= hold(lab, NAMES, residual, shared_grid(lab))
    cases += residual  # shown beside the others, no part of the verdict
    accuracy = {
        case: {name: 1 - float(np.median(misclassified(entries[name, case].fresh))) for name in NAMES}
        for case in {case.name: case for case in sorted(cases, key=lambda case: case.depth)}.values()  # the deepest
    }
    return Evidence(
        setup=prose(f"""digits: {", ".join(scale_of(lab)[1:])}, depths {", ".join(map(str, depths))}, float32;
            {shared_grid(lab)}. Settings are chosen on the validation split. The same with skip connections is shown and
            no part of the verdict: the paper's residual networks are convolutional, these are perceptrons. Larger
            images: {_larger_set_up(cases, notes)}"""),
        verdict=champion(against),
        reason="; ".join(
            f"median accuracy on {case.name} at depth {case.depth}: "
            + ", ".join(f"{name} {found[name]:.1%}" for name in sorted(found, key=lambda name: -found[name]))
            for case, found in accuracy.items()
        ),
        seeds=shared_grid(lab).members,
        numbers={
            f"median accuracy on {case.name}, depth {case.depth}, {name}": value
            for case, found in accuracy.items() for name, value in found.items()
        },
        tables=[
            Table(
                caption="Accuracy of MRePU less that of the others in percentage points, means over data and depths, "
                "paired by seed: median with its 95 % interval; p-value of the test whether it exceeds minus the "
                "margin; effect: share of seeds for which it does not.",
                columns=("activation", "against", "margin", "difference", "low", "high", "p", "effect"),
                rows=[
                    [one, rival, 100 * margin(rival), *_points(errors[one], errors[rival]), found.p_value, found.effect]
                    for one, rivals in against.items() for rival, found in rivals.items()
                ],
            ),
            Table(
                caption="Fresh networks at the best setting: share trained, median share misclassified with its 95 % "
                "interval.",
                columns=("data", "depth", "activation", "initialization", "rate", "trained", "misclassified", "low",
                         "high"),
                rows=case_rows(entries, {"misclassified": misclassified}),
            ),
        ],
        pictures=[_picture(entries, cases)],
    )  # fmt: skip


def compare(errors: Mapping[str, Array]) -> dict[str, dict[str, Comparison]]:
    """Compare the shares misclassified with RePU's, and with the usual activations' plus the margin.

    errors: name -> (cases, seeds). Their mean over the cases is compared, since seeds alone are independent.
    """
    mean = {name: errors[name].mean(0) for name in (*MREPU, *REPU, *USUAL)}
    return {
        one: {rival: paired_test(mean[one], mean[rival] + margin(rival)) for rival in (*REPU, *USUAL)} for one in MREPU
    }


def margin(rival: str) -> float:
    """Return by how much more MRePU may misclassify."""
    return 0.0 if rival in REPU else MARGIN


def unavailable(dataset: Dataset) -> str | None:
    """Return why a data set cannot be had, None if it can; fetched the first time."""
    folder = cache_folder()
    try:
        read_images(dataset, folder)
    except DataUnavailable as error:
        return str(error).replace(str(folder), "the folder of data")
    return None


def _larger(dataset: Dataset) -> list[Case]:
    task = (f"task={dataset.name}", *LARGER_SIZES)
    return [Case(name=dataset.name, depth=depth, overrides=task) for depth in LARGER_DEPTHS]


def _larger_set_up(cases: Sequence[Case], notes: Sequence[str]) -> str:
    found = [name for name in dict.fromkeys(case.name for case in cases) if name not in ("digits", RESIDUAL)]
    how = f"{', '.join(LARGER_SIZES)}, depths {', '.join(map(str, LARGER_DEPTHS))}; {LARGER_GRID}"
    return "; ".join([*([f"{' and '.join(found)}: {how}"] if found else []), *notes]) + "."


def _points(one: Array, rival: Array) -> list[float]:
    return [100 * bound for bound in median_interval((rival - one).mean(0))]


def _picture(entries: Entries, cases: Sequence[Case]) -> Picture:
    from repu_lab.figures.claims_learning import by_depth

    by_place = {(name, case.name, case.depth): entry for (name, case), entry in entries.items()}
    depths = {
        data: [case.depth for case in cases if case.name == data] for data in dict.fromkeys(c.name for c in cases)
    }
    panels = {
        data: {
            name: [median_interval(1 - misclassified(by_place[name, data, depth].fresh)) for depth in depths[data]]
            for name in NAMES
        }
        for data in depths
    }
    return Picture(
        name="accuracy",
        caption="Accuracy of fresh networks by depth, median and 95 % interval, each activation at the best setting of "
        "the same grid for each depth.",
        alt="Curves of the accuracy against the number of hidden layers, one an activation.",
        figure=by_depth(panels, depths, "accuracy"),
    )


CLAIM = Claim(
    number=13, slug="images", family="vision",
    title="MRePU classifies images as accurately as the usual activations",
    statement="MRePU networks classify images more accurately than RePU networks, and as accurately as those of ReLU, "
    "GELU and tanh, from 2 to 20 hidden layers.",
    reference="Kim & Kang, arXiv:2408.02697: image classification",
    rule=prose(f"""Each power of MRePU, p = 1 and 2, is compared with RePU (p = 2), ReLU, GELU and tanh by Wilcoxon's
        signed-rank test on the shares misclassified, averaged over data and depths for each seed, with a margin of
        {100 * MARGIN:g} percentage point for all but RePU. Supported if for one p all four misclassify more, the margin
        added (level 5 % over 2, for two chances); refuted if for each p one of the four misclassifies less (5 % over
        4); else inconclusive. Data that cannot be had are left out."""),
    cost={"smoke": 7, "full": 300},
    examine=examine,
)  # fmt: skip
