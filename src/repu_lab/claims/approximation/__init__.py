"""Claims about what networks can represent and learn."""
