"""How fast a run goes: what a long one will cost, said once, and without a terminal a line a minute."""

import time
from collections.abc import Callable
from typing import Any

from repu_lab.runs.words import duration, memory

LONG = 60.0  # seconds; a run beyond it says what it will cost, and how far it is each time they have gone by
JUDGED = 3.0  # seconds after which the steps so far say how long the rest will take
WARM_UP = 2  # calls whose time says nothing: memory is taken, kernels are chosen


class Pace:
    """A progress bar that also writes into the run's log; it looks at the clock, never at the run.

    Nothing is probed: the first seconds of the run itself are the probe, and its steps count.
    """

    def __init__(
        self,
        bar: Any,
        steps: int,
        needs: tuple[float, float],
        say: Callable[[str], None],
        *,
        terminal: bool,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Take the bar, the steps of the whole run, the bytes of its memory and of a checkpoint, and how to say it.

        terminal: somebody watches the bar, so that no line is needed each minute.
        """
        self.bar, self.steps, self.needs, self.say = bar, steps, needs, say
        self.terminal, self.clock = terminal, clock
        self.calls, self.done, self.words, self.judged = 0, 0.0, "", False
        self.begun = self.last = (0.0, 0.0)  # the clock and the steps after the warm-up, and when it last spoke

    def update(self, n: float | None = 1) -> None:
        """Add steps; the first call brings those of a checkpoint."""
        self.bar.update(n)
        self.calls, self.done = self.calls + 1, self.done + (n or 0)
        now = self.clock(), self.done
        if self.calls <= WARM_UP:
            self.begun = self.last = now
        elif not self.judged and now[0] - self.last[0] >= JUDGED:
            self.judged, self.last = True, now
            if (left := self.left(now)) > LONG:
                taken, kept = map(memory, self.needs)
                self._tell(f"cost:     about {duration(left)} to go, {taken} of memory, {kept} a checkpoint")
        elif self.judged and now[0] - self.last[0] >= LONG:
            self.last = now
            if not self.terminal:
                words = f", {self.words}" if self.words else ""
                left = duration(self.left(now))
                self._tell(f"step:     {self.done:.0f} of {self.steps}{words}, about {left} to go")

    def left(self, now: tuple[float, float]) -> float:
        """Return the seconds that the remaining steps will take at the pace since the warm-up."""
        seconds, steps = (late - early for late, early in zip(now, self.begun, strict=True))
        return (self.steps - self.done) * seconds / steps

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Show a few words."""
        self.words = s
        self.bar.set_postfix_str(s, refresh)

    def _tell(self, line: str) -> None:
        self.bar.clear()
        self.say(line)
