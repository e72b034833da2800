"""Claims past the paper: activations in the span of RePU, and an MRePU that is safe."""

from repu_lab.claims.base import Claim
from repu_lab.claims.beyond import safe, spline

CLAIMS: tuple[Claim, ...] = (spline.CLAIM, safe.CLAIM)
