"""Claims about what cures a deep RePU network."""

from repu_lab.claims.cures import normalization, skips

CLAIMS = (normalization.CLAIM, skips.CLAIM)
