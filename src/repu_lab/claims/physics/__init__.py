"""Claims about physics-informed networks."""
