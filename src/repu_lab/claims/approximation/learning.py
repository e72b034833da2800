"""Claims 10 and 11: learning polynomials and differentiable functions, each activation at its best of one grid."""

from collections.abc import Mapping, Sequence

import numpy as np

from repu_lab.claims.base import Claim, Evidence, Picture, Table, prose
from repu_lab.claims.contest import (
    Case,
    Entries,
    case_rows,
    champion,
    comparison_table,
    decades,
    hold,
    in_order,
    pooled,
    relative_h1,
    relative_l2,
    standing,
)
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison, median_interval
from repu_lab.claims.training.tuning import Grid

MREPU = ("MRePU 1", "MRePU 2")
RIVALS = ("RePU 2", "ReLU", "GELU", "tanh")
BEYOND = "spline RePU 2"  # past the paper: shown, no part of a verdict
NAMES = (*MREPU, *RIVALS, BEYOND)
WIDTH, BATCH = 32, 128
POLYNOMIALS = {
    "x, x^2, xy, xyz": ("task=polynomial",),
    "random, degree 4": ("task=polynomial", "task.target=random"),
}
FUNCTIONS = {
    name: ("task=function", f"task.target={target}")
    for name, target in {"sin 6x": "sin", "Runge": "runge", "Franke": "franke", "|x|^3": "abs3", "bump": "bump"}.items()
}
FUNCTION_DEPTH = 4


def grid_of(lab: Lab) -> Grid:
    """Return the budget of every activation and case."""
    return lab.choose(
        smoke=Grid(("critical", "pytorch"), ("3e-3",), 1, lab.seeds),
        full=Grid(("critical", "small", "pytorch", "he"), ("1e-3", "3e-3", "1e-2"), 2, lab.seeds),
    )


def examine_polynomials(lab: Lab) -> Evidence:
    """Learn every polynomial at every depth."""
    depths = lab.choose(smoke=(2, 4, 8), full=(2, 4, 6, 8))
    targets = lab.choose(smoke=list(POLYNOMIALS)[:1], full=list(POLYNOMIALS))
    cases = _cases(lab, {name: POLYNOMIALS[name] for name in targets}, depths)
    entries = _contest(lab, cases)
    errors = {name: pooled(entries, name, cases, relative_l2) for name in NAMES}
    against = decades(errors, MREPU, RIVALS)
    deepest = [case for case in cases if case.depth == max(depths)]
    return Evidence(
        setup=f"{_set_up(lab)}; depths {', '.join(map(str, depths))}; {grid_of(lab)}.",
        verdict=champion(against),
        reason=prose(f"""median relative L2 error over all depths: {standing(errors)}; at depth {max(depths)} trained:
            {", ".join(f"{name} {_trained(entries, name, deepest):.0%}" for name in NAMES)}"""),
        seeds=lab.seeds,
        numbers={f"median relative L2 error, {name}": float(np.median(errors[name])) for name in NAMES},
        tables=[
            comparison_table(against, "Relative L2 errors of MRePU against the others', geometric means over "
                             "polynomials and depths, paired by seed."),
            Table(
                caption="Fresh networks at the best setting: share trained (R^2 of 0.9), median relative L2 error with "
                "its 95 % interval.",
                columns=("polynomial", "depth", "activation", "initialization", "rate", "trained", "relative L2", "low",
                         "high"),
                rows=case_rows(entries, {"l2": relative_l2}),
            ),
        ],
        pictures=[_depth_picture(entries, targets, depths)],
    )  # fmt: skip


def examine_functions(lab: Lab) -> Evidence:
    """Learn every function at one depth, and compare the errors of the function and of its derivative."""
    targets = lab.choose(smoke=["sin 6x", "Runge", "|x|^3"], full=list(FUNCTIONS))
    cases = _cases(lab, {name: FUNCTIONS[name] for name in targets}, [FUNCTION_DEPTH])
    entries = _contest(lab, cases)
    measures = {"L2": relative_l2, "H1": relative_h1}
    errors = {kind: {name: pooled(entries, name, cases, found) for name in NAMES} for kind, found in measures.items()}
    against = in_both({kind: decades(errors[kind], MREPU, RIVALS) for kind in measures})
    winners = {
        kind: {case.name: in_order({name: found(entries[name, case].fresh) for name in NAMES}) for case in cases}
        for kind, found in measures.items()
    }
    return Evidence(
        setup=f"{_set_up(lab)}; depth {FUNCTION_DEPTH}; {grid_of(lab)} by its L2 error.",
        verdict=champion(against),
        reason="; ".join(
            f"smallest {kind} error: {', '.join(f'{name} {ranked[0]}' for name, ranked in found.items())}; median over "
            f"all functions: {standing(errors[kind])}"
            for kind, found in winners.items()
        ),
        seeds=lab.seeds,
        numbers={
            f"median relative {kind} error, {name}": float(np.median(errors[kind][name]))
            for kind in measures for name in NAMES
        },
        tables=[
            Table(
                caption="Activations by median error, the smallest first.",
                columns=("function", "error", *(f"{place + 1}." for place in range(len(NAMES)))),
                rows=[[name, kind, *ranked] for kind, found in winners.items() for name, ranked in found.items()],
            ),
            comparison_table(against, "Errors of MRePU against the others', geometric means over functions, paired by "
                             "seed."),
            Table(
                caption="Fresh networks at the best setting: share trained (R^2 of 0.99), median relative errors of "
                "the function (L2) and of its derivative (H1) with their 95 % intervals.",
                columns=("function", "depth", "activation", "initialization", "rate", "trained", "L2", "L2 low",
                         "L2 high", "H1", "H1 low", "H1 high"),
                rows=case_rows(entries, measures),
            ),
        ],
        pictures=[_target_picture(entries, cases, measures)],
    )  # fmt: skip


