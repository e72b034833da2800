"""What a run writes for TensorBoard: one event file in its folder, cheap enough for every logged step."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repu_lab.networks.quantiles import quantiles, ranked
from repu_lab.networks.quantities import NONFINITE, over_depth
from repu_lab.tracking import summaries
from repu_lab.tracking.digest import QUANTILES, Digest, curve_layers
from repu_lab.tracking.events import EVENTS_NAME, EventFile

if TYPE_CHECKING:
    from repu_lab.networks.statistics import Histogram

SHARED = ("start", "end", "theory")  # curves that networks of any depth have in common
WHOLE = 1000  # TensorBoard's step, a whole number, at the output layer where it is the share of the depth
FLOAT32_K = (-89.8, 77.1)  # log10 K for which |z| stays within float32, subnormal numbers included


def is_loss(tag: str) -> bool:
    """Whether smaller is better."""
    return tag.endswith("/loss")


class Tracker:
    """Writes a run's event file. Layers are numbered 1..depth+1, as z^1..z^{depth+1}.

    `append_at` continues a file at a length that `length()` returned, cutting off what was written after it.
    Tags are those of repu_lab.tracking.tags; another raises UndeclaredTag. What is written is gathered, an event a step
    (or layer), until `flush`, `length` or `close`: an event costs more than the numbers in it.
    """

    def __init__(self, folder: Path | str, *, depth: int, members: int, append_at: int | None = None) -> None:
        """Open the folder's event file; the folder must exist."""
        self.members, self.depth = members, depth
        self._file = EventFile(Path(folder) / EVENTS_NAME, append_at)
        self._gathered: dict[int, list[Any]] = {}  # by step, not yet in the file

    # --- numbers over training

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write single numbers; those that are not finite (or beyond float32) are counted at z_nonfinite/scalars."""
        drawn = summaries.scalars(values)
        if len(drawn) < len(values):
            drawn += summaries.scalars({"z_nonfinite/scalars": len(values) - len(drawn)})
        self.write(step, drawn)

    def by_member(self, step: int, values: Mapping[str, ArrayLike]) -> None:
        """Write one number per member, (M,): median, 5 and 95 % quantile (M > 1), and how many are not finite.

        A member without a number ranks as the worst, and what falls on it is not drawn. Of a loss, which may exceed
        float32, the log10 is written too.
        """
        number = np.array([np.asarray(value, np.float64).ravel() for value in values.values()])
        nonfinite = (~np.isfinite(number)).sum(axis=1).tolist()
        row: dict[str, float] = {f"{tag}_nonfinite": count for tag, count in zip(values, nonfinite, strict=True)}
        worst = np.array([[np.inf if is_loss(tag) else -np.inf] for tag in values])
        drawn = dict(zip(values, quantiles(ranked(number, worst), QUANTILES).T, strict=True))
        with np.errstate(divide="ignore"):
            drawn |= {f"{tag.removesuffix('loss')}log10_loss": np.log10(drawn[tag]) for tag in values if is_loss(tag)}
        for name, column in drawn.items():
            low, median, high = column.tolist()
            row |= {name: median} | ({f"{name}_q05": low, f"{name}_q95": high} if self.members > 1 else {})
        self.write(step, summaries.scalars(row))

    def statistics(self, step: int, digest: Digest) -> None:
        """Write the medians of at most 8 layers, spread over the depth, and the counts of what is not finite."""
        row: dict[str, float] = {}
        for name, medians in digest.medians.items():
            row |= zip(_over_training(name, self.depth), medians.tolist(), strict=False)  # the output layer has no chi
        bad = sum(digest.counts.values())
        row |= {f"z_nonfinite/{kind}": float(digest.counts[kind].sum()) for kind in NONFINITE}
        row["z_nonfinite/members"] = digest.bad_members
        if digest.bad_members:
            row["z_nonfinite/first_layer"] = float(np.flatnonzero(bad)[0] + 1)
        self.write(step, summaries.scalars(row))

    # --- numbers over depth; TensorBoard's step is the layer

    def profiles(self, step: int | None, profile: Mapping[str, NDArray[np.float64]]) -> None:
        """Write every quantity's median against the layer; of the last step measured, None, once more at the end."""
        curve = _curve(step)
        columns = {f"z_profile_{quantity.name}/{curve}": profile[quantity.name][1] for quantity in over_depth()}
        self._write_by_layer(columns | {f"z_profile_nonfinite/{curve}": profile["nonfinite"]})

    def theory(self, theory: Mapping[str, ArrayLike], within: tuple[float, float] | None = FLOAT32_K) -> None:
        """Write theory's profiles: quantity -> (layers,), and log10_K_quantiles (5, layers) at 5, 25, 50, 75, 95 %.

        Layers are drawn where log10 K and the quantity itself lie `within` the range that measured networks can reach:
        on TensorBoard's linear axis a double exponential of 10^14 decades would leave a flat line of all else. None
        draws all.
        """
        names = [quantity.name for quantity in over_depth() if quantity.name in theory]
        columns = {f"z_profile_{name}/theory": np.asarray(theory[name]) for name in names}
        if "log10_K_quantiles" in theory:
            rows = np.asarray(theory["log10_K_quantiles"])
            columns |= {"z_profile_log10_K/theory_q05": rows[0], "z_profile_log10_K/theory_q95": rows[-1]}
        if within is not None:
            low, high = within
            typical = np.asarray(theory["log10_K"])
            for tag, column in columns.items():
                log10_K = column if tag.startswith("z_profile_log10_K/") else typical[: len(column)]
                # A gradient that crosses layers of a double exponential is far away at all of them.
                drawn = (log10_K >= low) & (log10_K <= high) & (column >= low) & (column <= high)
                columns[tag] = np.where(drawn, column, np.nan)
        self._write_by_layer(columns)

    def histograms(self, step: int, histogram: "Histogram | None") -> None:
        """Write a histogram of log10|z| per layer, stacked by depth, and the counts of exact zeros, without a bin."""
        from repu_lab.networks.statistics import HISTOGRAM_EDGES  # here, since it brings torch

        if histogram is None:
            return
        drawn, counted = f"z_histogram/step_{step:06d}", f"z_profile_zeros/{_curve(step)}"
        for layer, (counts, zero) in enumerate(zip(histogram.counts_DB, histogram.zeros_D.tolist(), strict=True), 1):
            self.write(layer, summaries.histogram(drawn, counts, HISTOGRAM_EDGES) + summaries.scalars({counted: zero}))

    # --- once a run

    def layout(self) -> None:
        """Write the charts of the Custom Scalars tab."""
        titles = {quantity.name: quantity.title for quantity in over_depth()}
        shared = f"({'|'.join(SHARED)})$"
        training = {"log10 loss": "^(train|test)/log10_loss$", "metric": "^test/metric$"}
        if self.members > 1:  # no chart with margins: one quantile that is not finite makes TensorBoard refuse it
            training |= {
                f"{name}, 5, 50 and 95 % of members": rf"^test/{tag}(_q\d\d)?$"
                for name, tag in (("log10 test loss", "log10_loss"), ("metric", "metric"))
            }
        by_layer = {f"{title} against layer": f"^z_profile_{name}/{shared}" for name, title in titles.items()}
        by_layer["entries that are not finite, against layer"] = f"^z_profile_nonfinite/{shared}"
        categories = {
            "Training": training,
            "By layer (step = layer)": by_layer,
            # The start alone, one curve a run: a sweep of twelve with end and theory has 36 on a chart.
            f"By depth, before training, for networks of several depths (0 = first layer, {WHOLE} = output)": {
                f"{title} against depth": f"^z_depth_{name}/start$" for name, title in titles.items()
            },
            "Layers over training": {f"{title} over training": f"^z_{name}/" for name, title in titles.items()},
        }
        self.write(0, summaries.layout(categories))

    # --- the file

    def write(self, step: int, values: Iterable[Any]) -> None:
        """Gather values of `summaries` for the event of a step, or of a layer."""
        self._gathered.setdefault(step, []).extend(values)

    def flush(self) -> None:
        """Write what was gathered; afterwards it is in the file."""
        self._file.write(sorted(self._gathered.items()))  # each curve in the order of its steps
        self._gathered = {}

    def length(self) -> int:
        """Return the file's length, all of it on the disk: where a resumed run goes on."""
        self.flush()
        return self._file.length()

    def close(self) -> None:
        """Close the file."""
        self.flush()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_by_layer(self, columns: Mapping[str, NDArray[Any]]) -> None:
        layers = range(max((column.size for column in columns.values()), default=0))
        for i in layers:
            self.write(i + 1, _row(columns, i))
        shared = {
            tag.replace("z_profile_", "z_depth_"): column
            for tag, column in columns.items()
            if tag.endswith(SHARED) and "nonfinite" not in tag
        }
        layer_at = {WHOLE * i // self.depth: i for i in reversed(layers)}  # the first, where a thousandth holds several
        for place, i in reversed(layer_at.items()):
            self.write(place, _row(shared, i))


def _row(columns: Mapping[str, NDArray[Any]], i: int) -> list[Any]:
    return summaries.scalars({tag: float(column[i]) for tag, column in columns.items() if i < column.size})


@cache
def _over_training(name: str, depth: int) -> list[str]:
    return [f"z_{name}/depth_{share}" for share in curve_layers(depth)]


def _curve(step: int | None) -> str:
    return "end" if step is None else "start" if step == 0 else f"step_{step:06d}"
