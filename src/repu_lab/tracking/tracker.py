"""What a run writes for TensorBoard: one event file in its folder, cheap enough for every logged step.

A statistics call at depth 50 costs about 1 ms. Numbers over members and probe inputs are drawn as medians in which
-inf (exactly zero) and +inf (beyond the dtype's range) keep their rank. A median that is itself not finite is not
drawn, nor one of values more than half of which are undefined: it would speak of the survivors as if of all.
Preactivations that are not finite are counted under nonfinite/.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repu_lab.tracking import summaries
from repu_lab.tracking.events import EVENTS_NAME, EventFile
from repu_lab.tracking.summaries import HParam

if TYPE_CHECKING:
    from repu_lab.networks.statistics import LayerStatistics

CURVES = 8  # layers drawn over training: more cannot be told apart on one chart, and hundreds of tags freeze the page
BY_LAYER = ("log10_K", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "correlation")
QUANTILES = (0.05, 0.5, 0.95)
FLOAT32_K = (-89.8, 77.1)  # log10 K for which |z| stays within float32, subnormal numbers included
TITLES = {
    "log10_K": "log10 K against layer",
    "log10_chi_parallel": "log10 chi_parallel against layer",
    "log10_chi_perp": "log10 chi_perp against layer",
    "log10_gradient": "log10 mean square gradient against layer",
    "correlation": "correlation of pairs against layer",
}


class Tracker:
    """Writes a run's event file. Layers are numbered 1..depth+1, as z^1..z^{depth+1}.

    `append_at` continues a file at a length that `length()` returned, cutting off what was written after it.
    Tags are those of repu_lab.tracking.tags; another raises UndeclaredTag.
    """

    def __init__(self, folder: Path | str, *, depth: int, members: int, append_at: int | None = None) -> None:
        """Open the folder's event file; the folder must exist."""
        self.members = members
        self._digits = max(2, len(str(depth + 1)))
        self._curves = np.unique(np.linspace(1, depth + 1, min(CURVES, depth + 1)).round().astype(int))
        self._file = EventFile(Path(folder) / EVENTS_NAME, append_at)

    # --- numbers over training

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write single numbers; those that are not finite (or beyond float32) are counted at nonfinite/scalars."""
        drawn = summaries.scalars(values)
        if len(drawn) < len(values):
            drawn += summaries.scalars({"nonfinite/scalars": len(values) - len(drawn)})
        self._file.write([(step, drawn)])

    def by_member(self, step: int, values: Mapping[str, ArrayLike]) -> None:
        """Write one number per member, (M,): median, 5 and 95 % quantile (M > 1), and how many are not finite.

        They are those of the members with a finite value. A loss, which may exceed float32, is written as log10 too.
        """
        row: dict[str, float] = {}
        for tag, value in values.items():
            number = np.asarray(value, np.float64).reshape(1, -1)
            row[f"{tag}_nonfinite"] = float((~np.isfinite(number)).sum())
            numbers = {tag: np.where(np.abs(number) <= summaries.FLOAT32_MAX, number, np.nan)}
            if tag.endswith("/loss"):
                positive = np.where(np.isfinite(number) & (number > 0), number, np.nan)
                numbers[f"{tag.removesuffix('loss')}log10_loss"] = np.log10(positive)
            for name, finite in numbers.items():
                low, median, high = quantiles(finite, QUANTILES)[:, 0].tolist()
                row |= {name: median} | ({f"{name}_q05": low, f"{name}_q95": high} if self.members > 1 else {})
        self._file.write([(step, summaries.scalars(row))])

    def statistics(self, step: int, stats: "LayerStatistics") -> None:
        """Write the medians of at most 8 layers, spread over the depth, and the counts of what is not finite."""
        row: dict[str, float] = {}
        for names, layers in self._same_shape(stats):
            table = np.concatenate([_ranked(name, getattr(stats, name)[layers - 1]) for name in names])
            medians = quantiles(table, (0.5,), defined=0.5)[0].tolist()
            tags = [f"layer_{name}/layer_{self._number(layer)}" for name in names for layer in layers]
            row.update(zip(tags, medians, strict=True))
        bad = nonfinite(stats)
        row |= {f"nonfinite/{kind}": float(getattr(stats, kind).sum()) for kind in ("nan", "plus_inf", "minus_inf")}
        row["nonfinite/members"] = float((bad > 0).any(axis=0).sum())
        if bad.any():
            row["nonfinite/first_layer"] = float(np.flatnonzero(bad.any(axis=1))[0] + 1)
        self._file.write([(step, summaries.scalars(row))])

    # --- numbers over depth; TensorBoard's step is the layer

    def profiles(self, step: int, stats: "LayerStatistics") -> None:
        """Write every quantity's median against the layer, as profile_<quantity>/step_<step>."""
        profile = depth_profile(stats)
        columns = {f"profile_{name}/step_{step:06d}": profile[name][1] for name in BY_LAYER}
        columns[f"profile_nonfinite/step_{step:06d}"] = profile["nonfinite"]
        self._write_by_layer(columns)

    def theory(self, theory: Mapping[str, ArrayLike], within: tuple[float, float] | None = FLOAT32_K) -> None:
        """Write theory's profiles: quantity -> (layers,), and log10_K_quantiles (5, layers) at 5, 25, 50, 75, 95 %.

        Layers are drawn where log10 K lies `within` the range that measured networks can reach: on TensorBoard's linear
        axis a double exponential of 10^14 decades would leave a flat line of all else. None draws all.
        """
        columns = {f"profile_{name}/theory": np.asarray(theory[name]) for name in BY_LAYER if name in theory}
        if "log10_K_quantiles" in theory:
            rows = np.asarray(theory["log10_K_quantiles"])
            columns |= {"profile_log10_K/theory_q05": rows[0], "profile_log10_K/theory_q95": rows[-1]}
        if within is not None:
            typical = np.asarray(theory["log10_K"])
            for tag, column in columns.items():
                log10_K = column if tag.startswith("profile_log10_K/") else typical[: len(column)]
                columns[tag] = np.where((log10_K >= within[0]) & (log10_K <= within[1]), column, np.nan)
        self._write_by_layer(columns)

    def histograms(self, step: int, stats: "LayerStatistics") -> None:
        """Write a histogram of log10|z| per layer, stacked by depth, and the counts of exact zeros, without a bin."""
        from repu_lab.networks.statistics import HISTOGRAM_EDGES  # here, since it brings torch

        if stats.histogram is not None:
            tag = f"histogram_log10_abs_z/step_{step:06d}"
            bins = (summaries.histogram(tag, counts, HISTOGRAM_EDGES) for counts in stats.histogram.sum(axis=1))
            self._file.write(enumerate(bins, 1))
        if stats.zeros is not None:
            self._write_by_layer({f"profile_zeros/step_{step:06d}": stats.zeros.sum(axis=1)})

    # --- once a run

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Write a text."""
        self._file.write([(step, summaries.text(tag, markdown))])

    def figure(self, tag: str, figure: Any, step: int = 0) -> None:
        """Write a matplotlib Figure as an image (0.2 to 0.5 s)."""
        self._file.write([(step, summaries.image(tag, figure))])

    def hparams(self, config: Mapping[str, HParam], metrics: Sequence[str]) -> None:
        """Write this run's row of the HParams table: flat config keys and the scalar tags shown as results.

        Every run of a sweep should give the same keys, None for one without a value: see summaries.hparams_start.
        """
        self._file.write([(0, summaries.hparams_start(config, metrics))])

    def ended(self, succeeded: bool) -> None:
        """Write into the HParams table that the run has ended."""
        self._file.write([(0, summaries.hparams_end(succeeded))])

    def layout(self) -> None:
        """Write the charts of the Custom Scalars tab."""
        depth = {TITLES[name]: rf"^profile_{name}/(step_\d+|theory(_q\d+)?)$" for name in BY_LAYER}
        depth["entries that are not finite, against layer"] = r"^profile_nonfinite/"
        depth["entries that are exactly zero, against layer"] = r"^profile_zeros/"
        curves = {TITLES[name].replace("against layer", "by layer"): f"^layer_{name}/" for name in BY_LAYER}
        losses: dict[str, str | Sequence[str]] = {"log10 loss": "^(train|test)/log10_loss$", "metric": "^test/metric$"}
        if self.members > 1:
            losses |= {
                f"{tag}, median and 5-95 % of members": (tag, f"{tag}_q05", f"{tag}_q95")
                for tag in ("train/log10_loss", "test/log10_loss", "test/metric")
            }
        categories = {"Depth profiles (step = layer)": depth, "Training": losses, "Layers over training": curves}
        self._file.write([(0, summaries.layout(categories))])

    # --- the file

    def length(self) -> int:
        """Return the file's length, all of it on the disk: where a resumed run goes on."""
        return self._file.length()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _number(self, layer: int) -> str:
        return f"{layer:0{self._digits}d}"

    def _same_shape(self, stats: "LayerStatistics") -> list[tuple[list[str], NDArray[np.int_]]]:
        """Return the quantities whose selected layers stack to one table, so that one sort does for all of them."""
        everywhere, hidden = self._curves, self._curves[:-1]  # the output layer has no chi and no dead units
        return [
            (["log10_K", "log10_gradient"], everywhere),
            (["correlation"], everywhere),
            (["log10_chi_parallel", "log10_chi_perp"], hidden),
            (["mean", "log10_max_abs", "excess_kurtosis"], everywhere),
            (["dead"], hidden),
        ]

    def _write_by_layer(self, columns: Mapping[str, NDArray[Any]]) -> None:
        layers = max((column.size for column in columns.values()), default=0)
        self._file.write(
            (i + 1, summaries.scalars({tag: float(column[i]) for tag, column in columns.items() if i < column.size}))
            for i in range(layers)
        )


