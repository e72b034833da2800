"""How a field of a config is declared: default, meaning, check, and whether it decides the result."""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from repu_lab.configs.text import nearest


@dataclass(frozen=True)
class Check:
    """Whether a value is valid, and what is said of one that is not; `names`: the valid ones, where they are a few."""

    holds: Callable[[Any], bool]
    complaint: str
    names: tuple[str, ...] = ()

    def __call__(self, value: Any) -> str | None:
        """Return what is wrong with a value, None if nothing."""
        return None if self.holds(value) else self.complaint + nearest(str(value), self.names)

    @property
    def valid(self) -> str:
        """What is valid, in words."""
        return self.complaint.removeprefix("must be ")


def setting(
    default: Any,
    doc: str,
    check: Check | None = None,
    *,
    affects_result: bool = True,
    named_if_set: bool = False,
    several: bool = False,
) -> Any:
    """Declare a field of a config: its default, what it means, what is valid and whether it decides the result.

    None is valid where it is the default. `several`: it takes a list, which to Hydra `claim=6,7` alone would not be.
    """
    if check is not None and default is None:
        holds = check.holds
        check = replace(check, holds=lambda value: value is None or holds(value))
    metadata = {
        "doc": doc,
        "check": check,
        "affects_result": affects_result,
        "named_if_set": named_if_set,
        "several": several,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def later(default: Any, doc: str, check: Check | None = None) -> Any:
    """Declare a key that earlier versions did not have: its default is left out of the run's identity.

    So it changes no folder's name, and finished runs are found again.
    """
    return setting(default, doc, check, named_if_set=True)


def earlier(cure: str) -> Any:
    """Declare a key that only earlier versions had: as None it stays in the run's identity, and it takes nothing else.

    So finished runs are found again. `cure`: what to type instead.
    """
    return setting(None, "of earlier versions only", Check(lambda _: False, f"is a key of earlier versions; {cure}"))


def aside(default: Any, doc: str, check: Check | None = None, *, several: bool = False) -> Any:
    """Declare a key that does not decide the result."""
    return setting(default, doc, check, affects_result=False, several=several)


def whole(at_least: int, at_most: int | None = None) -> Check:
    """Check for a whole number within bounds."""
    bounds = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    largest = math.inf if at_most is None else at_most
    return Check(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and at_least <= value <= largest,
        f"must be a whole number {bounds}",
    )


def number(at_least: float = -math.inf, below: float = math.inf, at_most: float = math.inf) -> Check:
    """Check for a finite number within bounds."""
    bounds = [f"of at least {at_least:g}"] if at_least > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    bounds += [f"at most {at_most:g}"] if at_most < math.inf else []

    def holds(value: Any) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        # Finite: also a whole number of hundreds of digits is too large for a float.
        return abs(value) <= sys.float_info.max and at_least <= value < below and value <= at_most

    return Check(holds, " ".join(["must be a finite number", " and ".join(bounds)]).strip())


def one_of(*valid: str) -> Check:
    """Check for one of a few values."""
    return Check(lambda value: value in valid, f"must be one of {', '.join(valid)}", valid)


def named(*examples: str) -> Check:
    """Check for a text, which is mostly one of a few; where it must be, is checked elsewhere."""
    return replace(one_of(*examples), holds=lambda value: isinstance(value, str))


learning_rate = Check(
    lambda value: value == "auto" or number(0).holds(value), "must be auto or a finite number of at least 0"
)
branch = Check(
    lambda value: value in ("auto", "rezero") or (number(0).holds(value) and value > 0),
    "must be auto, rezero or a finite number above 0",
)
device = Check(
    lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is not None,
    "must be auto, cpu, cuda, cuda:0, cuda:1, ... or mps",
)
