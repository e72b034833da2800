"""Claim 13: images in ten classes: accuracy against depth."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.comparing import champion
from repu_lab.claims.contest import LINEAR, ORTHOGONAL, Case, Entries, Grid, contest, learning_curves, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import LEVEL, Array, Comparison, paired_test
from repu_lab.claims.training.depth import shared_grid
from repu_lab.claims.trials import metrics, misclassified
from repu_lab.claims.verdicts import Verdict, provided
from repu_lab.figures.curves import by_depth, by_step
from repu_lab.tasks.datasets import CIFAR10, FASHION_MNIST, MNIST, Dataset, DataUnavailable, cache_folder
from repu_lab.tasks.datasets import images as read_images

MREPU = ("MRePU 1", "MRePU 2")
REPU = ("RePU 2",)
USUAL = ("ReLU", "GELU", "tanh")
BEYOND = "spline RePU 2"  # past the paper: shown, no part of the verdict
NAMES = (*MREPU, *REPU, *USUAL, BEYOND, LINEAR)
MARGIN = 0.01  # of the accuracy: as accurate as another means less accurate by no more than that
LARGER_GRID = Grid(("critical", "pytorch"), ("3e-4", "1e-3"), 1, 4, splits=3)  # their test images stay the same
LARGER_SIZES = ("width=64", "batch_size=128", "steps=600")
LARGER_DEPTHS = (2, 5, 20)


def examine(lab: Lab) -> Evidence:
    """Tune every activation at every depth on the digits, and on the larger sets of images if they can be had."""
    depths = lab.choose(smoke=(2, 5), full=(2, 5, 12, 20))
    cases = [Case("digits", depth, sizes(lab)) for depth in depths]
    least, most = cases[0], cases[-1]
    # The last two are shown beside the others, no part of the verdict.
    residual = [Case("digits, residual", most.depth, (*most.overrides, "residual=true"))]
    turned = [case.orthogonal for case in cases if case.depth > 2]
    # Their learning curves are drawn: judged without `looks=ends`.
    entries = contest(lab, product(NAMES, [*cases, *residual, *turned]), shared_grid(lab), judging=())
    missing = {
        dataset: lab.choose(smoke="is left to the full scale", full=None) or unavailable(dataset)
        for dataset in (MNIST, FASHION_MNIST, CIFAR10)
    }
    larger = [
        Case(dataset.name, depth, (f"task={dataset.name}", *LARGER_SIZES))
        for dataset, depth in product(missing, LARGER_DEPTHS)
        if not missing[dataset]
    ]
    entries |= contest(lab, product(NAMES, larger), LARGER_GRID) if larger else {}
    errors = entries.pooled(NAMES, [*cases, *larger], misclassified)
    sharing = shared_grid(lab).members
    against, beyond_linear = compare(errors, sharing), above_linear(errors, sharing)
    cases += [*larger, *residual, *turned]

    def points(name: str, rival: str) -> list[float]:
        difference = paired_test(errors[rival].mean(0), errors[name].mean(0), sharing=sharing).difference
        return [100 * bound for bound in difference]

    deepest = {case.name: case for case in sorted(cases, key=lambda case: case.depth)}.values()
    accuracy = {case: entries.medians(NAMES, case) for case in deepest}
    return Evidence(
        setup=f"""digits: {cases[0].training}, depths {", ".join(map(str, depths))}, float32;
            {shared_grid(lab)}. Its divisions are of the same 1,797 images and overlap. {ORTHOGONAL.capitalize()}, and
            skip connections at the largest depth, are shown and no part of the verdict: the paper's residual networks
            are convolutional, these are perceptrons. Larger images:
            {_larger_set_up(missing)}.""",
        verdict=judge(errors, sharing),
        reason="; ".join(
            f"median accuracy on {case.name} at depth {case.depth}: "
            + ", ".join(f"{name} {by_name[name]:.1%}" for name in sorted(by_name, key=lambda name: -by_name[name]))
            for case, by_name in accuracy.items()
        )
        + f"; beyond the identity by more than the margin: {', '.join(beyond_linear) or 'none'}",
        seeds=shared_grid(lab).fresh,
        numbers={
            f"median accuracy on {case.name}, depth {case.depth}, {name}": value
            for case, by_name in accuracy.items()
            for name, value in by_name.items()
        },
        tables=[
            Table(
                caption="""Accuracy of MRePU less that of the others in percentage points, means over data and depths,
                    paired by seed: median with its 95 % interval; p-value of the test whether it exceeds minus the
                    margin; effect: share of seeds for which it does not.""",
                columns=("activation", "against", "margin", "difference", "low", "high", "p", "effect"),
                rows=[
                    [name, rival, 100 * margin(rival), *points(name, rival), compared.p_value, compared.effect]
                    for name, rivals in against.items()
                    for rival, compared in rivals.items()
                ],
            ),
            entries.table({"misclassified": misclassified}, "share trained, median share misclassified"),
        ],
        pictures=[
            Picture(
                name="accuracy",
                caption="""Accuracy of fresh networks by depth, median and 95 % interval, each activation at the best
                    setting of the same grid for each depth.""",
                alt="Curves of the accuracy against the number of hidden layers, one an activation.",
                figure=by_depth(entries.curves(NAMES, cases, metrics), "accuracy"),
            ),
            _curves(entries, least, most),
        ],
    )


def compare(errors: Mapping[str, Array], sharing: int = 1) -> dict[str, dict[str, Comparison]]:
    """Compare the shares misclassified with RePU's, and with the usual activations' plus the margin.

    errors: name -> (cases, seeds). Their mean over the cases is compared, since seeds alone are independent;
    `sharing` of them share a division of the data.
    """
    mean = {name: errors[name].mean(0) for name in (*MREPU, *REPU, *USUAL)}
    return {
        name: {
            rival: paired_test(mean[name], mean[rival] + margin(rival), sharing=sharing) for rival in (*REPU, *USUAL)
        }
        for name in MREPU
    }


def above_linear(errors: Mapping[str, Array], sharing: int = 1) -> list[str]:
    """Return the usual activations that misclassify less than the identity by more than the margin."""
    linear = errors[LINEAR].mean(0) - MARGIN
    compared = {name: paired_test(errors[name].mean(0), linear, sharing=sharing) for name in USUAL}
    return [name for name, pair in compared.items() if pair.p_value < 1 - LEVEL and pair.difference.estimate < 0]


def judge(errors: Mapping[str, Array], sharing: int = 1) -> Verdict:
    """Apply the rule to shares misclassified, name -> (cases, seeds): void unless some network beats the linear one."""
    return provided(bool(above_linear(errors, sharing)), champion(compare(errors, sharing)))


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


def _larger_set_up(missing: Mapping[Dataset, str | None]) -> str:
    there = " and ".join(dataset.name for dataset, why in missing.items() if not why)
    depths = ", ".join(map(str, LARGER_DEPTHS))
    how = f"{there}: {Case('', 0, LARGER_SIZES).training}, depths {depths}; {LARGER_GRID}, which all divisions share"
    return "; ".join([*([how] if there else []), *(f"{dataset.name} {why}" for dataset, why in missing.items() if why)])


def _curves(entries: Entries, least: Case, most: Case) -> Picture:
    curves = {
        f"digits, depth {case.depth}": learning_curves({name: entries[name, case] for name in NAMES}, np.nan_to_num)
        for case in (least, most)
    }
    return Picture(
        name="learning",
        caption="""Accuracy on the test split while the networks of the least and of the largest depth train: median and
            quartiles, each activation at its best setting; a network that has ended counts as 0, and a curve
            ends where all of a division have.""",
        alt="Curves of the accuracy against the step, one an activation, for two depths.",
        figure=by_step(curves, "accuracy"),
    )


CLAIM = Claim(
    number=13,
    slug="images",
    family="vision",
    title="Plain MRePU networks of 2 to 20 layers classify images as accurately as the usual activations",
    statement="""Plain MRePU networks of 2 to 20 hidden layers classify images (the digits and, where they can be had,
        MNIST, Fashion-MNIST and CIFAR-10) more accurately than RePU networks, and as accurately as those of ReLU, GELU
        and tanh.""",
    reference="Kim & Kang, arXiv:2408.02697: image classification",
    rule=f"""Each power of MRePU, p = 1 and 2, is compared with RePU (p = 2), ReLU, GELU and tanh by Wilcoxon's
        signed-rank test on the shares misclassified, averaged over data and depths for each seed, with a margin of
        {100 * MARGIN:g} percentage point for all but RePU. Supported if for one p all four misclassify more, the margin
        added (level 5 % over 2, for two chances); refuted if for each p one of the four misclassifies less (5 % over
        4); else inconclusive. Void unless one of ReLU, GELU and tanh misclassifies less than the identity by more
        than that margin (level 5 %), on data that can tell a network from a linear one. Data that cannot be had are
        left out.""",
    cost={"smoke": 11, "full": 800},
    examine=examine,
)