def in_both(by_kind: Mapping[str, Mapping[str, Mapping[str, Comparison]]]) -> dict[str, dict[str, Comparison]]:
    """Put the comparisons of several kinds of error side by side: to win, a champion has to win in each."""
    champions = next(iter(by_kind.values()))
    return {
        one: {f"{rival}, {kind}": found for kind, all_of in by_kind.items() for rival, found in all_of[one].items()}
        for one in champions
    }


def _cases(lab: Lab, targets: Mapping[str, Sequence[str]], depths: Sequence[int]) -> list[Case]:
    sizes = (f"width={WIDTH}", f"batch_size={BATCH}", f"steps={_steps(lab)}")
    return [
        Case(name=name, depth=depth, overrides=(*task, *sizes)) for name, task in targets.items() for depth in depths
    ]


def _contest(lab: Lab, cases: Sequence[Case]) -> Entries:
    refined = [f"task.lbfgs_steps={_lbfgs(lab)}"]
    return hold(lab, NAMES, cases, grid_of(lab), judging=refined, tuning_share=0.4)


def _steps(lab: Lab) -> int:
    return lab.choose(smoke=200, full=1000)


def _lbfgs(lab: Lab) -> int:
    return lab.choose(smoke=0, full=100)


def _set_up(lab: Lab) -> str:
    return (
        f"Width {WIDTH}, {_steps(lab)} steps of Adam in float32 on batches of {BATCH} from 2,048 uniform points, then, "
        f"for the networks that are judged, {_lbfgs(lab)} of L-BFGS in float64 on all of them; errors on 1,024 other "
        "points, at most 1, the error of the answer 0"
    )


def _trained(entries: Entries, name: str, cases: Sequence[Case]) -> float:
    return float(np.mean([entries[name, case].trained.estimate for case in cases]))


def _depth_picture(entries: Entries, targets: Sequence[str], depths: Sequence[int]) -> Picture:
    from repu_lab.figures.claims_learning import by_depth

    by_place = {(name, case.name, case.depth): entry for (name, case), entry in entries.items()}
    panels = {
        target: {
            name: [median_interval(relative_l2(by_place[name, target, depth].fresh)) for depth in depths]
            for name in NAMES
        }
        for target in targets
    }
    return Picture(
        name="polynomials",
        caption="Relative L2 error of fresh networks by depth, median and 95 % interval, each activation at the best "
        "setting of the same grid. 1 is the error of the answer 0.",
        alt="Curves of the error against the number of hidden layers, one an activation.",
        figure=by_depth(panels, dict.fromkeys(targets, depths), "relative $L_2$ error", logarithmic=True),
    )


def _target_picture(entries: Entries, cases: Sequence[Case], measures: Mapping) -> Picture:
    from repu_lab.figures.claims_learning import by_case

    panels = {
        f"{kind}, {word}": {
            name: [median_interval(found(entries[name, case].fresh)) for case in cases] for name in NAMES
        }
        for (kind, found), word in zip(measures.items(), ("the function", "its derivative"), strict=True)
    }
    return Picture(
        name="functions",
        caption="Relative errors of the function and of its derivative, median and 95 % interval of fresh networks, "
        "each activation at the best setting of the same grid.",
        alt="Points with intervals: the errors of every activation for each function, on logarithmic axes.",
        figure=by_case(panels, [case.name for case in cases]),
    )


REFERENCE = "Kim & Kang, arXiv:2408.02697"
RULE = prose("""Each power of MRePU, p = 1 and 2, is compared with each of RePU (p = 2), ReLU, GELU and tanh by
    Wilcoxon's signed-rank test on the logarithms of the errors""")
SEEDS = prose("""averaged for each seed: seeds alone are drawn, so that what follows holds for these cases and the
    settings that tuning found, and three seeds, as in a smoke run, can show nothing""")

POLYNOMIAL = Claim(
    number=10, slug="polynomials", family="approximation",
    title="MRePU learns polynomials better than RePU, ReLU, GELU and tanh",
    statement="Trained on polynomials with 2 to 8 hidden layers, MRePU networks end with a smaller relative L2 error "
    "than networks of RePU, ReLU, GELU and tanh.",
    reference=f"{REFERENCE}: regression of polynomials",
    rule=prose(f"""{RULE} over polynomials and depths, {SEEDS}. Supported if for one p all four errors are larger
        (level 5 % over 2, for two chances); refuted if for each p one of the four is smaller (5 % over 4); else
        inconclusive."""),
    cost={"smoke": 8, "full": 300},
    examine=examine_polynomials,
)  # fmt: skip

FUNCTION = Claim(
    number=11, slug="functions", family="approximation",
    title="MRePU learns differentiable functions and their derivatives better",
    statement="Trained on differentiable functions, MRePU networks end with smaller relative errors of the function "
    "and of its derivative than networks of RePU, ReLU, GELU and tanh.",
    reference=f"{REFERENCE}: approximation of differentiable functions and their derivatives",
    rule=prose(f"""{RULE} of the function (L2) and of its derivative (H1) over the functions, {SEEDS}. Supported if for
        one p all eight errors are larger (level 5 % over 2); refuted if for each p one of the eight is smaller (5 %
        over 8); else inconclusive."""),
    cost={"smoke": 8, "full": 160},
    examine=examine_functions,
)  # fmt: skip
