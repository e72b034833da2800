"""What networks are trained on: data, loss, metric, baseline and success criterion."""

from collections.abc import Callable
from dataclasses import replace

import torch

from repu_lab.tasks.base import Evaluation, Split, Task
from repu_lab.tasks.burgers import burgers
from repu_lab.tasks.datasets import DataUnavailable
from repu_lab.tasks.functions import function, polynomial
from repu_lab.tasks.helmholtz import helmholtz
from repu_lab.tasks.images import cifar10, digits, fashion_mnist, mnist
from repu_lab.tasks.tables import file
from repu_lab.tasks.tensors import Splits, task_of
from repu_lab.tasks.xor import xor

# Each takes data_seed and the keys of its group, conf/task/<name>.yaml.
TASKS: dict[str, Callable[..., Task]] = {
    task.__name__: task
    for task in (burgers, cifar10, digits, fashion_mnist, file, function, helmholtz, mnist, polynomial, xor)
}


def on_device(task: Task, device: torch.device | str, dtype: torch.dtype) -> Task:
    """Return the task with its data on the device, real numbers in the dtype."""

    def move(split: Split) -> Split:
        x = split.x.to(device=device, dtype=dtype)
        real = split.y.is_floating_point()
        return Split(x, split.y.to(device=device, dtype=dtype) if real else split.y.to(device=device))

    conditions = None if task.conditions is None else move(task.conditions)
    return replace(
        task, train=move(task.train), validation=move(task.validation), test=move(task.test), conditions=conditions
    )


__all__ = [
    "TASKS", "DataUnavailable", "Evaluation", "Split", "Splits", "Task", "burgers", "cifar10",
    "digits", "fashion_mnist", "file", "function", "helmholtz", "mnist", "on_device", "polynomial", "task_of", "xor",
]  # fmt: skip
