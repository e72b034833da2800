"""Effective theory of wide networks at initialization: pure float64 mathematics, no config, no files."""
