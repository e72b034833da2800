"""The lab's launchers, found by Hydra under this name."""
