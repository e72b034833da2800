"""Processes that do tasks for a sweep, one at a time each; whatever happens in one, the others go on.

A task is a function of one argument and of `report`, which tells the parent how far it has come (a share). A worker
takes one after another; when it dies (a segmentation fault, the memory's end, a kill), its task is reported as dead and
the next one gets a new worker. When the parent dies, a worker is interrupted as by SIGTERM: it saves and ends.

Workers are forked from a server that has imported torch once, so a new one is there at once. Signals that reach all
processes of a terminal or a job, Ctrl-C first of all, are blocked in them: they hear of it from the parent, after the
step.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from repu_lab.configs.config import ConfigError
from repu_lab.runs.interruption import GROUP_WIDE, SIGNALS, Interrupted, Request, terminable

Reporter = Callable[[float], None]
Duty = Callable[[Any, Reporter], Any]

TAIL = 20  # lines of a log
PROGRESS_SECONDS = 0.2  # between two reports of a worker's progress
# macOS's own libraries do not survive a fork; there a worker takes the seconds of importing torch.
METHOD = "spawn" if sys.platform == "darwin" else "forkserver"
LONGEST_TEMPORARY = 70  # bytes; the server listens on a socket 32 further, and a socket's path has at most 103
PRELOADED = ["repu_lab.runs.training", "repu_lab.runs.propagation", "repu_lab.runs.analysis"]


@dataclass(frozen=True)
class Slot:
    """Where a worker runs: on how many CPU threads and which CUDA device; None leaves both to torch."""

    threads: int | None = None
    device: str | None = None


@dataclass(frozen=True)
class Event:
    """News of a task: `kind` is progress or done (with its `value`), raised, mistake, interrupted or died (why)."""

    kind: str
    argument: Any
    value: Any = None


class Pool:
    """Workers on slots, and the tasks that wait for them."""

    def __init__(self, slots: Sequence[Slot]):
        """Take the slots, one worker each."""
        self.waiting: deque[tuple[Duty, Any, bool]] = deque()
        try:
            self._logs = tempfile.TemporaryDirectory(prefix="repu-lab-")  # what workers write to their error output
        except OSError as error:
            raise ConfigError(f"TMPDIR: {error.strerror}; name a folder that can be written, TMPDIR=DIR") from error
        self._workers = [_Worker(slot, Path(self._logs.name) / f"{i}.log") for i, slot in enumerate(slots)]

    def submit(self, task: Duty, argument: Any, *, alone: bool = False) -> None:
        """Let a task run when a slot is free; `alone`: in a process of its own."""
        self.waiting.append((task, argument, alone))

    def events(self, seconds: float) -> Iterator[Event]:
        """Start what can start and yield the news of the next so many seconds."""
        for worker in self._workers:
            if not worker.busy and self.waiting:
                worker.take(*self.waiting.popleft())
        busy = {worker.connection: worker for worker in self._workers if worker.busy}
        for ready in wait(list(busy), timeout=seconds):
            yield busy[ready].news()  # pyright: ignore[reportArgumentType]

    def ask(self, task: Duty, argument: Any) -> Any:
        """Return what a task gives; None if it raises or its process dies. ConfigError goes on to the caller."""
        worker = self._workers[0]
        worker.take(task, argument, alone=False)
        while (event := worker.news()).kind == "progress":
            pass
        if event.kind == "mistake":
            raise ConfigError(event.value)
        return event.value if event.kind == "done" else None

    @property
    def busy(self) -> bool:
        """Whether a task runs or waits."""
        return bool(self.waiting) or any(worker.busy for worker in self._workers)

    def interrupt(self) -> None:
        """Forget what waits and ask every busy worker, once, to save and end."""
        self.waiting.clear()
        for worker in self._workers:
            worker.interrupt()

    leave = interrupt  # workers end with the driver

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._logs.cleanup()


class _Worker:
    """A process on a slot, started when there is something to do, and again when it has died."""

    def __init__(self, slot: Slot, log: Path):
        self.slot, self.log = slot, log
        self.busy = False
        self._argument: Any = None
        self._interrupted = False
        self._process: Any = None

    def take(self, task: Duty, argument: Any, alone: bool) -> None:
        if alone or self._process is None or not self._process.is_alive():
            self.end()
            self._start()
        self.busy, self._argument, self._interrupted = True, argument, False
        with suppress(OSError):  # it has died this moment: news() tells
            self.connection.send((task, argument))

    def _start(self) -> None:
        context: Any = multiprocessing.get_context(METHOD)
        forkserver.set_forkserver_preload(PRELOADED)
        self.connection, theirs = context.Pipe()
        own = {} if self.slot.device is None else {"CUDA_VISIBLE_DEVICES": self.slot.device}
        arguments = (theirs, str(self.log), dict(os.environ) | own, self.slot.threads)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        with _inherited():
            self._process.start()
        theirs.close()  # so that its end is seen as the end of what can be read

    def news(self) -> Event:
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            kind, value = "died", _death(self._process.exitcode) + tail(self.log)
        self.busy = kind == "progress"
        return Event(kind, self._argument, value)

    def interrupt(self) -> None:
        if self.busy and not self._interrupted and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGTERM)
            self._interrupted = True

    def end(self) -> None:
        if self._process is None:
            return
        self.connection.close()  # an idle worker ends when it can read no more
        self._process.join(0 if self.busy else 2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._process = None


@contextmanager
def _inherited() -> Iterator[None]:
    """Start processes, the server among them, deaf to Ctrl-C and its like, without the working directory.

    The server is a `python -c`, which would take a torch.py that lies in the working directory for torch.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_WIDE)
    path = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) > LONGEST_TEMPORARY:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = temporary
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if path is None:
            del os.environ["PYTHONSAFEPATH"]


def serve(connection: Connection, log: str, environment: dict[str, str], threads: int | None) -> None:
    """Do tasks as they come, until the other end closes. The main function of a worker."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a job's words are in its run.log
    faulthandler.enable()
    request = Request()
    for number in SIGNALS:
        signal.signal(number, request)  # between two tasks
    threading.Thread(target=_follow_parent, daemon=True).start()
    import torch

    threads = threads or torch.get_num_threads()
    with suppress(EOFError, OSError):  # the parent has no more tasks, or is gone
        while True:
            task, argument = connection.recv()
            torch.set_num_threads(threads)  # a job before may have chosen its own number
            connection.send(_answer(task, argument, _reporter(connection), request))


def _answer(task: Duty, argument: Any, report: Reporter, request: Request) -> tuple[str, Any]:
    try:
        with terminable():
            if request.number is not None:
                raise Interrupted(request.number)
            return "done", task(argument, report)
    except Interrupted as interrupted:
        return "interrupted", str(interrupted)
    except ConfigError as error:
        return "mistake", str(error)
    except BaseException as error:
        traceback.print_exc()
        return "raised", f"{type(error).__name__}: {error}"


def _reporter(connection: Connection) -> Reporter:
    last = 0.0

    def report(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PROGRESS_SECONDS:
            last = now
            with suppress(OSError):  # the parent is gone: SIGTERM follows
                connection.send(("progress", share))

    return report


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        reason = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        return f"the process was ended by {name}{reason}"
    return f"the process ended with code {code}"


def tail(log: Path) -> str:
    """Return the last lines of a log behind a line break; nothing of an empty one."""
    text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    return "\n" + "\n".join(text.splitlines()[-TAIL:]) if text else ""
