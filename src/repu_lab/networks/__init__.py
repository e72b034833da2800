"""Populations of multilayer perceptrons: their initialization, optimizers and statistics."""
