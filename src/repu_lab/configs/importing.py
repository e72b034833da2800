"""Importing much at once without collecting garbage meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what stays to the end: the collector neither looks for garbage in it now nor ever again.

    torch and what the lab needs beside it make some million objects: looking through them again and again took a tenth
    of the time to the first step.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
