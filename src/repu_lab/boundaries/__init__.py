"""Boundaries: where along one axis an outcome turns."""
