"""Processes that run groups of jobs: one at a time each, and whatever happens in one, the others go on.

A worker imports torch once and takes one group after another. What it is sent and sends back is plain values; when it
dies (a segmentation fault, the memory's end, a kill), the group it was at is reported as dead and a new one takes its
place. When the parent dies, a worker is interrupted as by SIGTERM: it saves its state and ends.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from repu_lab.configs.config import ConfigError
from repu_lab.runs.group import Group
from repu_lab.runs.interruption import Interrupted, terminable

PROGRESS_SECONDS = 0.2  # between two reports of a worker's progress


@dataclass(frozen=True)
class Slot:
    """Where a worker runs: its number, and the environment it is started with."""

    number: int
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """News of a group: `kind` is progress (a share of its steps), done, raised, interrupted or died."""

    kind: str
    group: Group
    share: float = 0.0
    message: str = ""


class Pool:
    """Workers on slots, and the groups that wait for them."""

    def __init__(self, slots: Sequence[Slot], log: Path):
        """Take the slots, one worker each, and the folder for what workers write to their error output."""
        self.log = log
        self.waiting: deque[tuple[Group, bool]] = deque()
        self._workers = [_Worker(slot, log) for slot in slots]

    def submit(self, group: Group, *, alone: bool = False) -> None:
        """Let a group run when a slot is free; `alone`: in a process of its own."""
        self.waiting.append((group, alone))

    def events(self, seconds: float) -> Iterator[Event]:
        """Start what can start and yield the news of the next so many seconds."""
        for worker in self._workers:
            if worker.group is None and self.waiting:
                worker.take(*self.waiting.popleft())
        busy = [worker for worker in self._workers if worker.group is not None]
        for ready in wait([worker.connection for worker in busy], timeout=seconds):
            worker = next(worker for worker in busy if worker.connection is ready)
            yield worker.news()

    @property
    def busy(self) -> bool:
        """Whether a group runs or waits."""
        return bool(self.waiting) or any(worker.group is not None for worker in self._workers)

    def interrupt(self) -> None:
        """Forget what waits and ask every worker to save and end."""
        self.waiting.clear()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()


class _Worker:
    def __init__(self, slot: Slot, log: Path):
        self.slot = slot
        self.log = log / f"worker-{slot.number}.log"
        self.group: Group | None = None
        self._start()

    def _start(self) -> None:
        self._used = False
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, str(self.log)), daemon=True)
        before = dict(os.environ)
        os.environ.update(self.slot.environment)
        try:
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()  # so that its end is seen as the end of what can be read

    def take(self, group: Group, alone: bool) -> None:
        if alone and self._used:
            self._restart()
        self.group = group
        self._used = True
        self.connection.send(group)

    def news(self) -> Event:
        assert self.group is not None
        group = self.group
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.group = None
            message = _death(self.process.exitcode) + _tail(self.log)
            self._restart()
            return Event("died", group, message=message)
        if kind == "progress":
            return Event(kind, group, share=value)
        self.group = None
        return Event(kind, group, message=value)

    def _restart(self) -> None:
        self.end()
        self._start()

    def signal(self, number: int) -> None:
        if self.group is not None and self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def end(self) -> None:
        self.connection.close()  # an idle worker ends when it can read no more
        self.process.join(0 if self.group is not None else 2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def serve(connection: Connection, log: str) -> None:
    """Run groups as they come, until the other end closes. The main function of a worker."""
    with open(log, "w") as errors:
        os.dup2(errors.fileno(), sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a job's words are in its run.log
    faulthandler.enable()
    threading.Thread(target=_follow_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; an idle one waits
    import torch  # noqa: F401  (a second, while the parent still checks the jobs)

    while True:
        try:
            group: Group = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(run(group, connection))


def run(group: Group, connection: Connection) -> tuple[str, str]:
    """Run a group and return how it ended: done, raised (with the error) or interrupted."""
    from repu_lab.runs import commands
    from repu_lab.runs.group import train_group

    try:
        with terminable():
            if group.place is not None:
                train_group(group, _Reporter(connection, group.jobs[0].config.steps))
            else:
                (job,) = group.jobs
                getattr(commands, group.command)(job.config, job.folder)
    except Interrupted as interrupted:
        return "interrupted", str(interrupted)
    except ConfigError as error:
        return "raised", str(error)
    except BaseException as error:
        traceback.print_exc()
        return "raised", f"{type(error).__name__}: {error}"
    return "done", ""


class _Reporter:
    """Tells the parent how far the steps have come."""

    def __init__(self, connection: Connection, steps: int):
        self.connection, self.steps = connection, max(1, steps)
        self.done = 0.0
        self._last = 0.0

    def update(self, n: float | None = 1) -> None:
        self.done += n or 0
        now = time.monotonic()
        if now - self._last > PROGRESS_SECONDS:
            self._last = now
            self.connection.send(("progress", self.done / self.steps))

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        pass


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


def _tail(log: Path, lines: int = 20) -> str:
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        return ""
    return "\n" + "\n".join(text.splitlines()[-lines:]) if text else ""
