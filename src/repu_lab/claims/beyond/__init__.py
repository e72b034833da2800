"""Claims past the paper: activations in the span of RePU, and an MRePU that is safe."""

from repu_lab.claims.base import Claim

CLAIMS: tuple[Claim, ...] = ()
