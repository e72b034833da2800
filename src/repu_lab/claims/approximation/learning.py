"""Claims 10 and 11: learning polynomials and differentiable functions, each activation at its best of one grid."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.comparing import champion, decades, in_order, ratio_table, standing
from repu_lab.claims.contest import LINEAR, Case, Entries, Grid, contest
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Comparison
from repu_lab.claims.trials import AT_ENDS, Overrides, relative_h1, relative_l2
from repu_lab.figures.curves import by_depth
from repu_lab.figures.rows import by_case

MREPU = ("MRePU 1", "MRePU 2")
RIVALS = ("RePU 2", "ReLU", "GELU", "tanh")
BEYOND = "spline RePU 2"  # past the paper: it and the identity are shown, no part of a verdict
NAMES = (*MREPU, *RIVALS, BEYOND, LINEAR)
WIDTH, BATCH = 32, 128
POLYNOMIALS = {"x, x^2, xy, xyz": ("task=polynomial",), "random, degree 4": ("task=polynomial", "task.target=random")}
# Beside them, at one depth: another degree, and more inputs. No part of the verdict.
RANDOM = ("task=polynomial", "task.target=random")
BESIDE = {
    "random, degree 6": (*RANDOM, "task.degree=6"),
    "random, degree 4, 4 inputs": (*RANDOM, "task.dimension=4"),
}
FUNCTIONS = {
    name: ("task=function", f"task.target={target}")
    for name, target in {"sin 6x": "sin", "Runge": "runge", "Franke": "franke", "|x|^3": "abs3", "bump": "bump"}.items()
}
FUNCTION_DEPTH = BESIDE_DEPTH = 4
MEASURES = {"L2": relative_l2, "H1": relative_h1}  # of the function, of its derivative


def grid_of(lab: Lab) -> Grid:
    """Return the budget of every activation and case."""
    return lab.choose(
        smoke=Grid(("critical",), ("3e-3",), 1, lab.seeds),
        full=Grid(("critical", "small", "pytorch", "he"), ("1e-3", "3e-3", "1e-2"), 2, 3, splits=4),
    )


def examine_polynomials(lab: Lab) -> Evidence:
    """Learn every polynomial at every depth, and at one depth one of a larger degree and one of more inputs."""
    depths = lab.choose(smoke=(2, 4, 8), full=(2, 4, 8))
    targets = lab.choose(smoke=dict(list(POLYNOMIALS.items())[:1]), full=POLYNOMIALS)
    cases, more = _cases(lab, targets, depths), _cases(lab, lab.choose(smoke={}, full=BESIDE), [BESIDE_DEPTH])
    entries = _contest(lab, [*cases, *more])
    named = "; ".join(case.name for case in more)
    beside = f" Beside them, no part of the verdict, at depth {BESIDE_DEPTH}: {named}." if more else ""
    errors = entries.pooled(NAMES, cases, relative_l2)
    against = decades(errors, MREPU, RIVALS, sharing=grid_of(lab).members)
    trained = {
        name: np.mean([entries[name, case].trained.estimate for case in cases if case.depth == max(depths)])
        for name in NAMES
    }
    return Evidence(
        setup=f"{_set_up(lab)}; depths {', '.join(map(str, depths))}; {grid_of(lab)}.{beside}",
        verdict=champion(against),
        reason=f"""median relative L2 error over all depths: {standing(errors)}; the smallest error:
            {_winners(entries, [*cases, *more])}; at depth {max(depths)} trained:
            {", ".join(f"{name} {share:.0%}" for name, share in trained.items())}""",
        seeds=grid_of(lab).fresh,
        numbers={f"median relative L2 error, {name}": float(np.median(errors[name])) for name in NAMES},
        tables=[
            ratio_table(
                against,
                """Relative L2 errors of MRePU against the others', geometric means over polynomials and depths, paired
                by seed.""",
            ),
            entries.table({"relative L2": relative_l2}, "share trained (R^2 of 0.9), median relative L2 error"),
        ],
        pictures=[
            Picture(
                name="polynomials",
                caption="""Relative L2 error of fresh networks by depth, median and 95 % interval, each activation at
                    the best setting of the same grid. 1 is the error of the answer 0.""",
                alt="Curves of the error against the number of hidden layers, one an activation.",
                figure=by_depth(entries.curves(NAMES, cases, relative_l2), "relative $L_2$ error", logarithmic=True),
            )
        ],
    )


def examine_functions(lab: Lab) -> Evidence:
    """Learn every function at one depth, and compare the errors of the function and of its derivative."""
    targets = lab.choose(smoke={name: FUNCTIONS[name] for name in ("sin 6x", "Runge", "|x|^3")}, full=FUNCTIONS)
    cases = _cases(lab, targets, [FUNCTION_DEPTH])
    entries = _contest(lab, cases)
    errors = {kind: entries.pooled(NAMES, cases, measure) for kind, measure in MEASURES.items()}
    compared = {kind: decades(errors[kind], MREPU, RIVALS, sharing=grid_of(lab).members) for kind in MEASURES}
    against = in_both(compared)
    ranked = {
        (case.name, kind): in_order({name: measure(entries[name, case].records) for name in NAMES})
        for (kind, measure), case in product(MEASURES.items(), cases)
    }
    best = {kind: ", ".join(f"{case.name} {ranked[case.name, kind][0]}" for case in cases) for kind in MEASURES}
    panels = {
        f"{kind}, {of}": {name: [entries[name, case].median(MEASURES[kind]) for case in cases] for name in NAMES}
        for kind, of in (("L2", "the function"), ("H1", "its derivative"))
    }
    return Evidence(
        setup=f"{_set_up(lab)}; depth {FUNCTION_DEPTH}; {grid_of(lab)}, chosen by the L2 error.",
        verdict=champion(against),
        reason="; ".join(
            f"smallest {kind} error: {best[kind]}; median over all functions: {standing(errors[kind])}"
            for kind in MEASURES
        ),
        seeds=grid_of(lab).fresh,
        numbers={
            f"median relative {kind} error, {name}": float(np.median(errors[kind][name]))
            for kind, name in product(MEASURES, NAMES)
        },
        tables=[
            Table(
                caption="Activations by median error, the smallest first.",
                columns=("function", "error", *(f"{place + 1}." for place in range(len(NAMES)))),
                rows=[[*place, *names] for place, names in ranked.items()],
            ),
            ratio_table(
                against, "Errors of MRePU against the others', geometric means over functions, paired by seed."
            ),
            entries.table(
                MEASURES, "share trained (R^2 of 0.99), median relative errors of the function and derivative"
            ),
        ],
        pictures=[
            Picture(
                name="functions",
                caption="""Relative errors of the function and of its derivative, median and 95 % interval of fresh
                    networks, each activation at the best setting of the same grid.""",
                alt="Points with intervals: the errors of every activation for each function, on logarithmic axes.",
                figure=by_case(panels, [case.name for case in cases]),
            )
        ],
    )


def in_both(by_kind: Mapping[str, Mapping[str, Mapping[str, Comparison]]]) -> dict[str, dict[str, Comparison]]:
    """Put the comparisons of several kinds of error side by side: to win, a champion has to win in each."""
    both: dict[str, dict[str, Comparison]] = {}
    for kind, comparisons in by_kind.items():
        for name, rivals in comparisons.items():
            both.setdefault(name, {}).update({f"{rival}, {kind}": compared for rival, compared in rivals.items()})
    return both


def _cases(lab: Lab, targets: Mapping[str, Overrides], depths: Sequence[int]) -> list[Case]:
    sizes = (f"width={WIDTH}", f"batch_size={BATCH}", f"steps={_steps(lab)[0]}")
    return [Case(name, depth, (*task, *sizes)) for name, task in targets.items() for depth in depths]


def _contest(lab: Lab, cases: Sequence[Case]) -> Entries:
    refined = (f"task.newton_steps={_steps(lab)[1]}", AT_ENDS)
    return contest(lab, product(NAMES, cases), grid_of(lab), judging=refined, tuning_share=0.4)


def _winners(entries: Entries, cases: Sequence[Case]) -> str:
    """Say whose median error is the smallest in each case."""
    first = {case: in_order({name: relative_l2(entries[name, case].records) for name in NAMES})[0] for case in cases}
    return ", ".join(f"{name} ({case.name}, depth {case.depth})" for case, name in first.items())


def _steps(lab: Lab) -> tuple[int, int]:
    """Return the steps of Adam, and those of Gauss-Newton for the networks that are judged."""
    return lab.choose(smoke=(100, 0), full=(1000, 20))


def _set_up(lab: Lab) -> str:
    adam, newton = _steps(lab)
    return f"""Width {WIDTH}, {adam} steps of Adam in float32 on batches of {BATCH} from 2,048 uniform points, then, for
        the networks that are judged, {newton} of Gauss-Newton in float64; errors on 1,024 other points, at most 1, the
        error of the answer 0"""


REFERENCE = "Kim & Kang, arXiv:2408.02697"
RULE = """Each power of MRePU, p = 1 and 2, is compared with each of RePU (p = 2), ReLU, GELU and tanh by
    Wilcoxon's signed-rank test on the logarithms of the errors"""
