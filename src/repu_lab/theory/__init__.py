"""Effective theory of wide networks at initialization: pure float64 mathematics, no config, no files.

law: what networks are drawn from. gaussian: averages of an activation. kernel, tangent: layer by layer at infinite
width. criticality: where signals keep their size. choosing: which variances to start with. Every function names its
formula and source.
"""

from repu_lab.theory.choosing import Initialization, critical_initialization
from repu_lab.theory.criticality import Criticality, CriticalPoint, analyse
from repu_lab.theory.fate_map import PHASES, FateMap, fate_map
from repu_lab.theory.fixed_points import FixedPoint, fixed_correlation, fixed_points
from repu_lab.theory.gaussian import (
    curvature_overlap,
    mean_square,
    mean_square_slope,
    pair_mean,
    second_variation,
    stein,
)
from repu_lab.theory.kernel import CorrelationLayers, KernelLayers, correlations, layers
from repu_lab.theory.law import Law
from repu_lab.theory.tailoring import tailor
from repu_lab.theory.tangent import TangentLayers, tangent_layers

__all__ = [name for name in dir() if not name.startswith("_")]  # pyright: ignore[reportUnsupportedDunderAll]
