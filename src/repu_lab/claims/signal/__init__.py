"""Claims about signals at initialization."""

from repu_lab.claims.signal import fates, growth, keeping, susceptibilities

CLAIMS = (growth.CLAIM, fates.CLAIM, susceptibilities.RATIO, susceptibilities.MEETS, keeping.CLAIM)
