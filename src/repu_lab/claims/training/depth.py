"""Claims 6 and 7: how deep networks of RePU, MRePU and others train, each at its best of the same grid."""

from collections.abc import Mapping, Sequence

from repu_lab.claims.base import Claim, Evidence, Picture, Table, prose
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training.tuning import ACTIVATIONS, Grid, Tuned, scale_of, tune
from repu_lab.claims.verdicts import Verdict, above, below, together
from repu_lab.configs.schema import OUTCOMES

REPU = ("RePU 2", "RePU 3")
MREPU = ("MRePU 1", "MRePU 2")
DEEP = 20  # at each depth from here on RePU's share shall be
NONE = 0.2  # below this


def depths_of(lab: Lab) -> tuple[int, ...]:
    """Return the depths of the training claims."""
    return lab.choose(smoke=(2, 5, 10, 30), full=(2, 3, 5, 8, 12, 20, 30, 50))


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
    grid, depths = repu_grid(lab), depths_of(lab)
    tuned = tune(lab, REPU, depths, grid)
    shallow = {name: tuned[name, min(depths)].trained for name in REPU}
    # At the best setting: a share of all settings would be small however well one of them trained.
    deep = {name: [tuned[name, depth].trained for depth in depths if depth >= DEEP] for name in REPU}
    rows = [
        [name, depth, *tuned[name, depth].best, tuned[name, depth].metric,
         *(tuned[name, depth].fresh.share(outcome) for outcome in OUTCOMES)]
        for name in REPU for depth in depths
    ]  # fmt: skip
    deepest = {name: deepest_trained(tuned, name, depths) for name in REPU}
    return Evidence(
        setup=f"{_set_up(lab)}, depths {', '.join(map(str, depths))}; {grid}.",
        verdict=judge_repu(list(shallow.values()), [found for shares in deep.values() for found in shares]),
        reason=prose(f"""at the best setting more than half of the fresh networks train up to depth
            {" and ".join(f"{deepest[name]} ({name})" for name in REPU)}; at each depth from {DEEP} on at most
            {" and ".join(f"{max(shares)} of {name}" for name, shares in deep.items())} do"""),
        seeds=grid.members,
        numbers={f"deepest with more than half trained, {name}": depth for name, depth in deepest.items()},
        tables=[
            Table(
                caption="Outcomes of fresh networks at the best setting of each depth.",
                columns=("activation", "depth", "initialization", "rate", "accuracy", *OUTCOMES),
                rows=rows,
            )
        ],
        pictures=[_outcomes_picture(tuned, depths, deepest)],
    )


def judge_repu(shallow: Sequence[Interval], deep: Sequence[Interval]) -> Verdict:
    """Apply claim 6's rule: most train at the smallest depth, fewer than NONE at each large one."""
    return together([*(above(found, 0.5) for found in shallow), *(below(found, NONE) for found in deep)])


def examine_mrepu(lab: Lab) -> Evidence:
    """Tune every activation at every depth with the same budget."""
    grid, depths = shared_grid(lab), depths_of(lab)
    tuned = tune(lab, list(ACTIVATIONS), depths, grid)
    shares = {(name, depth): tuned[name, depth].trained for name in ACTIVATIONS for depth in depths}
    deepest = {name: deepest_trained(tuned, name, depths) for name in ACTIVATIONS}
    rows = [
        [name, depth, *tuned[name, depth].best, *shares[name, depth], tuned[name, depth].metric]
        for name in ACTIVATIONS for depth in depths
    ]  # fmt: skip
    starts = [
        [name, depth, *(tuned[name, depth].best_share(start) for start in grid.initializations)]
        for name in ACTIVATIONS for depth in depths
    ]  # fmt: skip
    last, fails = max(depths), failing(shares, depths)
    trains = [depth for depth in fails if any(above(shares[name, depth], 0.5) is Verdict.SUPPORTED for name in MREPU)]
    return Evidence(
        setup=f"{_set_up(lab)}, depths {', '.join(map(str, depths))}; for every activation the same {grid}.",
        verdict=judge_mrepu(shares, depths),
        reason=prose(f"""more than half of the fresh networks train up to depth
            {", ".join(f"{depth} ({name})" for name, depth in deepest.items())}; RePU fails at depth
            {_listed(fails)}, where MRePU trains at {_listed(trains)}; at depth {last}:
            {", ".join(f"{name} {shares[name, last].estimate:.0%}" for name in ACTIVATIONS)}"""),
        seeds=grid.members,
        numbers={f"deepest with more than half trained, {name}": depth for name, depth in deepest.items()},
        tables=[
            Table(
                caption="Share of fresh networks trained at the best setting (95 % Wilson interval), median accuracy.",
                columns=("activation", "depth", "initialization", "rate", "trained", "low", "high", "accuracy"),
                rows=rows,
            ),
            Table(
                caption="With and without `critical`: largest share of tuning networks trained, over the learning "
                "rates, by initialization.",
                columns=("activation", "depth", *grid.initializations),
                rows=starts,
            ),
        ],
        pictures=[_depth_picture(tuned, depths)],
    )


