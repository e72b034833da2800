"""Images in classes, as inputs of |x|^2/n_0 = 1."""

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.datasets import CIFAR10, FASHION_MNIST, MNIST, Dataset, cache_folder
from repu_lab.tasks.datasets import images as read_images
from repu_lab.tasks.tensors import Splits, classification, divided

DIGITS_TEST, DIGITS_VALIDATION = 240, 120  # of 1,797
DIGITS_CRITERION = 0.8  # accuracy: far above the 0.1 of a constant predictor, within reach of any network that trains
# Accuracy, just below where a linear classifier ends (.92, .85, .40): with less, the hidden layers lose something.
MNIST_CRITERION = 0.9
FASHION_CRITERION = 0.84
CIFAR10_CRITERION = 0.38


def digits(data_seed: int = 0) -> Task:
    """Handwritten digits: 1,797 real 8x8 images in ten classes (UCI, carried by scikit-learn); accuracy 0.8."""
    table = _digits_table()
    splits = divided(table[:, :-1], table[:, -1].long(), data_seed, DIGITS_TEST, DIGITS_VALIDATION)
    return classification("digits", splits, criterion=DIGITS_CRITERION, data_seed=data_seed)


def mnist(data_seed: int = 0, cache: str | None = None, folder: str | None = None, examples: int | None = None) -> Task:
    """Handwritten digits, 28x28: 60,000 images, of which 5,000 validate, and 10,000 to test; accuracy 0.9."""
    return known(MNIST, MNIST_CRITERION, data_seed, cache, folder, examples)


def fashion_mnist(
    data_seed: int = 0, cache: str | None = None, folder: str | None = None, examples: int | None = None
) -> Task:
    """Clothes in ten classes, 28x28: 60,000 images, of which 5,000 validate, and 10,000 to test; accuracy 0.84."""
    return known(FASHION_MNIST, FASHION_CRITERION, data_seed, cache, folder, examples)


def cifar10(
    data_seed: int = 0, cache: str | None = None, folder: str | None = None, examples: int | None = None
) -> Task:
    """Photographs in ten classes, 32x32x3: 50,000, of which 5,000 validate, and 10,000 to test; accuracy 0.38."""
    return known(CIFAR10, CIFAR10_CRITERION, data_seed, cache, folder, examples)


def known(
    dataset: Dataset, criterion: float, data_seed: int, cache: str | None, folder: str | None, examples: int | None
) -> Task:
    """Return the task of a data set, whose last images are the test split; DataUnavailable if it is not to be had.

    data_seed draws which images validate and, of the others, `examples` to train on, as many of each class.
    """
    at = None if folder is None else Path(folder).expanduser()
    (pixels, classes), source = read_images(dataset, cache_folder(cache), at)
    # float32: in float64 the photographs would take 1.5 GB.
    x, y = torch.from_numpy(pixels).float(), torch.from_numpy(classes).long()
    end = len(x) - dataset.test
    train, validation, _ = divided(x[:end], y[:end], data_seed, 0, dataset.validation)
    if examples is not None:
        train = balanced(train, examples)
        source += f"; {examples:,} of them to train on, as many of each class"
    splits = Splits(train, validation, Split(x[end:], y[end:]))
    task = classification(dataset.name, splits, criterion=criterion, data_seed=data_seed)
    return replace(task, source=source)


def balanced(split: Split, examples: int) -> Split:
    """Return the first so many examples of which each class has as many, or one more; ValueError if there are fewer."""
    one_hot_BC = torch.nn.functional.one_hot(split.y)
    rank_B = one_hot_BC.cumsum(0).gather(1, split.y[:, None])[:, 0] - 1  # how many of its class come before
    share, more = divmod(examples, one_hot_BC.shape[1])
    wanted_B = rank_B < share + (split.y < more).long()
    if wanted_B.sum() < examples:
        fewest = int(one_hot_BC.sum(0).min())
        raise ValueError(f"examples={examples}: a class has {fewest} only; at most {fewest * one_hot_BC.shape[1]}")
    return Split(split.x[wanted_B], split.y[wanted_B])


@cache
def _digits_table() -> Tensor:
    """Return 1,797 rows of 64 pixels and the class, read from scikit-learn's own file: importing it costs a second."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    return torch.from_numpy(np.loadtxt(file, delimiter=","))
