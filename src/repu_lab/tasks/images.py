"""Images as inputs of |x|^2/n_0 = 1."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.objectives import Classification
from repu_lab.tasks.openml import CIFAR10, MNIST, Dataset, cache_folder
from repu_lab.tasks.openml import images as read_images

CLASSES = 10
DIGITS_TEST = 360  # a fifth of the 1,797 digits
DIGITS_CRITERION = 0.8  # accuracy: far above the 0.1 of a constant predictor, within reach of any network that trains
# Accuracy, just below where a linear classifier ends (about .92 and .40): with less, the hidden layers lose something.
MNIST_CRITERION = 0.9
CIFAR10_CRITERION = 0.38


def digits(data_seed: int = 0) -> Task:
    """Handwritten digits: 1,797 real 8x8 images in ten classes (UCI, carried by scikit-learn); accuracy 0.8."""
    table = _digits_table()
    x, y = table[:, :-1], table[:, -1].long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(data_seed))
    test, train = order[:DIGITS_TEST], order[DIGITS_TEST:]
    return classification("digits", Split(x[train], y[train]), Split(x[test], y[test]), DIGITS_CRITERION, data_seed)


def mnist(data_seed: int = 0, cache: str | None = None) -> Task:
    """Handwritten digits: 60,000 images of 28x28 and 10,000 to test, from openml.org; accuracy 0.9."""
    return from_openml(MNIST, MNIST_CRITERION, data_seed, cache)


def cifar10(data_seed: int = 0, cache: str | None = None) -> Task:
    """Photographs in ten classes: 50,000 of 32x32x3 and 10,000 to test, from openml.org; accuracy 0.38."""
    return from_openml(CIFAR10, CIFAR10_CRITERION, data_seed, cache)


def from_openml(dataset: Dataset, criterion: float, data_seed: int, cache: str | None) -> Task:
    """Return the task of a data set, whose last images are the test split; DataUnavailable if it is not to be had."""
    pixels, classes = read_images(dataset, cache_folder(cache))
    # float32: in float64 the photographs would take 1.5 GB.
    x, y = torch.from_numpy(pixels).float(), torch.from_numpy(classes).long()
    end = len(x) - dataset.test
    return classification(dataset.name, Split(x[:end], y[:end]), Split(x[end:], y[end:]), criterion, data_seed)


def classification(name: str, train: Split, test: Split, criterion: float, data_seed: int) -> Task:
    """Return the task with inputs less their mean over the training split, scaled to |x|^2/n_0 = 1."""
    center = train.x.mean(0)
    return Task(
        name=name,
        train=Split(to_unit_mean_square(train.x - center), train.y),
        test=Split(to_unit_mean_square(test.x - center), test.y),
        outputs=CLASSES,
        objective=Classification(CLASSES),
        criterion=criterion,
        input_mean_square=1.0,
        data_seed=data_seed,
    )


@cache
def _digits_table() -> Tensor:
    """Return 1,797 rows of 64 pixels and the class, read from scikit-learn's own file: importing it costs a second."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    return torch.from_numpy(np.loadtxt(file, delimiter=","))


def to_unit_mean_square(x_BI: Tensor) -> Tensor:
    """Scale each input to |x|^2/n_0 = 1; an input of zeros stays zero."""
    rms = x_BI.square().mean(-1, keepdim=True).sqrt()
    return x_BI / torch.where(rms > 0, rms, 1.0)
