"""Table to figure, pure: arrays go in, a matplotlib Figure comes out; no file, no config, no pyplot state.

Importing this takes about a second (matplotlib): import it where a figure is drawn.
"""

from repu_lab.figures.boundary import boundary
from repu_lab.figures.propagation import signal_propagation
from repu_lab.figures.theory import kernel_by_layer, phase_diagram, susceptibilities

__all__ = ["boundary", "kernel_by_layer", "phase_diagram", "signal_propagation", "susceptibilities"]
