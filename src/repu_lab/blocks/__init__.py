"""Kinds of layers, each with all its law: populations, statistics and theory follow from it and name none."""

from repu_lab.blocks.block import PLAIN, RESIDUAL, Block, Skip, kinds
from repu_lab.blocks.maps import NORMS

__all__ = ["NORMS", "PLAIN", "RESIDUAL", "Block", "Skip", "kinds"]
