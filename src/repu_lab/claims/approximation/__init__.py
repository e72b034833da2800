"""Claims about what networks can represent and learn."""

from repu_lab.claims.approximation import exact, learning

CLAIMS = (exact.CLAIM, learning.POLYNOMIAL, learning.FUNCTION)
