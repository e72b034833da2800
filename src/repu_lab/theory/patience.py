"""Says that an analysis takes long, and what it cost: a user's own function may be slow, or need thousands of panels.

No thread and no alarm: the clock, of processor time, is looked at whenever an activation is evaluated.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

AFTER = 10.0  # seconds
clock = time.process_time  # on a busy machine a wall clock would blame the activation for what others took


@dataclass
class Wait:
    """An analysis that goes on: what it is of, when it began, how many values of s, s' and s'' it has taken."""

    title: str
    tell: Callable[[str], None]
    start: float
    values: int = 0
    late: bool = False
    cost: str = ""  # what it took in the end, where it took long

    def evaluated(self, count: int) -> None:
        """Count values, and tell once that it takes long."""
        self.values += count
        if not self.late and clock() - self.start > AFTER:
            self.late = True
            self.tell(
                f"analysis: averaging {self.title} over Gaussians takes long, {self._so_far()} so far; it goes on"
            )

    def ended(self) -> None:
        """Say what it cost."""
        if self.late:
            self.cost = f"analysis: {self.title} took {self._so_far()}; every run of it begins with that"

    def _so_far(self) -> str:
        seconds = clock() - self.start
        each = 1e6 * seconds / max(1, self.values)
        return f"{seconds:.0f} s for {self.values:,} values of s, s' and s'' ({each:.2g} microseconds each)"


_wait: ContextVar[Wait | None] = ContextVar("wait", default=None)


@contextmanager
def waiting(title: str, tell: Callable[[str], None]) -> Iterator[Wait]:
    """Tell a line once what runs inside takes longer than AFTER; afterwards `cost` of what is given is a line too."""
    wait = Wait(title, tell, clock())
    token = _wait.set(wait)
    try:
        yield wait
    finally:
        _wait.reset(token)
        wait.ended()


def evaluated(count: int) -> None:
    """Tell whoever waits for an analysis that `count` values were taken."""
    if (wait := _wait.get()) is not None:
        wait.evaluated(count)
