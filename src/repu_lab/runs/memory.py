"""What a run's tensors take of the memory, what is free, and what to say when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil
import torch

from repu_lab.configs.config import ConfigError

DERIVED = {"burgers": 4, "helmholtz": 5}  # numbers a unit and point: z, its two first derivatives and its second ones
SHARE = 0.8  # of the free memory, which a population that passes in chunks fills


def member_bytes(config: Any, sizes: tuple[int, ...]) -> tuple[int, int]:
    """Return the bytes that one member's weights and its preactivations take: every tensor of a step is counted."""
    item = getattr(torch, config.dtype).itemsize
    parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    inputs = getattr(config, "batch_size", config.probe)
    inputs *= DERIVED.get(config.task.name, 1)
    # theta, its gradient in pieces and joined, two moments, the step; z, s(z) and their gradients, of a batch.
    return 6 * parameters * item, 3 * inputs * sum(sizes) * item


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def members_at_once(config: Any, sizes: tuple[int, ...], device: torch.device) -> int | None:
    """Return how many members' preactivations fit beside all weights, None if all do; ConfigError if not one does."""
    one_weights, one_activity = member_bytes(config, sizes)
    weights, activity = config.members * one_weights, config.members * one_activity
    free = free_bytes(device)
    if weights + activity <= free:
        return None
    # A part stays free: what a layer's own arithmetic takes beside z and s(z) is not counted.
    fit = int(SHARE * free - weights) // one_activity
    if fit >= 1:
        return min(fit, config.members)
    key = "width" if one_weights + one_activity > free else "members"
    raise ConfigError(
        f"{key}={getattr(config, key)}: the run needs about {(weights + one_activity) / 2**30:.1f} GiB, and "
        f"{device.type} has {free / 2**30:.1f} GiB free; lower width, depth, members or batch_size"
    )


def needs(experiment: Any) -> tuple[float, float]:
    """Return the bytes that a run's tensors take, and those of a checkpoint: weights and two moments of six."""
    config = experiment.config
    weights, activity = member_bytes(config, experiment.sizes)
    return config.members * weights + (experiment.chunk or config.members) * activity, config.members * weights / 2


@contextmanager
def keys_named(config: Any, device: torch.device) -> Iterator[None]:
    """Turn the end of the memory, wherever it comes, into a MemoryError that names the keys to lower."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)):  # CPUs have no own class
            raise
        keys = ("members", "batch_size", "width", "depth")
        levers = ", ".join(f"{key}={getattr(config, key)}" for key in keys if hasattr(config, key))
        raise MemoryError(f"{device} has no memory left; lower one of {levers}") from error
