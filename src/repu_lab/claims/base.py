"""What a claim is, what a lab finds of it, and what claim.json holds of both. Texts may be broken into lines."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from repu_lab.claims.verdicts import Verdict

if TYPE_CHECKING:
    from repu_lab.claims.lab import Lab

Cell = str | float | int | None


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

    def finding(self, lab: "Lab", evidence: Evidence, seconds: float) -> dict[str, Any]:
        """Return what claim.json holds: the claim, the evidence, and what the lab noted on the way."""
        return _strict(
            {
                **{key: getattr(self, key) for key in ("number", "slug", "family")},
                **{key: prose(getattr(self, key)) for key in ("title", "statement", "reference", "rule")},
                **{key: prose(getattr(evidence, key)) for key in ("setup", "reason", "verdict")},
                **{key: getattr(evidence, key) for key in ("seeds", "numbers")},
                "tables": [vars(table) | {"caption": prose(table.caption)} for table in evidence.tables],
                "figures": [
                    {key: prose(getattr(p, key)) for key in ("name", "caption", "alt")} for p in evidence.pictures
                ],
                "commands": [f"repu-lab reproduce claim={self.number} scale={lab.scale}", *lab.commands],
                "runs": lab.runs,
                "scale": lab.scale,
                "seconds": round(seconds, 1),
                "version": lab.versions["repu-lab"],
                "versions": lab.versions,
            }
        )


def prose(text: str) -> str:
    """Return a text without the line breaks and the indentation it has in the source."""
    return " ".join(text.split())


def _strict(value: Any) -> Any:
    """Return a value as strict JSON can hold it: NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # a number of numpy's
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
