"""A task from tensors of your own: classes or values, divided into three splits and scaled.

Shapes: B examples, I inputs, C outputs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.objectives import Classification, Objective, Regression

SCALES = ("sphere", "standard", "none")
VALIDATION = TEST = 0.15  # shares of the examples
FEWEST = 20  # of them, so that every split has three
R2_CRITERION = 0.9
LARGEST = 0.4  # power of a format's largest number: 1e15 in float32, 1e123 in float64; sums of squares stay within it
# Share of the way from the constant predictor's accuracy to 1 that counts as trained: digits' .8 of .1 is .78 of it.
CLASSES_CRITERION = 0.75


class Splits(NamedTuple):
    """Three parts of a data set, which share no example."""

    train: Split
    validation: Split
    test: Split


def task_of(
    x_BI: Tensor,
    y: Tensor,
    *,
    name: str = "own",
    scale: str = "sphere",
    criterion: float | None = None,
    data_seed: int = 0,
) -> Task:
    """Return the task of learning y from x: whole numbers (B,) are classes 0 .. C-1, real ones (B,) or (B, C) values.

    data_seed divides the examples into 70 % to train, 15 % to validate and 15 % to test. `scale`: see `scaled`. Values
    are standardised by the training split. criterion: the accuracy or R^2 of a trained network; left out, three
    quarters of the way from always naming the commonest class to 1, or R^2 = 0.9. ValueError says what is wrong.
    """
    x_BI, y = _numbers("x", x_BI), _numbers("y", y)
    x_BI = x_BI.flatten(1) if x_BI.dim() > 1 else x_BI.unsqueeze(1)
    if len(x_BI) != len(y):
        raise ValueError(f"x has {len(x_BI)} examples, y has {len(y)}: must be as many")
    if len(y) < FEWEST:
        raise ValueError(f"{len(y)} examples are too few for three splits; at least {FEWEST} are needed")
    if (x_BI == x_BI[0]).all():
        raise ValueError("no column of x ever changes: nothing can be learnt from it")
    if scale == "sphere" and x_BI.shape[1] == 1:
        raise ValueError("scale=sphere: leaves of one input its sign alone; take scale=standard")
    if y.dim() > 1 + y.is_floating_point():
        raise ValueError(f"y is {y.dtype} of shape {tuple(y.shape)}: must be whole numbers (B,), or real ones (B, C)")
    if y.is_floating_point():
        splits = divided(x_BI, y, data_seed)
        return regression(name, splits, scale=scale, criterion=criterion, data_seed=data_seed)
    classes = y.unique()
    if not torch.equal(classes, torch.arange(len(classes), device=y.device)):
        cure = "torch.unique(y, return_inverse=True)[1] numbers them so"
        raise ValueError(f"y holds classes {classes[:5].tolist()}: must be 0, 1, 2 and so on without a gap; {cure}")
    splits = divided(x_BI, y, data_seed, stratified=True)
    return classification(name, splits, scale=scale, criterion=criterion, data_seed=data_seed)


def _numbers(which: str, values: Tensor) -> Tensor:
    """Return x or y as float32 or float64, y as whole numbers if it is neither; ValueError for what is no such data."""
    if not isinstance(values, Tensor):
        raise ValueError(f"{which} is a {type(values).__name__}: must be a torch.Tensor")
    if values.layout != torch.strided:
        raise ValueError(f"{which} is {values.layout}: must be dense; {which}.to_dense() is, if the memory holds it")
    if values.dim() == 0 or values.is_complex():
        raise ValueError(f"{which} is {values.dtype} of shape {tuple(values.shape)}: must be real, a row an example")
    if not (finite := values.isfinite()).all():
        first = int(torch.nonzero(~finite)[0, 0])
        raise ValueError(f"{which}[{first}] is not finite: fill what is missing, or leave the example out")
    if which == "y" and not values.is_floating_point():
        return values.long()
    values = values.detach() if values.dtype in (torch.float32, torch.float64) else values.detach().float()
    largest, limit = values.abs().max().item() if values.numel() else 0.0, torch.finfo(values.dtype).max ** LARGEST
    if largest and not 1 / limit < largest < limit:
        raise ValueError(f"{which} holds numbers of up to {largest:.0e}: squares leave {values.dtype}; rescale it")
    return values


def divided(
    x_BI: Tensor,
    y: Tensor,
    data_seed: int,
    test: int | None = None,
    validation: int | None = None,
    *,
    stratified: bool = False,
) -> Splits:
    """Return the examples in an order drawn from data_seed: first those to test, then to validate, then to train.

    stratified: of each class as large a share as of all, and at least one to train on.
    """
    test = round(TEST * len(y)) if test is None else test
    validation = round(VALIDATION * len(y)) if validation is None else validation
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(data_seed))
    if stratified and not y.is_floating_point():
        one_hot_BC = torch.nn.functional.one_hot(y[order])
        rank_B = (one_hot_BC.cumsum(0) - 0.5).gather(1, y[order, None])[:, 0] / one_hot_BC.sum(0)[y[order]]
        order = order[rank_B.argsort(stable=True)]
    parts = order.split([test, validation, len(y) - test - validation])
    tested, validated, trained = (Split(x_BI[part], y[part]) for part in parts)
    return Splits(trained, validated, tested)


def classification(
    name: str, splits: Splits, *, scale: str = "sphere", criterion: float | None = None, data_seed: int = 0
) -> Task:
    """Return the task of naming classes 0 .. C-1; ValueError if there is one class, or the training split lacks one."""
    classes = 1 + max(int(split.y.max()) for split in splits)
    counts = torch.bincount(splits.train.y, minlength=classes)
    if classes < 2:
        raise ValueError("y has one class only: nothing is to be learnt")
    if not counts.all() or min(int(split.y.min()) for split in splits) < 0:
        missing = torch.nonzero(counts == 0).flatten().tolist()
        raise ValueError(f"classes must be 0 to {classes - 1}, each with examples to train on; none of {missing[:5]}")
    commonest = counts.max().item() / len(splits.train)
    return _task(
        name,
        splits,
        Classification(classes),
        classes,
        scale,
        data_seed,
        commonest + CLASSES_CRITERION * (1 - commonest) if criterion is None else criterion,
    )


def regression(
    name: str, splits: Splits, *, scale: str = "sphere", criterion: float | None = None, data_seed: int = 0
) -> Task:
    """Return the task of learning values, standardised by the training split; ValueError if a column never changes."""
    train, validation, test = (Split(x, y.unsqueeze(1) if y.dim() == 1 else y) for x, y in splits)
    mean, std = train.y.mean(0), _spread(train.y)
    if not (std > 0).all():
        raise ValueError("y has a column with one value only: nothing is to be learnt")
    splits = Splits(*(Split(x, (y - mean) / std) for x, y in (train, validation, test)))
    criterion = R2_CRITERION if criterion is None else criterion
    return _task(name, splits, Regression(splits.train.y), len(mean), scale, data_seed, criterion)


def scaled(splits: Splits, scale: str) -> Splits:
    """Return the inputs less their mean over the training split, and each scaled to |x|^2/n_0 = 1: `sphere`.

    So every input starts with K^1 = k1 exactly. `standard`: each column less its mean over its standard deviation,
    |x|^2/n_0 = 1 in the mean alone; `none`: as they are. ValueError for `standard` if a column never changes.
    """
    x = splits.train.x
    if scale == "none":
        return splits
    mean, std = x.mean(0), _spread(x)
    if scale == "standard" and not (std > 0).all():
        column = int(torch.nonzero(std == 0)[0])
        raise ValueError(
            f"scale=standard: column {column} of x (from 0) has one value only; leave it out, or scale=sphere"
        )
    change = {"sphere": lambda x: to_unit_mean_square(x - mean), "standard": lambda x: (x - mean) / std}[scale]
    return Splits(*(Split(change(x), y) for x, y in splits))


def _spread(values_BN: Tensor) -> Tensor:
    """Return the standard deviation of each column, exactly 0 if it never changes: of .1s rounding leaves 1e-17."""
    return torch.where((values_BN != values_BN[0]).any(0), values_BN.std(0), 0.0)


def to_unit_mean_square(x_BI: Tensor) -> Tensor:
    """Scale each input to |x|^2/n_0 = 1; an input of zeros stays zero."""
    rms = x_BI.square().mean(-1, keepdim=True).sqrt()
    return x_BI / torch.where(rms > 0, rms, 1.0)


def _task(
    name: str, splits: Splits, objective: Objective, outputs: int, scale: str, data_seed: int, criterion: float
) -> Task:
    if scale not in SCALES:
        raise ValueError(f"scale={scale}: must be one of {', '.join(SCALES)}")
    train, validation, test = scaled(splits, scale)
    return Task(
        name=name,
        train=train,
        validation=validation,
        test=test,
        outputs=outputs,
        objective=objective,
        criterion=criterion,
        data_seed=data_seed,
        input_mean_square=1.0 if scale == "sphere" else float(train.x.double().square().mean()),
    )
