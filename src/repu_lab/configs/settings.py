"""How a field of a config is declared: default, meaning, check, and whether it decides the result."""

import math
import re
from collections.abc import Callable
from dataclasses import field
from typing import Any

from repu_lab.configs.text import nearest

Check = Callable[[Any], str | None]


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
    metadata = {
        "doc": doc,
        "check": (lambda value: None if value is None else check(value)) if check and default is None else check,
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
    return setting(None, "of earlier versions only", lambda _: f"is a key of earlier versions; {cure}")


def aside(default: Any, doc: str, check: Check | None = None, *, several: bool = False) -> Any:
    """Declare a key that does not decide the result."""
    return setting(default, doc, check, affects_result=False, several=several)


def whole(at_least: int, at_most: int | None = None) -> Check:
    """Check for a whole number within bounds."""
    bounds = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def check(value: Any) -> str | None:
        largest = math.inf if at_most is None else at_most
        valid = isinstance(value, int) and not isinstance(value, bool) and at_least <= value <= largest
        return None if valid else f"must be a whole number {bounds}"

    return check


def number(at_least: float = -math.inf, below: float = math.inf, at_most: float = math.inf) -> Check:
    """Check for a finite number within bounds."""
    bounds = [f"of at least {at_least:g}"] if at_least > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    bounds += [f"at most {at_most:g}"] if at_most < math.inf else []
    text = " ".join(["must be a finite number", " and ".join(bounds)]).strip()

    def check(value: Any) -> str | None:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            return text
        return None if at_least <= value < below and value <= at_most else text

    return check


def one_of(*valid: Any) -> Check:
    """Check for one of a few values."""

    def check(value: Any) -> str | None:
        names = [str(name) for name in valid]
        return None if value in valid else f"must be one of {', '.join(names)}{nearest(str(value), names)}"

    return check


def named(*examples: str) -> Check:
    """Check for a text, which is mostly one of a few; where it must be, is checked elsewhere."""
    return lambda value: None if isinstance(value, str) else f"must be one of {', '.join(examples)}"


def learning_rate(value: Any) -> str | None:
    """Check for auto or a learning rate."""
    return None if value == "auto" else number(0)(value) and "must be auto or a finite number of at least 0"


def branch(value: Any) -> str | None:
    """Check for auto, rezero or a positive number."""
    valid = value in ("auto", "rezero") or (number(0)(value) is None and value > 0)
    return None if valid else "must be auto, rezero or a finite number above 0"


def device(value: Any) -> str | None:
    """Check for a device's name."""
    valid = isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value)
    return None if valid else "must be auto, cpu, cuda, cuda:0, cuda:1, ... or mps"
