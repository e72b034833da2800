"""Images from openml.org, by scikit-learn's fetch_openml, kept as one file a data set.

scikit-learn is imported only when something has to be fetched: that costs a second.
"""

import errno
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
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from repu_lab.tasks.datasets import CACHE_VARIABLE, Dataset, DataUnavailable, complaint

TIMEOUT = 30.0  # seconds without an answer
POLL = 0.2  # seconds between looks at how much has come
LARGEST = 10**9  # bytes of a file that may come: CIFAR-10 takes 250 MB


def fetch(dataset: Dataset, file: Path) -> None:
    """Fetch a data set into <file>.npz: x (N, I) and y (N,) in the order of the source, bytes.

    DataUnavailable if that is not possible.
    """
    download: Path | None = None  # of this process alone
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        download = Path(tempfile.mkdtemp(prefix=f".{dataset.name}.{os.getpid()}.", dir=file.parent))
        with progress(dataset, download), _timeout(), _bounded(LARGEST), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns at every attempt
            from sklearn.datasets import fetch_openml

            answer: Any = fetch_openml(
                dataset.openml_name, version=1, data_home=str(download), as_frame=False, parser="liac-arff", n_retries=1
            )
        x, y = answer["data"], answer["target"].astype(np.float64)
        if wrong := complaint(dataset, x, y):
            raise ValueError(f"what came {wrong}")
        partial = download / file.name
        with open(partial, "wb") as stream:
            np.savez(stream, x=x.astype(np.uint8), y=y.astype(np.uint8))
        os.replace(partial, file)
    except Exception as error:  # fetch_openml has many ways to fail on an answer that it did not expect
        raise DataUnavailable(
            f"is not in {file.parent} and cannot be fetched from openml.org ({_reason(error)}); run it once where "
            f"there is a network and copy {file.name} here, or name the folder of {dataset.name} as it is published, "
            f"task.folder=DIR, or that of the data, task.cache=DIR or {CACHE_VARIABLE}=DIR"
        ) from error
    finally:
        if download is not None:
            shutil.rmtree(download, ignore_errors=True)


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
