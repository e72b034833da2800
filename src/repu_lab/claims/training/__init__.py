"""Claims about which networks train."""

from repu_lab.claims.training import depth, failure

CLAIMS = (depth.REPU_FAILS, depth.MREPU_TRAINS, failure.CLAIM)
