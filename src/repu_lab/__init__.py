"""An experiment runner that asks whether an activation can carry a signal through depth, and why not."""

__version__ = "0.1.0"
