"""Claims about what cures a deep RePU network."""
