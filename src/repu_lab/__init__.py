"""Will this activation, at this depth, width and initialization, carry a signal and train, and why? repu-lab forecasts and measures it."""

__version__ = "0.1.0"
