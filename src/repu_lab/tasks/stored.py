"""Arrays from files that anybody may have made: IDX, .npy, .npz, CIFAR-10's batches. No code in a file is run.

Sizes are compared with what a header says before memory is taken, and a pipe is not waited for.
"""

import gzip
import io
import math
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

LARGEST = 2 * 10**9  # bytes of an array: data are held in memory as a whole, and once more as real numbers
CIFAR_IMAGES, CIFAR_PIXELS = 10_000, 3072  # of one batch


class Unreadable(ValueError):
    """A file that is not what its name says; the message says why, without the name."""


def opened(path: Path) -> BinaryIO:
    """Open a regular file; Unreadable for anything else."""
    if not os.path.isfile(path):
        raise Unreadable("it is no file" if os.path.lexists(path) else "there is no such file")
    try:
        return open(path, "rb")
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the bytes of an IDX file of this shape, compressed by gzip or not.

    Two zeros, 8 for bytes, the number of dimensions, each dimension as four bytes (largest first), then the data.
    """
    with opened(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = gzip.GzipFile(fileobj=file) if packed else file
        head = content.read(4 + 4 * len(shape))
        shape_there = tuple(np.frombuffer(head[4:], ">u4").tolist()) if len(head) == 4 + 4 * len(shape) else ()
        if head[:4] != bytes([0, 0, 8, len(shape)]) or shape_there != shape:
            raise Unreadable(f"holds {shape_there or 'no IDX data'} instead of {shape} bytes")
        return _array(content.read(math.prod(shape) + 1), shape)


def read_npz(path: Path, names: Mapping[str, tuple[int, ...]]) -> list[NDArray[np.uint8]]:
    """Return arrays of bytes by name and shape from an .npz file."""
    with opened(path) as file, ZipFile(file) as stored:
        arrays = []
        for name, shape in names.items():
            with stored.open(f"{name}.npy") as stream:
                shape_there, by_column, dtype = npy_header(stream)
                if (shape_there, dtype) != (shape, np.uint8):
                    raise Unreadable(f"{name} holds {shape_there} of {dtype} instead of {shape} of uint8")
                arrays.append(_array(stream.read(math.prod(shape)), shape, "F" if by_column else "C"))
        return arrays


def names_in_npz(path: Path) -> set[str]:
    """Return the names of the arrays in an .npz file."""
    with opened(path) as file, ZipFile(file) as stored:
        return {name.removesuffix(".npy") for name in stored.namelist()}


def npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether it runs by columns, and dtype of what follows; Unreadable for objects and what is huge."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(stream)
    if dtype.hasobject:
        raise Unreadable("it holds Python objects, which only code could read; store numbers or texts")
    if math.prod(shape) * dtype.itemsize > LARGEST:
        raise Unreadable(
            f"it holds {math.prod(shape) * dtype.itemsize / 1e9:.1f} GB; valid are up to {LARGEST / 1e9:g}"
        )
    return shape, by_column, dtype


def read_npy(stream: Any) -> NDArray[Any]:
    """Return the array of an .npy file or a member of an .npz file."""
    shape, by_column, dtype = npy_header(stream)
    size = math.prod(shape) * dtype.itemsize
    content = stream.read(size)
    if len(content) != size:
        raise Unreadable("it was cut short")
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if by_column else "C")


def read_cifar_binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return pixels and classes of a binary batch: a byte for the class and 3,072 for the pixels, 10,000 times."""
    with opened(path) as file:
        rows = _array(file.read(CIFAR_IMAGES * (1 + CIFAR_PIXELS) + 1), (CIFAR_IMAGES, 1 + CIFAR_PIXELS))
    return rows[:, 1:], rows[:, 0]


def read_cifar_pickle(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return pixels and classes of a python batch, a pickled dictionary, of which no code is run."""
    with opened(path) as file:
        content = file.read(2 * CIFAR_IMAGES * CIFAR_PIXELS)
    batch = _Inert(io.BytesIO(content), encoding="bytes").load()
    data, labels = (batch.get(name, batch.get(name.encode())) for name in ("data", "labels"))
    if not isinstance(data, _Stored) or not isinstance(labels, list):
        raise Unreadable("holds no data and labels")
    return _array(data.content, (CIFAR_IMAGES, CIFAR_PIXELS)), np.array(labels, np.uint8)


class _Stored:
    """What stands for numpy's array while a pickle is read: it keeps the bytes of its state."""

    content = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.content = state[-1]


class _Kind:
    """What stands for numpy's dtype: nothing of it is needed, since only bytes have the right number."""

    def __init__(self, *_: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Inert(pickle.Unpickler):
    """Reads a pickle of plain values and arrays; other names are refused, and no function of numpy is called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name."""
        known = {
            "_reconstruct": lambda *_: _Stored(),
            "ndarray": _Stored,
            "dtype": _Kind,
            "encode": lambda text, _: text.encode("latin1"),  # how Python 3 writes bytes in an old protocol
        }
        homes = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs")
        if module not in homes or name not in known:
            raise Unreadable(f"names {module}.{name}, which is no data, and was not run")
        return known[name]


def _array(content: bytes, shape: tuple[int, ...], order: Any = "C") -> NDArray[np.uint8]:
    if not isinstance(content, bytes) or len(content) != math.prod(shape):
        raise Unreadable(f"does not hold {math.prod(shape)} bytes")
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape, order=order)  # writable, as torch wants it
