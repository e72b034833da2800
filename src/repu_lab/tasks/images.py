"""Images as inputs of |x|^2/n_0 = 1."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repu_lab.tasks.base import Classification, Split, Task

DIGITS_TEST = 360  # a fifth of the 1,797 digits
DIGITS_CRITERION = 0.8  # accuracy: far above the 0.1 of a constant predictor, within reach of any network that trains


def digits(data_seed: int = 0) -> Task:
    """Handwritten digits: 1,797 real 8x8 images in ten classes (UCI, carried by scikit-learn); accuracy 0.8."""
    table = _digits_table()
    x, y = table[:, :-1], table[:, -1].long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(data_seed))
    test, train = order[:DIGITS_TEST], order[DIGITS_TEST:]
    center = x[train].mean(0)
    return Task(
        name="digits",
        train=Split(to_unit_mean_square(x[train] - center), y[train]),
        test=Split(to_unit_mean_square(x[test] - center), y[test]),
        outputs=10,
        objective=Classification(10),
        criterion=DIGITS_CRITERION,
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
