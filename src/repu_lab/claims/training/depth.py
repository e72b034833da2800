"""Claims 6 and 7: how deep networks of RePU, MRePU and others train, each at its best of the same grid."""

from collections.abc import Mapping, Sequence
from itertools import product, takewhile

from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.contest import COUNTS, LINEAR, ORTHOGONAL, XOR, Case, Entries, Grid, Place, contest, sizes
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import share
from repu_lab.claims.verdicts import Verdict, above, below, corrected, one_of, together
from repu_lab.configs.schema import OUTCOMES
from repu_lab.figures.bars import outcome_bars
from repu_lab.figures.curves import by_depth

REPU = ("RePU 2", "RePU 3")
MREPU = ("MRePU 1", "MRePU 2")
NAMES = (*REPU, *MREPU, "ReLU", "GELU", "tanh", LINEAR)
DEEP = 20  # at each depth from here on RePU's share shall be
NONE = 0.2  # below this
GAUSSIAN, TURNED = ARMS = ("XOR", f"XOR, {ORTHOGONAL}")
Shares = Mapping[tuple[str, int], Interval]  # of networks that count, by activation and depth


def cases(lab: Lab) -> list[Case]:
    """Return what the claims on depth train, the shallowest first: with Gaussian weights, with orthogonal ones."""
    depths = lab.choose(smoke=(2, 5, 20), full=(2, 3, 5, 8, 12, 20, 50))
    plain = [Case(GAUSSIAN, depth, sizes(lab, "xor")) for depth in depths]
    return [*plain, *(case.orthogonal for case in plain)]


def shared_grid(lab: Lab) -> Grid:
    """Return the budget that every activation but RePU gets."""
    return lab.choose(
        smoke=Grid(("critical",), ("1e-3",), 1, 6),
        full=Grid(("critical", "small", "pytorch"), ("1e-4", "3e-4", "1e-3", "3e-3"), 2, 4, splits=3),
    )


def repu_grid(lab: Lab) -> Grid:
    """Return the larger budget that RePU gets alone: no initialization shall save it.

    The linear baseline needs none: it ends near chance whatever is tried.
    """
    return lab.choose(
        smoke=Grid(("critical", "small"), ("1e-3",), 1, 16),
        # None of 24 on four divisions is the fewest whose interval ends below NONE.
        full=Grid(("critical", "small", "pytorch", "he", "biased"), ("1e-4", "3e-4", "1e-3", "auto"), 2, 6, splits=4),
    )


def examine_repu(lab: Lab) -> Evidence:
    """Tune RePU at every depth and count what becomes of its networks."""
    grid = repu_grid(lab)
    entries = contest(lab, product(REPU, cases(lab)), grid, tuning_share=0.8, part=(0.0, 0.8))
    entries |= contest(lab, product([LINEAR], cases(lab)), shared_grid(lab), tuning_share=0.8, part=(0.8, 1.0))
    shares = _by_arm(entries.counting())
    # At the best setting: a share of all settings would be small however well one of them trained.
    most = {
        name: max(share for arm in ARMS for (of, depth), share in shares[arm].items() if of == name and depth >= DEEP)
        for name in REPU
    }
    reason = f"""at each depth from {DEEP} on at most
        {" and ".join(f"{counted} of {name}" for name, counted in most.items())} do"""
    outcomes: dict[str, dict[int, list[float]]] = {name: {} for name in REPU}
    for name, case in product(REPU, cases(lab)):
        if case.name == GAUSSIAN:
            records = entries[name, case].records
            outcomes[name][case.depth] = [share(records, outcome).estimate for outcome in OUTCOMES]
    picture = Picture(
        name="outcomes",
        caption="""What becomes of RePU networks with Gaussian weights by depth, each at the best setting of the grid
            for its depth.""",
        alt=f"""Bars by depth, of the shares of each outcome: more than half count up to depth
            {_deepest(shares[GAUSSIAN], REPU)}.""",
        figure=outcome_bars(outcomes, OUTCOMES),
    )
    parts = len(REPU) * len(ARMS) * (1 + sum(depth >= DEEP for depth in {case.depth for case in cases(lab)}))
    verdict = corrected(
        parts, lambda chances: together(map(judge_repu, _by_arm(entries.counting(chances=chances)).values()))
    )
    budget = f"RePU: {grid}; the identity: {shared_grid(lab)}"
    return _evidence(lab, budget, grid.fresh, entries, verdict, reason, picture)


def judge_repu(shares: Shares) -> Verdict:
    """Apply claim 6's rule to one kind of weights: most count at the smallest depth, fewer than NONE at large ones."""
    shallowest = min(depth for _, depth in shares)
    of_repu = [(depth, counted) for (name, depth), counted in shares.items() if name in REPU]
    learn = [above(counted, 0.5) for depth, counted in of_repu if depth == shallowest]
    return together([*learn, *(below(counted, NONE) for depth, counted in of_repu if depth >= DEEP)])


