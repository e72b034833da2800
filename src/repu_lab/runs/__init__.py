"""Runs: folders, the training loop, outcomes and the commands that make them."""
