"""Tracking: what a run writes of its measurements: TensorBoard events and the table of statistics."""
