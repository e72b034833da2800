"""What a claim is, and what is found of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from repu_lab.claims.verdicts import Verdict

if TYPE_CHECKING:
    from repu_lab.claims.lab import Lab

Cell = str | float | int | None
SCALES = ("smoke", "full")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; NaN and infinities become null when written."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure under its file's stem, with a caption and a text for those who do not see it."""

    name: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was run, what it says, and the numbers behind it. `seeds`: networks behind each number."""

    setup: str
    verdict: Verdict
    reason: str
    seeds: int
    numbers: Mapping[str, Cell] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A judged claim as claim.json holds it."""

    number: int
    slug: str
    family: str
    title: str
    statement: str
    reference: str
    setup: str
    rule: str
    verdict: str
    reason: str
    numbers: dict[str, Cell]
    tables: list[dict[str, Any]]
    figures: list[dict[str, str]]
    commands: list[str]
    runs: list[str]
    seeds: int
    scale: str
    seconds: float
    version: str
    versions: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the finding as strict JSON can hold it."""
        return _strict(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement of the paper, or past it, and how it is examined.

    rule: the statistical rule in words, fixed before the run; `examine` applies it. reference: where the statement
    stands. cost: seconds on two cores by scale, for the time left.
    """

    number: int
    slug: str
    family: str
    title: str
    statement: str
    reference: str
    rule: str
    cost: Mapping[str, float]
    examine: Callable[["Lab"], Evidence]

    @property
    def folder(self) -> str:
        """Where its files lie in the reproduction's folder."""
        return f"claims/{self.number:02d}-{self.slug}"

    def finding(self, lab: "Lab", evidence: Evidence, seconds: float) -> Finding:
        """Return what is found, with what the lab noted on the way."""
        return Finding(
            number=self.number, slug=self.slug, family=self.family, title=self.title, statement=self.statement,
            reference=self.reference, setup=evidence.setup, rule=self.rule, verdict=str(evidence.verdict),
            reason=evidence.reason, numbers=dict(evidence.numbers),
            tables=[asdict(table) for table in evidence.tables],
            figures=[{"name": p.name, "caption": p.caption, "alt": p.alt} for p in evidence.pictures],
            commands=[f"repu-lab reproduce claim={self.number} scale={lab.scale}", *lab.commands], runs=lab.runs,
            seeds=evidence.seeds, scale=lab.scale, seconds=round(seconds, 1), version=lab.versions["repu-lab"],
            versions=lab.versions,
        )  # fmt: skip


def prose(text: str) -> str:
    """Return a text without the line breaks and the indentation it has in the source."""
    return " ".join(text.split())


def unjudged(reason: str) -> Evidence:
    """Return the evidence of a claim whose networks or data cannot be had."""
    return Evidence(setup="nothing could be run", verdict=Verdict.INCONCLUSIVE, reason=reason, seeds=0)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # a number of numpy's
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
