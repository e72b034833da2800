"""Sweeps: many jobs grouped, planned, run on workers or a cluster, and their table."""
