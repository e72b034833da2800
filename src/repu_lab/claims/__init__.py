"""The claims of the paper, and past it: a statement each, the networks that test it, a rule, a verdict."""

from collections.abc import Sequence
from typing import Any

from repu_lab.claims.approximation import exact, learning
from repu_lab.claims.base import Claim
from repu_lab.claims.beyond import safe, spline
from repu_lab.claims.cures import layernorm, normalization, skips, tailored, turned
from repu_lab.claims.physics import burgers
from repu_lab.claims.signal import fates, growth, keeping, meeting, ratio
from repu_lab.claims.training import depth, failure
from repu_lab.claims.vision import images
from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import nearest, printable

CLAIMS: tuple[Claim, ...] = (
    growth.CLAIM, fates.CLAIM, ratio.CLAIM, meeting.CLAIM, keeping.CLAIM,
    depth.REPU_FAILS, depth.MREPU_TRAINS, failure.CLAIM,
    exact.CLAIM, learning.POLYNOMIAL, learning.FUNCTION, burgers.CLAIM, images.CLAIM,
    spline.CLAIM, safe.CLAIM, normalization.CLAIM, skips.CLAIM,
    layernorm.CLAIM, tailored.CLAIM, turned.CLAIM,
)  # fmt: skip

__all__ = ["CLAIMS", "Claim", "select"]


def select(chosen: Any) -> tuple[Claim, ...]:
    """Return the claims of a number, a family's name, or a list of these; all of them for None.

    ConfigError for a claim that does not exist.
    """
    if chosen is None:
        return CLAIMS
    wanted = chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]
    families = dict.fromkeys(claim.family for claim in CLAIMS)
    numbers: set[int] = set()
    for name in wanted:
        named = {claim.number for claim in CLAIMS if str(name) in (str(claim.number), claim.family)}
        if not named:
            valid = [*(str(claim.number) for claim in CLAIMS), *families]
            hint = f"no such claim{nearest(str(name), families)}; valid: {', '.join(valid)} (several with commas)"
            raise ConfigError(f"claim={printable(str(name))}: {hint}")
        numbers |= named
    if not numbers:
        raise ConfigError("claim=[]: names no claim; leave it out for all of them")
    return tuple(claim for claim in CLAIMS if claim.number in numbers)
