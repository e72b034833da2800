"""Configs: every key with its default, meaning and check, composed by Hydra into checked jobs."""
