"""What a function does on a GPU as one CUDA graph.

A pass through a deep network is hundreds of kernels of a few microseconds, and launching each from Python takes longer
than running it. A graph launches them all at once: the same kernels on the same memory.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Graph(Generic[Result]):
    """A function captured; its arguments are tensors that it always reads at the same place."""

    def __init__(self, work: Callable[[], Result], device: torch.device, before: int = 1):
        """Run the work so often, so that kernels and workspaces are chosen, and capture it.

        `first`: what it returned the last time before that.
        """
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(before):
                self.first = work()
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Not torch.cuda.graph, which first collects garbage and empties the memory cache: 0.1 s, 80 steps' time.
        torch.cuda.synchronize(device)
        with torch.cuda.stream(side):
            self._graph.capture_begin()
            try:
                self._result = work()
            finally:
                self._graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(side)

    def replay(self) -> Result:
        """Do it again, without waiting for it, and return what the next replay will overwrite."""
        self._graph.replay()
        return self._result


def equal_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one form agree bit for bit, in their NaN too."""
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
