"""Kinds of layers, each with all its law: populations, statistics and theory follow from it and name none."""

from repu_lab.blocks.block import PLAIN, RESIDUAL, Block, Skip, kinds
from repu_lab.blocks.maps import CENTRED, NORMS

__all__ = ["CENTRED", "NORMS", "PLAIN", "RESIDUAL", "Block", "Skip", "kinds"]
