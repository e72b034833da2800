"""Signals that ask for an end: heard at once where nothing is lost, after the step where something would be."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# Ctrl-C; kill; the terminal is closed; what schedulers send ahead of a limit; the limit of CPU time.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)
# Those that reach every process of a terminal or a job.
GROUP_WIDE = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; its exit code is 128 plus the signal's number, as shells have it."""

    def __init__(self, number: int):
        """Take the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@dataclass
class Request:
    """Handles signals: keeps the first that asks for an end, raises at that if `at_once`, and at a second SIGINT.

    Others that follow (SIGHUP seldom comes without SIGTERM) do not cut short what the first one has started.
    """

    number: int | None = None
    at_once: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        first = self.number is None
        self.number = self.number or number
        if self.at_once if first else number == signal.SIGINT:
            raise Interrupted(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Interrupted on any of SIGNALS, from wherever the program is."""
    with _handling(Request(at_once=True)):
        try:
            yield
        except Exception as error:
            if (number := requested_signal()) is not None:
                raise Interrupted(number) from error
            raise


@contextmanager
def deferred() -> Iterator[Request]:
    """Keep the first of SIGNALS as a request that is to be looked at; a second SIGINT raises at once."""
    with _handling(Request(requested_signal())) as request:
        yield request


def requested_signal() -> int | None:
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
            if isinstance(old, Request):  # what has been asked for is known: no later signal cuts the ending short
                old.number = old.number or request.number
            signal.signal(number, old)
