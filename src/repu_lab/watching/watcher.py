"""`watch(network, optimizer)`: the lab's look into a training loop of the user's own, at a few steps of it.

The steps are those of the lab's schedule (0 to 4, then the rounded powers of sqrt(2)); at all others no hook is there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import nn
from torch.optim import Optimizer

from repu_lab.networks.quantities import INPUT, MEMBER, NONFINITE, PAIR, QUANTITIES
from repu_lab.networks.statistics import LayerStatistics
from repu_lab.runs.schedule import is_measured, is_profiled
from repu_lab.tracking import summaries
from repu_lab.tracking.digest import Profile, digest
from repu_lab.tracking.tracker import Tracker
from repu_lab.watching.health import Report, report_of
from repu_lab.watching.measures import Floats, Measures, measures
from repu_lab.watching.recording import INPUTS, Recording, attach, check_module

UNKNOWN = -1  # the last step, of a loop that the lab does not run


def watch(
    network: nn.Module, optimizer: Optimizer | None = None, *, folder: Path | str | None = "outputs/watched"
) -> "Watch":
    """Watch a network train in a loop of your own: K, gradient, likeness, dead units and non-finite counts by layer.

    A context, or to be closed with `.close()`. With an optimizer each of its steps counts; without one call `.step()`
    after each update. At the measured steps the first forward pass with gradients, and its backward pass, are looked
    at: up to 32 of its inputs, counts of all. `folder` gets an event file with the tags and charts of the lab's own
    runs (`tensorboard --logdir outputs`); None writes nothing. `.report()` is the last look, `.reports` are all.

    Layers are the outputs of modules with weights (Linear, Conv, norms, Embedding), and of attention and recurrent
    modules as a whole. What forward computes by functions alone is not seen; a compiled network has no hooks, so watch
    it before torch.compile.
    """
    return Watch(network, optimizer, folder)


class Watch:
    """What `watch` returns."""

    def __init__(self, network: nn.Module, optimizer: Optimizer | None, folder: Path | str | None):
        """Start looking at step 0."""
        check_module(network)
        if not (optimizer is None or isinstance(optimizer, Optimizer)):
            raise ValueError(f"{type(optimizer).__name__}: must be a torch.optim.Optimizer; without one call .step()")
        self.network, self.folder = network, None if folder is None else Path(folder)
        self.steps = 0
        self.reports: list[Report] = []
        self._tracker: Tracker | None = None
        self._names: list[str] = []
        self._profile: Profile | None = None  # of the last look
        self._recording = Recording()
        self._handles = attach(network, self._recording)
        self._counting = None if optimizer is None else optimizer.register_step_post_hook(lambda *_: self.step())

    def step(self) -> None:
        """Count an update; what was seen since the last one is kept, and written."""
        self._end_look()
        self.steps += 1
        if is_measured(self.steps, UNKNOWN):
            self._recording = Recording()
            self._handles = attach(self.network, self._recording)

    def report(self) -> Report:
        """Return the last look; ValueError if no forward pass with gradients was seen."""
        if not self.reports:
            raise ValueError(
                "nothing was seen: call the network itself (not a part or a compiled copy of it) with gradients, "
                "then optimizer.step(), or .step() of the watch"
            )
        return self.reports[-1]

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each measured step and layer."""
        return [{"step": report.step, **vars(row)} for report in self.reports for row in report.rows]

    def close(self) -> None:
        """Take all hooks off and close the event file."""
        self._end_look()
        if self._counting is not None:
            self._counting.remove()
            self._counting = None
        if self._tracker is not None:
            if self._profile is not None:
                self._tracker.profiles(None, self._profile)
            self._tracker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end_look(self) -> None:
        if self._recording.layers:
            self._keep()
        for handle in self._handles:
            handle.remove()
        self._handles, self._recording = [], Recording()

    def _keep(self) -> None:
        layers = self._recording.layers
        measured = measures(layers)
        self.reports.append(report_of(measured, self.steps))
        if self.folder is None:
            return
        if self._tracker is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._names = [layer.name for layer in layers]
            self._tracker = Tracker(self.folder, depth=len(layers) - 1, members=1)
            self._tracker.layout()
            named = (f"| {number} | `{layer.name}` | {layer.kind} |" for number, layer in enumerate(layers, 1))
            table = "\n".join(["| layer | name | kind |", "|---|---|---|", *named])
            self._tracker.write(0, summaries.text("config", table))
        drawn = digest(_statistics(measured, self._names))
        self._profile = drawn.profile
        self._tracker.statistics(self.steps, drawn)
        if is_profiled(self.steps, UNKNOWN) and drawn.profile is not None:
            self._tracker.profiles(self.steps, drawn.profile)
        self._tracker.flush()


def _statistics(measured_layers: Sequence[Measures], names: Sequence[str]) -> LayerStatistics:
    """Return the layers that were there at the first look as the statistics of a network; NaN where there is nothing.

    So it is for susceptibilities: they are those of a law, which a network of any kind does not have.
    """
    known = {measured.layer.name: measured for measured in measured_layers}
    rows = [known.get(name) for name in names]

    def table(name: str, columns: int) -> Floats:
        values = np.full((len(rows), 1, columns), np.nan)
        for value, row in zip(values[:, 0], rows, strict=True):
            if row is not None:
                numbers = np.atleast_1d(getattr(row, name))
                value[:] = np.resize(numbers, columns) if len(numbers) else np.nan  # of few inputs each counts often
        return values

    present = {
        "log10_K": table("log10_K", INPUTS),
        "log10_gradient": table("log10_gradient", INPUTS),
        "correlation": 1 - 10 ** table("log10_distance", INPUTS // 2),
        **{name: table(name, 1)[..., 0] for name in ("mean", "log10_max_abs", "excess_kurtosis", "dead")},
    }
    shapes: dict[tuple[str, ...], tuple[int, ...]] = {INPUT: (INPUTS,), PAIR: (INPUTS // 2,), MEMBER: ()}
    unknown = {q.name: np.full((len(rows), 1, *shapes[q.axes]), np.nan) for q in QUANTITIES}
    values = {q.name: (unknown | present)[q.name][: None if q.output else -1] for q in QUANTITIES}
    counts = {kind: np.array([[0 if row is None else getattr(row.layer, kind)] for row in rows]) for kind in NONFINITE}
    return LayerStatistics(**values, **counts)