SEEDS = """averaged for each seed: seeds and data alone are drawn, so that what follows holds for these cases and the
    settings that tuning found; seeds that share their data are not independent; three of them, as in a smoke run, can
    show nothing"""

POLYNOMIAL = Claim(
    number=10,
    slug="polynomials",
    family="approximation",
    title="MRePU learns polynomials better than RePU, ReLU, GELU and tanh",
    statement="Trained on polynomials with 2 to 8 hidden layers, MRePU networks end with a smaller relative L2 error "
    "than networks of RePU, ReLU, GELU and tanh.",
    reference=f"{REFERENCE}: regression of polynomials",
    rule=f"""{RULE} over polynomials and depths, {SEEDS}. Supported if for one p all four errors are larger
        (level 5 % over 2, for two chances); refuted if for each p one of the four is smaller (5 % over 4); else
        inconclusive.""",
    cost={"smoke": 9, "full": 730},
    examine=examine_polynomials,
)

FUNCTION = Claim(
    number=11,
    slug="functions",
    family="approximation",
    title="MRePU learns differentiable functions and their derivatives better",
    statement="Trained on differentiable functions, MRePU networks end with smaller relative errors of the function "
    "and of its derivative than networks of RePU, ReLU, GELU and tanh.",
    reference=f"{REFERENCE}: approximation of differentiable functions and their derivatives",
    rule=f"""{RULE} of the function (L2) and of its derivative (H1) over the functions, {SEEDS}. Supported if for
        one p all eight errors are larger (level 5 % over 2); refuted if for each p one of the eight is smaller (5 %
        over 8); else inconclusive.""",
    cost={"smoke": 6, "full": 370},
    examine=examine_functions,
)
