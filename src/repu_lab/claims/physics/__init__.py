"""Claims about physics-informed networks."""

from repu_lab.claims.physics import burgers

CLAIMS = (burgers.CLAIM,)
