"""The standard streams, whatever they are: closed, full, left by their reader, without a code for a sign.

What a command has to say never ends it: a run says everything in its run.log too.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def standard_streams() -> Iterator[Callable[[], str | None]]:
    """Let print and tqdm write whatever happens; yield what returns why standard output could not be written, or None.

    A reader that has gone (repu-lab ... | head) is no reason. Streams that are no files, as in notebooks, are left.
    """
    _occupy()
    before = sys.stdout, sys.stderr
    out, sys.stdout = _bearing(sys.stdout, 1)
    _, sys.stderr = _bearing(sys.stderr, 2)

    def lost() -> str | None:
        sys.stdout.flush()
        error = None if out is None else out.error
        return None if error is None or error.errno == errno.EPIPE else error.strerror

    try:
        yield lost
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class _Sink(io.FileIO):
    """A file whose first error is kept instead of raised; what is written after it is dropped."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            while self.error is None:
                if (written := super().write(data)) is not None:
                    return written
                select.select([], [self], [])  # a pipe that another program has made non-blocking is full
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes


def _occupy() -> None:
    """Open what is closed of 0, 1 and 2: the next file would get that number, and what is printed would go into it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _bearing(stream: Any, number: int) -> tuple[_Sink | None, Any]:
    try:
        sink = _Sink(number if stream is None else stream.fileno(), "w", closefd=False)
    except (OSError, ValueError, AttributeError):
        return None, stream
    if stream is not None:
        stream.flush()
    return sink, io.TextIOWrapper(
        io.BufferedWriter(sink),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=number == 2 or sink.isatty(),
    )
