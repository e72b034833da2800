"""SIGINT and SIGTERM: at once where nothing is lost, after the step where something would be."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; its exit code is 128 plus the signal's number, as shells have it."""

    def __init__(self, number: int):
        """Take the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@dataclass
class Request:
    """A handler of signals: which has asked for an end first. It raises at once, or on a second SIGINT only."""

    number: int | None = None
    at_once: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        again = self.number is not None and number == signal.SIGINT
        self.number = self.number or number
        if self.at_once or again:
            raise Interrupted(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Interrupted on SIGINT and SIGTERM, from wherever the program is."""
    with _handling(Request(at_once=True)):
        try:
            yield
        except Exception as error:
            if (number := asked()) is not None:
                raise Interrupted(number) from error
            raise


@contextmanager
def deferred() -> Iterator[Request]:
    """Keep the first SIGINT or SIGTERM as a request that is to be looked at; a second SIGINT raises at once."""
    with _handling(Request(asked())) as request:
        yield request


def asked() -> int | None:
    """Return the signal that has asked for an end, None if there was none.

    The exception it raised may be lost, or have become another one: C code that imports a module swallows what comes.
    """
    handlers = (signal.getsignal(number) for number in SIGNALS)
    return next((handler.number for handler in handlers if isinstance(handler, Request)), None)


@contextmanager
def _handling(request: Request) -> Iterator[Request]:
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread is told of signals
        return
    # One that was ignored from the start stays so: shells start what runs in the background deaf to Ctrl-C.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request) for number in heard}
    try:
        yield request
    finally:
        for number, old in before.items():
            signal.signal(number, old)