def depth_profile(stats: "LayerStatistics") -> dict[str, NDArray[np.float64]]:
    """Return what is drawn against the layer: each quantity's 5, 50 and 95 % quantiles over members and inputs.

    log10_K, log10_gradient, correlation: (3, L+1); log10_chi_parallel, log10_chi_perp: (3, L); nonfinite: (L+1,) count
    of entries over all members.
    """
    profile = {}
    for name in BY_LAYER:
        profile[name] = quantiles(_ranked(name, getattr(stats, name)), QUANTILES, defined=0.5)
    return profile | {"nonfinite": nonfinite(stats).sum(axis=1).astype(np.float64)}


def nonfinite(stats: "LayerStatistics") -> NDArray[np.int64]:
    """Return the count of preactivations that are NaN, +inf or -inf: (L+1, M)."""
    return np.asarray(stats.nan + stats.plus_inf + stats.minus_inf, np.int64)


def quantiles(values: NDArray[Any], q: Sequence[float], *, defined: float = 0.0) -> NDArray[np.float64]:
    """Return the quantiles of each row, (rows, N) -> (len(q), rows), leaving NaN out and ordering -inf and +inf.

    Linear between neighbours as numpy's default; next to an infinite one the nearer of the two. NaN for a row of NaN
    and for one of which less than the share `defined` is a number.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=1)  # NaN last
    count = ordered.shape[1] - np.isnan(ordered).sum(axis=1)
    place = np.asarray(q, np.float64)[:, None] * np.maximum(count - 1, 0)
    below = np.floor(place).astype(int)
    above = np.ceil(place).astype(int)
    rows = np.arange(len(ordered))
    low, high, share = ordered[rows, below], ordered[rows, above], place - below
    with np.errstate(invalid="ignore"):
        between = low + (high - low) * share
    nearest = np.where(share < 0.5, low, high)
    result = np.where(np.isfinite(low) & np.isfinite(high), between, nearest)
    result[:, count < defined * ordered.shape[1]] = np.nan
    return result


def _ranked(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return values (layers, ...) as (layers, N). K is undefined only behind an overflow: there it ranks as one."""
    table = values.reshape(len(values), -1)
    return np.where(np.isnan(table), np.inf, table) if name == "log10_K" else table
