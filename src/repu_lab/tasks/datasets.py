"""Known sets of images, wherever they lie: as .npz, IDX or CIFAR-10's batches; fetched if they lie nowhere."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from repu_lab.tasks.stored import (
    Unreadable,
    names_in_npz,
    read_cifar_binary,
    read_cifar_pickle,
    read_idx,
    read_npz,
)

CACHE = "~/.cache/repu-lab"
CACHE_VARIABLE = "REPU_LAB_DATA"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
AGAIN = ": delete it, and it is fetched again"
COPIED = ": copy it there again, or name another folder"
Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Read = TypeVar("Read")


class DataUnavailable(ValueError):
    """A data set that is neither here nor to be had now; one line that says what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images in classes: how many, the last how many to test, of the rest how many to validate; pixels of one.

    counts: of each class. places: where they lie below a folder of data, and on Debian. openml_name: at
    openml.org; wait: for what.
    """

    name: str
    openml_name: str
    examples: int
    test: int
    validation: int
    pixels: int
    counts: tuple[int, ...]
    wait: str
    places: tuple[str, ...] = ()
    installed: str = ""


MNIST = Dataset(
    "mnist",
    "mnist_784",
    70_000,
    10_000,
    5000,
    784,
    (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958),
    "15 MB, about a minute",
    ("MNIST/raw", "mnist"),
)
FASHION_MNIST = Dataset(
    "fashion_mnist",
    "Fashion-MNIST",
    70_000,
    10_000,
    5000,
    784,
    (7000,) * 10,
    "30 MB, about a minute",
    ("FashionMNIST/raw", "fashion-mnist", "fashion_mnist"),
    "/usr/share/datasets/fashion-mnist",
)
CIFAR10 = Dataset(
    "cifar10",
    "CIFAR_10",
    60_000,
    10_000,
    5000,
    3072,
    (6000,) * 10,
    "some 250 MB, several minutes and 4 GB of memory",
    ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10"),
)


def cache_folder(folder: str | None = None) -> Path:
    """Return where data sets are kept: the folder given, else that of REPU_LAB_DATA, else ~/.cache/repu-lab."""
    return Path(folder or os.environ.get(CACHE_VARIABLE) or CACHE).expanduser()


def images(dataset: Dataset, cache: Path, folder: Path | None = None) -> tuple[Images, str]:
    """Return pixels (N, I) and classes (N,), those to test last, and a line that says what was found where.

    `folder`: only there; else in the cache, where the system keeps them, and at last fetched into the cache.
    DataUnavailable if they are nowhere, or not what they should be.
    """
    roots = [cache, *([Path(dataset.installed)] if dataset.installed else [])] if folder is None else [folder]
    for root in roots:
        if (split := _in_folder(dataset, root, AGAIN if folder is None else COPIED)) is not None:
            return split
    if folder is not None:
        names = " or ".join(file.name for _, file, _ in _forms(dataset, Path()) if file.parent == Path())
        cause = f"holds no {dataset.name}; looked for {names}, there and in {', '.join(dataset.places)}"
        for table in [folder] if folder.suffix == ".csv" else sorted(folder.glob("*.csv"))[:1]:
            cause += f"; a table is read by task=file task.path={table} task.target=COLUMN"
        raise DataUnavailable(f"task.folder={folder}: {cause}")
    from repu_lab.tasks.openml import fetch

    fetch(dataset, cache / f"{dataset.name}.npz")
    split = _in_folder(dataset, cache, AGAIN)
    assert split is not None
    return split


def complaint(dataset: Dataset, x: NDArray, y: NDArray) -> str | None:
    """Say what is wrong with data that should be this data set, None if nothing."""
    shapes = (dataset.examples, dataset.pixels), (dataset.examples,)
    if (x.shape, y.shape) != shapes:
        return f"holds {x.shape}, {y.shape} instead of {shapes[0]}, {shapes[1]}"
    if not (x.min() >= 0 and x.max() <= 255 and np.isin(y, np.arange(len(dataset.counts))).all()):
        return f"holds something else than bytes in {len(dataset.counts)} classes"
    counts = tuple(np.bincount(y.astype(np.int64), minlength=len(dataset.counts)).tolist())
    return None if counts == dataset.counts else f"is not {dataset.name}: of its classes it holds {counts}"


def _in_folder(dataset: Dataset, root: Path, cure: str) -> tuple[Images, str] | None:
    """Return the data set of a folder in the first form that is there, None if there is none."""
    for form, file, read in _forms(dataset, root):
        if os.path.lexists(file):
            return _read(dataset, form, file, read, cure)
    return None


Layout = tuple[str, Path, Callable[[Dataset, Path], Images]]


def _forms(dataset: Dataset, root: Path) -> Iterator[Layout]:
    """Yield name, one file, and reader of every form in which the data set may lie in a folder."""
    for place in (root, *(root / name for name in dataset.places)):
        yield ".npz", place / f"{dataset.name}.npz", _npz
        if dataset.pixels == 3072:
            yield "binary batches", place / f"{BATCHES[0]}.bin", _batches
            yield "python batches", place / BATCHES[0], _batches
        else:
            yield "IDX", place / "train-images-idx3-ubyte", _idx
            yield "IDX, gzip", place / "train-images-idx3-ubyte.gz", _idx


@lru_cache(maxsize=1)
def _read(
    dataset: Dataset, form: str, file: Path, read: Callable[[Dataset, Path], Images], cure: str
) -> tuple[Images, str]:
    try:
        x, y = read(dataset, file)
    except Exception as error:  # zipfile, gzip, pickle and numpy fail in many ways on what is cut or made up
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataUnavailable(f"{dataset.name} in {file.parent} is damaged ({why}){cure}") from error
    if wrong := complaint(dataset, x, y):
        raise DataUnavailable(f"{file} {wrong}{cure}")
    train = dataset.examples - dataset.test
    message = f"{dataset.name} from {file.parent} ({form}): {train:,} images and {dataset.test:,} to test, of "
    return (x, y), message + f"{dataset.pixels} pixels in {len(dataset.counts)} classes"


def _npz(dataset: Dataset, file: Path) -> Images:
    """X and y, or as others store them: x_train, y_train, x_test, y_test."""
    N, T, I = dataset.examples, dataset.test, dataset.pixels
    if "x_train" not in _part(file, names_in_npz):
        x, y = _part(file, lambda path: read_npz(path, {"x": (N, I), "y": (N,)}))
        return x, y
    side = (round(I**0.5),) * 2 if I != 3072 else (32, 32, 3)
    shapes = {"x_train": (N - T, *side), "x_test": (T, *side), "y_train": (N - T,), "y_test": (T,)}
    parts = _part(file, lambda path: read_npz(path, shapes))
    return np.concatenate([part.reshape(len(part), -1) for part in parts[:2]]), np.concatenate(parts[2:])


def _idx(dataset: Dataset, file: Path) -> Images:
    side, arrays = round(dataset.pixels**0.5), []
    endings = (".gz", "") if file.suffix == ".gz" else ("", ".gz")  # some may be unpacked
    for kind, dimensions, shape in (("images", 3, (side, side)), ("labels", 1, ())):
        parts = []
        for split, count in (("train", dataset.examples - dataset.test), ("t10k", dataset.test)):
            paths = [file.with_name(f"{split}-{kind}-idx{dimensions}-ubyte{ending}") for ending in endings]
            path = next(filter(os.path.lexists, paths), paths[0])
            parts.append(_part(path, lambda path, count=count, shape=shape: read_idx(path, (count, *shape))))
        arrays.append(np.concatenate(parts))
    return arrays[0].reshape(len(arrays[0]), -1), arrays[1]


def _batches(_: Dataset, file: Path) -> Images:
    read = read_cifar_binary if file.suffix else read_cifar_pickle
    parts = [_part(file.with_name(f"{name}{file.suffix}"), read) for name in BATCHES]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _part(path: Path, read: Callable[[Path], Read]) -> Read:
    try:
        return read(path)
    except Exception as error:  # as in `_read`: the file that is damaged is named
        raise Unreadable(f"{path.name}: {error or type(error).__name__}") from error
