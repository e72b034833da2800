"""What networks are trained on: data, loss, metric, baseline and success criterion."""

from collections.abc import Callable
from dataclasses import replace

import torch

from repu_lab.tasks.base import Evaluation, Split, Task
from repu_lab.tasks.functions import polynomial
from repu_lab.tasks.images import digits

TASKS: dict[str, Callable[..., Task]] = {"digits": digits, "polynomial": polynomial}


def on_device(task: Task, device: torch.device | str, dtype: torch.dtype) -> Task:
    """Return the task with its data on the device, real numbers in the dtype."""

    def move(split: Split) -> Split:
        x = split.x.to(device=device, dtype=dtype)
        real = split.y.is_floating_point()
        return Split(x, split.y.to(device=device, dtype=dtype) if real else split.y.to(device=device))

    return replace(task, train=move(task.train), test=move(task.test))


__all__ = ["TASKS", "Evaluation", "Split", "Task", "digits", "on_device", "polynomial"]
