"""Claims 6 and 7: how deep networks of RePU, MRePU and others train, each at its best of the same grid."""

from collections.abc import Mapping, Sequence
from itertools import product

from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.contest import (
    LINEAR,
    Case,
    Entries,
    Grid,
    contest,
    counting,
    counts_if,
    described,
    fresh_table,
    medians_by_depth,
    sizes,
)
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import metrics, share
from repu_lab.claims.verdicts import Verdict, above, below, together
from repu_lab.configs.schema import OUTCOMES
from repu_lab.figures.bars import outcome_bars
from repu_lab.figures.curves import by_depth

REPU = ("RePU 2", "RePU 3")
MREPU = ("MRePU 1", "MRePU 2")
NAMES = (*REPU, *MREPU, "ReLU", "GELU", "tanh", LINEAR)
DEEP = 20  # at each depth from here on RePU's share shall be
NONE = 0.2  # below this
Shares = Mapping[tuple[str, int], Interval]  # of networks that count, by activation and depth


def cases(lab: Lab) -> list[Case]:
    """Return what the claims on depth train, the shallowest first."""
    depths = lab.choose(smoke=(2, 5, 10, 30), full=(2, 3, 5, 8, 12, 20, 30, 50))
    return [Case("XOR", depth, sizes(lab, "xor")) for depth in depths]


def shared_grid(lab: Lab) -> Grid:
    """Return the budget that every activation gets."""
    return lab.choose(
        smoke=Grid(("critical", "small"), ("3e-4", "1e-3"), 3, 6),
        full=Grid(("critical", "small", "pytorch"), ("1e-4", "3e-4", "1e-3", "3e-3"), 3, 10),
    )


def repu_grid(lab: Lab) -> Grid:
    """Return the larger budget that RePU gets alone: no initialization shall save it."""
    return lab.choose(
        # None of 16 is the fewest whose interval ends below NONE.
        smoke=Grid(("critical", "small", "pytorch"), ("3e-4", "1e-3"), 3, 16),
        full=Grid(("critical", "small", "pytorch", "he", "biased"), ("1e-4", "3e-4", "1e-3", "auto"), 3, 20),
    )


def examine_repu(lab: Lab) -> Evidence:
    """Tune RePU at every depth and count what becomes of its networks."""
    grid, entries, shares = _measure(lab, (*REPU, LINEAR), repu_grid(lab))
    # At the best setting: a share of all settings would be small however well one of them trained.
    deep = {name: max(shares[name, case.depth] for case in cases(lab) if case.depth >= DEEP) for name in REPU}
    deepest = {name: deepest_trained(shares, name) for name in REPU}
    return Evidence(
        setup=_set_up(lab, grid),
        verdict=judge_repu(shares),
        reason=f"""at the best setting more than half of the fresh networks count up to depth
            {" and ".join(f"{deepest[name]} ({name})" for name in REPU)}; at each depth from {DEEP} on at most
            {" and ".join(f"{most} of {name}" for name, most in deep.items())} do""",
        seeds=grid.members,
        numbers=_numbers(deepest),
        tables=[_fresh(entries, shares)],
        pictures=[_outcomes_picture(entries, deepest)],
    )


def judge_repu(shares: Shares) -> Verdict:
    """Apply claim 6's rule: most train at the smallest depth, fewer than NONE at each large one."""
    shallowest = min(depth for _, depth in shares)
    return together([
        above(counted, 0.5) if depth == shallowest else below(counted, NONE)
        for (name, depth), counted in shares.items() if name in REPU and (depth == shallowest or depth >= DEEP)
    ])  # fmt: skip


def examine_mrepu(lab: Lab) -> Evidence:
    """Tune every activation at every depth with the same budget."""
    grid, entries, shares = _measure(lab, NAMES, shared_grid(lab))
    deepest = {name: deepest_trained(shares, name) for name in NAMES}
    last, fails = max(depth for _, depth in shares), failing(shares)
    trains = [depth for depth in fails if any(above(shares[name, depth], 0.5) is Verdict.SUPPORTED for name in MREPU)]
    return Evidence(
        setup=_set_up(lab, grid),
        verdict=judge_mrepu(shares),
        reason=f"""more than half of the fresh networks count up to depth
            {", ".join(f"{depth} ({name})" for name, depth in deepest.items())}; RePU fails at depth
            {_listed(fails)}, where MRePU trains at {_listed(trains)}; at depth {last}:
            {", ".join(f"{name} {shares[name, last].estimate:.0%}" for name in NAMES)}""",
        seeds=grid.members,
        numbers=_numbers(deepest),
        tables=[
            _fresh(entries, shares),
            Table(
                caption="With and without `critical`: largest share of tuning networks trained, over the learning "
                "rates, by initialization.",
                columns=("activation", "depth", *grid.initializations),
                rows=[
                    [name, case.depth, *(
                        max(run.share("trained") for (start, _), run in entry.tried.items() if start == initialization)
                        for initialization in grid.initializations
                    )]
                    for (name, case), entry in entries.items()
                ],
            ),
        ],
        pictures=[_depth_picture(entries, shares, deepest)],
    )  # fmt: skip


