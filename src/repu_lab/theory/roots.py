"""Roots and least values of functions of one number: scipy.optimize, imported when one is first asked for.

It takes .15 s, a fifteenth of the time to a first step, and most runs ask for none.
"""

from collections.abc import Callable
from typing import Any

Function = Callable[[float], Any]  # of a float, or of an array of one


def root_between(function: Function, low: float, high: float, **tolerances: Any) -> float:
    """Return where a function is 0 between two places at which its signs differ, by Brent's method."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, **tolerances))  # pyright: ignore[reportArgumentType, reportCallIssue]


def minimum_between(function: Function, low: float, high: float, xtol: float = 1e-5) -> float:
    """Return where a function is least between two places, by Brent's method; of several minima it finds one."""
    from scipy.optimize import fminbound

    return float(fminbound(function, low, high, xtol=xtol))  # pyright: ignore[reportArgumentType]
