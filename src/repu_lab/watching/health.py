"""What was seen of a network, by layer, and what is wrong with it, in words."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from repu_lab.watching.measures import Floats, Measures

# Of mean squares, between the first layer and any other: sizes then differ by a factor of 10^4, and one learning rate
# moves the one layer and breaks the other. The lab's trained networks stay within 10^2.
DECADES = 8.0
DEAD = 0.9  # share of units without a gradient
SAME = -6.0  # log10 of 1 - c: inputs differ by a thousandth of their size
MOST = 3  # problems that are told of one kind
# What helps, by words of a problem; "" stands for any other.
CURES = {
    "gradients": "call it on a module with weights, with gradients switched on",
    "dead": "a smaller learning rate or an activation with a slope everywhere, such as nn.GELU()",
    "look the same": "skips around the layers, orthogonal weights, or fewer layers",
    "": "repu_lab.initialize_(network) draws other weights for a multilayer perceptron; elsewhere normalise in front "
    "of the layer, or put a skip around it",
}


@dataclass(frozen=True)
class LayerRow:
    """A layer at one step: medians over the inputs. log10_gradient and dead are None without a backward pass."""

    layer: int
    name: str
    kind: str
    log10_K: float
    log10_gradient: float | None
    log10_distance: float | None
    dead: float | None
    nonfinite: int
    entries: int
    dtype: str


@dataclass(frozen=True)
class Report:
    """The layers in the order in which they run, and `problems`: one line each that names a layer and the reason."""

    rows: tuple[LayerRow, ...]
    step: int | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, the worst kind first; () if the network is healthy."""
        return tuple(_problems(self.rows))

    @property
    def next(self) -> str:
        """What helps, the worst problem first; '' if the network is healthy."""
        cures = (next(cure for words, cure in CURES.items() if words in problem) for problem in self.problems)
        return "; or ".join(dict.fromkeys(cures))

    def healthy(self) -> bool:
        """Whether signals and gradients get through: nothing overflows, vanishes, dies or becomes alike."""
        return not self.problems

    def __str__(self) -> str:
        """Return a table of the layers, then the problems."""
        head = ("layer", "name", "kind", "log10 K", "log10 grad^2", "1 - c", "dead", "not finite")
        table = [head, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
            cells[1:3] = [cell.ljust(width) for cell, width in zip(row[1:3], widths[1:3], strict=True)]
            lines.append("  ".join(cells))
        verdict = [f"problem: {problem}" for problem in self.problems] or ["healthy: signals and gradients get through"]
        verdict += [f"next:    {self.next}"] * bool(self.next)
        return "\n".join([*(line.rstrip() for line in lines), *verdict])


def report_of(measured_layers: Sequence[Measures], step: int | None = None) -> Report:
    """Return the report of one recorded pass."""
    came_back = any(measured.layer.gradient_PN is not None for measured in measured_layers)
    rows = []
    for number, measured in enumerate(measured_layers, 1):
        layer = measured.layer
        lost = came_back and layer.trains and layer.gradient_PN is None
        rows.append(
            LayerRow(
                layer=number,
                name=layer.name,
                kind=layer.kind,
                log10_K=_middle(measured.log10_K),
                log10_gradient=-math.inf if lost else _median(measured.log10_gradient),
                log10_distance=_median(measured.log10_distance),
                dead=None if math.isnan(measured.dead) else measured.dead,
                nonfinite=layer.nan + layer.plus_inf + layer.minus_inf,
                entries=layer.entries,
                dtype=str(layer.dtype).removeprefix("torch."),
            )
        )
    return Report(tuple(rows), step)


def _problems(rows: Sequence[LayerRow]) -> Iterator[str]:
    if not rows:
        yield "no layer was seen: the network has no module with weights that ran with gradients"
        return
    bad = [row for row in rows if row.nonfinite]
    for row in bad[:1]:  # behind it everything is lost
        share = f"{row.nonfinite} of {row.entries} entries"
        yield f"{_at(row)}: {share} are not finite: the signal leaves {row.dtype}"
    sound = [row for row in rows if math.isfinite(row.log10_K)]
    silent = [row for row in rows if row.log10_K == -math.inf]
    for row in silent[:MOST]:
        yield f"{_at(row)}: the signal is exactly 0"
    if sound:
        worst = max(sound, key=lambda row: abs(row.log10_K - sound[0].log10_K))
        decades = worst.log10_K - sound[0].log10_K
        if abs(decades) > DECADES:
            what = "grows" if decades > 0 else "shrinks"
            yield f"{_at(worst)}: the signal {what} to 10^{decades:.0f} times that of {_at(sound[0])} (mean squares)"
    if not bad:
        yield from _gradients(rows)
    same = [row for row in sound if row.log10_distance is not None and row.log10_distance < SAME]
    apart = sound[0].log10_distance if sound else None
    if same and apart is not None and apart > SAME + 2:
        row = same[0]
        message = f"1 - c = {_number(row.log10_distance or 0)}, {_number(apart)} in the first layer"
        yield f"{_at(row)}: different inputs look the same: {message}"
    for row in [row for row in rows if row.dead is not None and DEAD < row.dead < 1][:MOST]:
        yield f"{_at(row)}: {row.dead:.0%} of the units get no gradient from any input of the batch: they are dead"


def _gradients(rows: Sequence[LayerRow]) -> Iterator[str]:
    known = [row for row in rows if row.log10_gradient is not None]
    for row in known:
        if row.log10_gradient == math.inf:
            yield f"{_at(row)}: the gradient is not finite"
            return
    lost = [row for row in known if row.log10_gradient == -math.inf or row.dead == 1]
    for row in lost[:MOST]:
        yield f"{_at(row)}: no gradient arrives: it is exactly 0"
    there = [row for row in known if row not in lost]
    if there:
        last = there[-1]
        worst = max(there, key=lambda row: abs((row.log10_gradient or 0) - (last.log10_gradient or 0)))
        decades = (worst.log10_gradient or 0) - (last.log10_gradient or 0)
        if abs(decades) > DECADES:
            what = "explodes" if decades > 0 else "vanishes"
            yield f"{_at(worst)}: the gradient {what}: 10^{decades:.0f} times that of {_at(last)} (mean squares)"


def _at(row: LayerRow) -> str:
    return f"layer {row.layer} ({row.name}, {row.kind})"


def _cells(row: LayerRow) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    distance = "-" if row.log10_distance is None else f"{10**row.log10_distance:.1e}"
    dead = "-" if row.dead is None else f"{row.dead:.0%}"
    K, gradient = number(row.log10_K), number(row.log10_gradient)
    return str(row.layer), row.name, row.kind, K, gradient, distance, dead, str(row.nonfinite)


def _median(values: Floats) -> float | None:
    """Return the lower median, of which infinities are values too; None of none."""
    known = values[~np.isnan(values)]
    return _middle(known) if len(known) else None


def _middle(values: Floats) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def _number(log10: float) -> str:
    return f"{10**log10:.1g}" if log10 > -300 else "0"
