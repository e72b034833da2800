"""SIGINT and SIGTERM: at once where nothing is lost, after the step where something would be."""

import signal
import threading
from collections.abc import Callable, Iterator
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
    """Whether a signal has asked for an end, and which."""

    number: int | None = None


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Interrupted on SIGINT and SIGTERM, from wherever the program is."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handling(end):
        yield


@contextmanager
def deferred() -> Iterator[Request]:
    """Keep the first SIGINT or SIGTERM as a request that is to be looked at; a second SIGINT raises at once."""
    request = Request()

    def note(number: int, frame: FrameType | None) -> None:
        if request.number is not None and number == signal.SIGINT:
            raise Interrupted(number)
        request.number = request.number or number

    with _handling(note):
        yield request


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    # One that was ignored from the start stays so: shells start what runs in the background deaf to Ctrl-C.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