def judge_mrepu(shares: Shares) -> Verdict:
    """Apply claim 7's rule: at a depth where RePU fails most of MRePU's networks train, for one power."""
    there = [above(shares[name, depth], 0.5) for depth in failing(shares) for name in MREPU]
    if Verdict.SUPPORTED in there:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if there and set(there) == {Verdict.REFUTED} else Verdict.INCONCLUSIVE


def failing(shares: Shares) -> list[int]:
    """Return the depths at which fewer than half of RePU's fresh networks count, for either power."""
    depths = sorted({depth for _, depth in shares})
    return [depth for depth in depths if all(below(shares[name, depth], 0.5) is Verdict.SUPPORTED for name in REPU)]


def deepest_trained(shares: Shares, name: str) -> int:
    """Return the largest depth up to which more than half of the fresh networks count, 0 for none."""
    deepest = 0
    for depth in sorted(depth for who, depth in shares if who == name):
        if shares[name, depth].estimate <= 0.5:
            break
        deepest = depth
    return deepest


def _measure(lab: Lab, names: Sequence[str], grid: Grid) -> tuple[Grid, Entries, Shares]:
    entries = contest(lab, product(names, cases(lab)), grid, tuning_share=0.8)
    return grid, entries, {(name, case.depth): share for (name, case), share in counting(entries).items()}


def _set_up(lab: Lab, grid: Grid) -> str:
    depths = ", ".join(str(case.depth) for case in cases(lab))
    return f"""XOR, the signs of x_1 x_2 and x_3 x_4 as four classes; {described(sizes(lab))}, float32, depths
        {depths}; for every activation the same {grid}. {counts_if()}"""


def _numbers(deepest: Mapping[str, int]) -> dict[str, int]:
    return {f"deepest with more than half that count, {name}": depth for name, depth in deepest.items()}


def _fresh(entries: Entries, shares: Shares) -> Table:
    by_place = {(name, case): shares[name, case.depth] for name, case in entries}
    return fresh_table(
        entries, {"accuracy": metrics}, "share that counts and median accuracy", counts="share", shares=by_place
    )


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths)) or "none"


def _outcomes_picture(entries: Entries, deepest: Mapping[str, int]) -> Picture:
    shares: dict[str, dict[int, list[float]]] = {name: {} for name in REPU}
    for name, case in sorted(product(REPU, {case for _, case in entries}), key=lambda place: place[1].depth):
        networks = entries[name, case].networks
        shares[name][case.depth] = [share(networks, outcome).estimate for outcome in OUTCOMES]
    return Picture(
        name="outcomes",
        caption="What becomes of RePU networks by depth, each at the best setting of the grid for its depth.",
        alt="Bars by depth, of the shares of each outcome: more than half count up to depth "
        + " and ".join(f"{deepest[name]} for {name}" for name in REPU)
        + ".",
        figure=outcome_bars(shares, OUTCOMES),
    )


def _depth_picture(entries: Entries, shares: Shares, deepest: Mapping[str, int]) -> Picture:
    accuracy = medians_by_depth(entries, NAMES, list({case for _, case in entries}), metrics)["XOR"]
    counted = {name: {depth: shares[name, depth] for depth in accuracy[name]} for name in NAMES}
    return Picture(
        name="trained",
        caption="a: share of fresh networks that count, with 95 % intervals. b: their median accuracy. Each activation "
        "at the best setting of the same grid for each depth.",
        alt="Curves against depth: more than half count up to depth "
        + ", ".join(f"{depth} for {name}" for name, depth in deepest.items())
        + ".",
        figure=by_depth({"share that counts": counted, "accuracy": accuracy}, ""),
    )


REPU_FAILS = Claim(
    number=6,
    slug="repu-fails",
    family="training",
    title="Plain RePU networks stop learning XOR within a few layers",
    statement="""The share of plain RePU networks that learn XOR falls to zero as the depth grows from 2 to 50, at the
        best of a grid of initializations and learning rates.""",
    reference="Kim & Kang, arXiv:2408.02697: RePU networks fail to train whatever their initialization",
    rule=f"""Supported if for p = 2 and 3 more than half of fresh networks count at the smallest depth, and
        fewer than {NONE:.0%} at each depth from {DEEP} on, at the setting that is best for that depth (95 % Wilson
        intervals). Refuted if one of these lies on the other side. Else inconclusive. {counts_if()}""",
    cost={"smoke": 25, "full": 150},
    examine=examine_repu,
)

MREPU_TRAINS = Claim(
    number=7,
    slug="mrepu-trains",
    family="training",
    title="Plain MRePU networks learn XOR at depths at which plain RePU networks do not",
    statement="""There are depths from 2 to 50 at which plain MRePU networks learn XOR and plain RePU networks do
        not.""",
    reference="Kim & Kang, arXiv:2408.02697: MRePU as the cure",
    rule=f"""At the depths where fewer than half of RePU's fresh networks count, p = 2 and 3 (95 % Wilson
        intervals): supported if at one of them more than half of MRePU's do for p = 1 or 2; refuted if at all of
        them fewer than half do for both. Else inconclusive. How deep each activation trains stands beside it.
        {counts_if()}""",
    cost={"smoke": 20, "full": 900},
    examine=examine_mrepu,
)