def judge_mrepu(shares: Mapping[tuple[str, int], Interval], depths: Sequence[int]) -> Verdict:
    """Apply claim 7's rule to the shares trained by activation and depth."""
    there = [above(shares[name, depth], 0.5) for depth in failing(shares, depths) for name in MREPU]
    if Verdict.SUPPORTED in there:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if there and set(there) == {Verdict.REFUTED} else Verdict.INCONCLUSIVE


def failing(shares: Mapping[tuple[str, int], Interval], depths: Sequence[int]) -> list[int]:
    """Return the depths at which fewer than half of RePU's fresh networks train, for either power."""
    return [depth for depth in depths if all(below(shares[name, depth], 0.5) is Verdict.SUPPORTED for name in REPU)]


def deepest_trained(tuned: Mapping[tuple[str, int], Tuned], name: str, depths: Sequence[int]) -> int:
    """Return the largest depth up to which more than half of the fresh networks train, 0 for none."""
    deepest = 0
    for depth in sorted(depths):
        if tuned[name, depth].trained.estimate <= 0.5:
            break
        deepest = depth
    return deepest


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths)) or "none"


def _set_up(lab: Lab) -> str:
    sizes = dict(text.split("=") for text in scale_of(lab))
    return f"Digits, width {sizes['width']}, batches of {sizes['batch_size']}, {sizes['steps']} steps, float32"


def _outcomes_picture(
    tuned: Mapping[tuple[str, int], Tuned], depths: Sequence[int], deepest: Mapping[str, int]
) -> Picture:
    from repu_lab.figures.claims_training import outcome_bars

    shares = {
        name: [[tuned[name, depth].fresh.share(outcome) for outcome in OUTCOMES] for depth in depths] for name in REPU
    }
    return Picture(
        name="outcomes",
        caption="What becomes of RePU networks by depth, each at the best setting of the grid for its depth.",
        alt="Bars by depth, of the shares of each outcome: more than half train up to depth "
        + " and ".join(f"{deepest[name]} for {name}" for name in REPU)
        + ".",
        figure=outcome_bars(shares, depths, OUTCOMES),
    )


def _depth_picture(tuned: Mapping[tuple[str, int], Tuned], depths: Sequence[int]) -> Picture:
    from repu_lab.figures.claims_training import trained_by_depth

    curves = {
        name: {
            "share": [tuned[name, depth].trained for depth in depths],
            "metric": [tuned[name, depth].metric for depth in depths],
        }
        for name in ACTIVATIONS
    }
    return Picture(
        name="trained",
        caption="a: share of fresh networks that train, with 95 % intervals. b: their median accuracy. Each activation "
        "at the best setting of the same grid for each depth.",
        alt="Curves against depth: more than half train up to depth "
        + ", ".join(f"{deepest_trained(tuned, name, depths)} for {name}" for name in ACTIVATIONS)
        + ".",
        figure=trained_by_depth(curves, depths),
    )


REPU_FAILS = Claim(
    number=6, slug="repu-fails", family="training",
    title="RePU networks stop training within a few layers",
    statement=prose("""The share of RePU networks that train falls to zero as the depth grows from 2 to 50, at the
        best of a grid of initializations and learning rates."""),
    reference="Kim & Kang, arXiv:2408.02697: RePU networks fail to train whatever their initialization",
    rule=prose(f"""Supported if for p = 2 and 3 more than half of fresh networks train at the smallest depth, and
        fewer than {NONE:.0%} at each depth from {DEEP} on, at the setting that is best for that depth (95 % Wilson
        intervals). Refuted if one of these lies on the other side. Else inconclusive."""),
    cost={"smoke": 19, "full": 100},
    examine=examine_repu,
)  # fmt: skip

MREPU_TRAINS = Claim(
    number=7, slug="mrepu-trains", family="training",
    title="MRePU trains where RePU fails",
    statement="There are depths at which RePU networks do not train and MRePU networks do.",
    reference="Kim & Kang, arXiv:2408.02697: MRePU as the cure",
    rule=prose("""At the depths where fewer than half of RePU's fresh networks train, p = 2 and 3 (95 % Wilson
        intervals): supported if at one of them more than half of MRePU's do for p = 1 or 2; refuted if at all of
        them fewer than half do for both. Else inconclusive. How deep each activation trains stands beside it."""),
    cost={"smoke": 15, "full": 800},
    examine=examine_mrepu,
)  # fmt: skip
