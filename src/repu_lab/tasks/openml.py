"""Images from openml.org, by scikit-learn's fetch_openml, kept as one file a data set.

scikit-learn is imported only when something has to be fetched: that costs a second.
"""

import errno
import math
import os
import resource
import shutil
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

CACHE = "~/.cache/repu-lab"
CACHE_VARIABLE = "REPU_LAB_DATA"
TIMEOUT = 30.0  # seconds without an answer
POLL = 0.2  # seconds between looks at how much has come
LARGEST = 10**9  # bytes of a file that may come: CIFAR-10 takes 250 MB


class DataUnavailable(ValueError):
    """A data set that is neither here nor to be had now; one line that says what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images in ten classes: name and version at openml.org, how many, the last how many to test, what to wait for."""

    name: str
    openml_name: str
    version: int
    examples: int
    test: int
    pixels: int
    wait: str


MNIST = Dataset("mnist", "mnist_784", 1, 70_000, 10_000, 784, "15 MB, about a minute")
CIFAR10 = Dataset("cifar10", "CIFAR_10", 1, 60_000, 10_000, 3072, "some 250 MB, several minutes and 4 GB of memory")


def cache_folder(folder: str | None = None) -> Path:
    """Return where data sets are kept: the folder given, else that of REPU_LAB_DATA, else ~/.cache/repu-lab."""
    return Path(folder or os.environ.get(CACHE_VARIABLE) or CACHE).expanduser()


def images(dataset: Dataset, folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pixels (N, I) and classes (N,) in the order of the source, from <folder>/<name>.npz.

    They are fetched the first time. DataUnavailable if that is not possible.
    """
    file = folder / f"{dataset.name}.npz"
    if not os.path.lexists(file):
        _fetch(dataset, file)
    return _read(dataset, file)


@lru_cache(maxsize=1)
def _read(dataset: Dataset, file: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        if not os.path.isfile(file):  # a pipe would wait for ever
            raise ValueError("it is no file")
        with ZipFile(file) as stored:
            x = _array(stored, "x", (dataset.examples, dataset.pixels))
            y = _array(stored, "y", (dataset.examples,))
    except Exception as error:  # zipfile and numpy have many ways to fail on a file that is cut or made up
        raise DataUnavailable(f"{file} is damaged ({_reason(error)}): delete it, and it is fetched again") from error
    complaint = _complaint(dataset, x, y)
    if complaint:
        raise DataUnavailable(f"{file} {complaint}: delete it, and it is fetched again")
    return x, y


def _array(stored: ZipFile, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read bytes of this shape; the header is looked at first, since numpy makes room for whatever it says."""
    with stored.open(f"{name}.npy") as stream:
        np.lib.format.read_magic(stream)
        found, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        if (found, dtype) != (shape, np.uint8):
            raise ValueError(f"{name} holds {found} of {dtype} instead of {shape} of uint8")
        content = np.frombuffer(bytearray(stream.read(math.prod(shape))), np.uint8)  # writable, as torch wants it
        return content.reshape(shape, order="F" if by_column else "C")


def _fetch(dataset: Dataset, file: Path) -> None:
    download: Path | None = None  # of this process alone
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        download = Path(tempfile.mkdtemp(prefix=f".{dataset.name}.{os.getpid()}.", dir=file.parent))
        with progress(dataset, download), _timeout(), _bounded(LARGEST), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns at every attempt
            from sklearn.datasets import fetch_openml

            found: Any = fetch_openml(
                dataset.openml_name, version=dataset.version, data_home=str(download), as_frame=False,
                parser="liac-arff", n_retries=1,
            )  # fmt: skip
        x, y = found["data"], found["target"].astype(np.float64)
        complaint = _complaint(dataset, x, y)
        if complaint:
            raise ValueError(f"what came {complaint}")
        partial = download / file.name
        with open(partial, "wb") as stream:
            np.savez(stream, x=x.astype(np.uint8), y=y.astype(np.uint8))
        os.replace(partial, file)
    except Exception as error:  # fetch_openml has many ways to fail on an answer that it did not expect
        raise DataUnavailable(
            f"is not in {file.parent} and cannot be fetched from openml.org ({_reason(error)}); run it once where "
            f"there is a network and copy {file.name} here, or name its folder: task.cache=DIR or {CACHE_VARIABLE}=DIR"
        ) from error
    finally:
        if download is not None:
            shutil.rmtree(download, ignore_errors=True)


def _complaint(dataset: Dataset, x: NDArray, y: NDArray) -> str | None:
    """Say what is wrong with data that should be this data set."""
    if x.shape != (dataset.examples, dataset.pixels) or y.shape != (dataset.examples,):
        return f"holds {x.shape}, {y.shape} instead of {(dataset.examples, dataset.pixels)}, {(dataset.examples,)}"
    if not (x.min() >= 0 and x.max() <= 255 and np.array_equal(np.unique(y), np.arange(10))):
        return "holds something else than bytes in ten classes"
    return None


@contextmanager
def progress(dataset: Dataset, folder: Path) -> Iterator[None]:
    """Say so when something comes into a folder, and on a terminal how much, for as long as the context lasts."""
    done = threading.Event()

    def watch() -> None:
        while _bytes(folder) == 0:
            if done.wait(POLL):
                return
        print(f"fetching {dataset.name} from openml.org into {folder.parent}: {dataset.wait}, once", file=sys.stderr)
        with tqdm(desc=dataset.name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            while not done.wait(POLL):
                bar.update(_bytes(folder) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _bytes(folder: Path) -> int:
    """Return the size of the files in a folder, of which some may vanish while one looks."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(path, name))
            except OSError:
                continue
    return total


@contextmanager
def _timeout() -> Iterator[None]:
    """Let a connection that does not answer fail: fetch_openml sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _bounded(size: int) -> Iterator[None]:
    """Let no file that this process writes grow beyond so many bytes: an answer may have no end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    tighter = min(limit for limit in (size, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tighter, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EFBIG:
        return f"more than {LARGEST / 1e6:g} MB came"
    text = str(getattr(error, "reason", None) or error) or type(error).__name__
    return " ".join(text.split())[:200]
