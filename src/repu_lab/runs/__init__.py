"""Runs: configs, folders, the training loop, tracking and outcomes."""
