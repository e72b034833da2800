"""Claims past the paper: activations in the span of RePU, and an MRePU that is safe."""
