"""A claim as CONTRIBUTING describes one: networks of tanh learn XOR, which linear ones do not."""

from itertools import product

from repu_lab.claims.base import Claim, Evidence
from repu_lab.claims.contest import Case, Grid, contest
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval, median_interval
from repu_lab.claims.trials import metrics
from repu_lab.claims.verdicts import Verdict, above


def examine(lab: Lab) -> Evidence:
    """Measure two activations, judge the interval of their difference, show both."""
    case = Case("XOR", 2, ("task=xor", "width=16", "batch_size=64", f"steps={lab.choose(smoke=150, full=300)}"))
    grid = Grid(("critical",), ("1e-2", "1e-4"), tuning_members=1, members=6)
    entries = contest(lab, product(("tanh", "identity"), [case]), grid)
    difference = median_interval(metrics(entries["tanh", case].records) - metrics(entries["identity", case].records))
    return Evidence(
        setup=f"{grid}.",
        verdict=judge(difference),
        reason=f"tanh is {difference} more accurate",
        seeds=grid.members,
        tables=[entries.table({"accuracy": metrics}, "share trained and median accuracy")],
    )


def judge(difference: Interval) -> Verdict:
    """Apply the rule."""
    return above(difference, 0.1)


CLAIM = Claim(
    number=99,
    slug="made-up",
    family="made-up",
    title="Networks of tanh learn XOR",
    statement="Networks of tanh learn XOR better than linear ones.",
    reference="nobody",
    rule="Supported if the 95 % interval of the difference lies above .1, refuted if below, else inconclusive.",
    cost={"smoke": 2, "full": 4},
    examine=examine,
)
