"""Kinds of layers, each with all its law: populations, statistics and theory follow from it and name none."""

from repu_lab.blocks.block import PLAIN, RESIDUAL, Block, Skip
from repu_lab.blocks.maps import SAME, Map

__all__ = ["PLAIN", "RESIDUAL", "SAME", "Block", "Map", "Skip"]
