"""The claims of the paper, and past it: a statement each, the networks that test it, a rule, a verdict."""

from collections.abc import Sequence
from typing import Any

from repu_lab.claims import approximation, beyond, cures, physics, signal, training, vision
from repu_lab.claims.base import Claim
from repu_lab.configs.config import ConfigError
from repu_lab.configs.mistakes import nearest, printable

FAMILIES = (signal, training, approximation, physics, vision, beyond, cures)
CLAIMS: tuple[Claim, ...] = tuple(
    sorted((claim for family in FAMILIES for claim in family.CLAIMS), key=lambda claim: claim.number)
)

__all__ = ["CLAIMS", "Claim", "select"]


def select(chosen: Any) -> tuple[Claim, ...]:
    """Return the claims of a number, a family's name, or a list of these; all of them for None.

    ConfigError for a claim that does not exist.
    """
    if chosen is None:
        return CLAIMS
    wanted = chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]
    families = dict.fromkeys(claim.family for claim in CLAIMS)
    found: set[int] = set()
    for name in wanted:
        numbers = {claim.number for claim in CLAIMS if str(name) in (str(claim.number), claim.family)}
        if not numbers:
            valid = [*(str(claim.number) for claim in CLAIMS), *families]
            hint = f"no such claim{nearest(str(name), families)}; valid: {', '.join(valid)} (several with commas)"
            raise ConfigError(f"claim={printable(str(name))}: {hint}")
        found |= numbers
    if not found:
        raise ConfigError("claim=[]: names no claim; leave it out for all of them")
    return tuple(claim for claim in CLAIMS if claim.number in found)