def examine_mrepu(lab: Lab) -> Evidence:
    """Tune every activation at every depth with the same budget, RePU with the larger one of claim 6."""
    grid, larger = shared_grid(lab), repu_grid(lab)
    others = [name for name in NAMES if name not in REPU]
    entries = contest(lab, product(REPU, cases(lab)), larger, tuning_share=0.8, part=(0.0, 0.3))
    entries |= contest(lab, product(others, cases(lab)), grid, tuning_share=0.8, part=(0.3, 1.0))
    shares = _by_arm(entries.counting())
    depths = sorted({case.depth for case in cases(lab)})
    judged = _by_arm(entries.counting(chances=len(depths) * len(MREPU)))[GAUSSIAN]
    fails = failing(judged)
    learns = [depth for depth in fails if any(above(judged[name, depth], 0.5) is Verdict.SUPPORTED for name in MREPU)]
    last = {arm: ", ".join(f"{name} {shares[arm][name, depths[-1]].estimate:.0%}" for name in NAMES) for arm in ARMS}
    reason = f"""RePU fails at depth {_listed(fails)}, where MRePU learns at {_listed(learns)}; at depth {depths[-1]}:
        {last[GAUSSIAN]}; with {ORTHOGONAL}: {last[TURNED]}"""
    panels = {
        panel: {name: {depth: shares[arm][name, depth] for depth in depths} for name in NAMES}
        for panel, arm in (("Gaussian weights", GAUSSIAN), (ORTHOGONAL, TURNED))
    }
    picture = Picture(
        name="trained",
        caption="""Share of fresh networks that count, with 95 % intervals, each activation at the best setting of the
            same grid for each depth, RePU of a larger one. a: Gaussian weights, b: orthogonal ones.""",
        alt=f"Curves against depth: more than half count up to depth {_deepest(shares[GAUSSIAN], NAMES)}.",
        figure=by_depth(panels, "share that counts"),
    )
    budget = f"for every activation the same {grid}; RePU, which no setting shall save, {larger}"
    return _evidence(lab, budget, grid.fresh, entries, judge_mrepu(judged), reason, picture)


def judge_mrepu(shares: Shares) -> Verdict:
    """Apply claim 7's rule: at a depth where RePU fails most of MRePU's networks count, for one power."""
    return one_of(above(shares[name, depth], 0.5) for depth in failing(shares) for name in MREPU)


def _by_arm(counted: Mapping[Place, Interval]) -> dict[str, Shares]:
    return {
        arm: {(name, case.depth): share for (name, case), share in counted.items() if case.name == arm} for arm in ARMS
    }


def failing(shares: Shares) -> list[int]:
    """Return the depths at which fewer than half of RePU's fresh networks count, for either power."""
    depths = sorted({depth for _, depth in shares})
    return [depth for depth in depths if all(below(shares[name, depth], 0.5) is Verdict.SUPPORTED for name in REPU)]


def deepest(shares: Shares, name: str) -> int:
    """Return the largest depth up to which more than half of the fresh networks count, 0 for none."""
    depths = sorted(depth for activation, depth in shares if activation == name)
    return max([0, *takewhile(lambda depth: shares[name, depth].estimate > 0.5, depths)])


def _evidence(
    lab: Lab, budget: str, fresh: int, entries: Entries, verdict: Verdict, reason: str, picture: Picture
) -> Evidence:
    shares = _by_arm(entries.counting())
    names = list(dict.fromkeys(name for name, _ in entries))
    return Evidence(
        setup=f"""{XOR}; {cases(lab)[0].training}, float32, depths
            {_listed(sorted({case.depth for case in cases(lab)}))}, Gaussian and orthogonal weights; {budget};
            PyTorch's initialization draws no orthogonal ones. {COUNTS}""",
        verdict=verdict,
        reason=f"""more than half of the fresh networks count up to depth {_deepest(shares[GAUSSIAN], names)}, with
            {ORTHOGONAL} up to {_deepest(shares[TURNED], names)}; {reason}""",
        seeds=fresh,
        numbers={
            f"deepest with more than half that count, {arm}, {name}": deepest(shares[arm], name)
            for arm, name in product(ARMS, names)
        },
        tables=[entries.counted_table()],
        pictures=[picture],
    )


def _deepest(shares: Shares, names: Sequence[str]) -> str:
    return ", ".join(f"{deepest(shares, name)} ({name})" for name in names)


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths)) or "none"


REPU_FAILS = Claim(
    number=6,
    slug="repu-fails",
    family="training",
    title="Plain RePU networks stop learning XOR within a few layers",
    statement="""The share of plain RePU networks that learn XOR falls to zero as the depth grows from 2 to 50, at the
        best of a grid of initializations and learning rates, with Gaussian and with orthogonal weights.""",
    reference="Kim & Kang, arXiv:2408.02697: RePU networks fail to train whatever their initialization",
    rule=f"""Supported if for p = 2 and 3 and both kinds of weights more than half of fresh networks count at the
        smallest depth, and fewer than {NONE:.0%} at each depth from {DEEP} on, at the setting that is best for that
        depth (95 % Wilson intervals). Refuted if one of these lies on the other side, at 5 % over their number. Else
        inconclusive. {COUNTS}""",
    cost={"smoke": 11, "full": 460},
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
    rule=f"""With Gaussian weights, at the depths where fewer than half of RePU's fresh networks count, p = 2 and 3:
        supported if at one of them more than half of MRePU's do for p = 1 or 2; refuted if at all of them fewer than
        half do for both. Else inconclusive. RePU has claim 6's settings, more than MRePU. Wilson intervals at 5 % over
        the number of depths and powers, each of which is a chance. How deep the others train, and all with orthogonal
        weights, stands beside it. {COUNTS}""",
    cost={"smoke": 20, "full": 540},
    examine=examine_mrepu,
)
