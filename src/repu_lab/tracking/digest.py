"""What is drawn of a run's statistics at one step: medians and quantiles over its networks and probe inputs.

Runs that train together are digested together: sorting the numbers of 256 runs at once costs as much as of ten one by
one. What lies on a GPU is sorted there: of 4,096 networks the host would sort for as long as twenty steps take.
Numbers over members and inputs are drawn as medians in which -inf (exactly zero) and +inf (beyond the dtype's range)
keep their rank. A median that is itself not finite is not drawn, nor one of values more than half of which are
undefined: it would speak of the survivors as if of all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from repu_lab.networks.quantiles import quantiles
from repu_lab.networks.quantities import NONFINITE, by_shape, over_depth

if TYPE_CHECKING:
    from repu_lab.networks.statistics import LayerStatistics

Profile = dict[str, NDArray[np.float64]]

CURVES = 8  # layers drawn over training: more cannot be told apart on one chart, and hundreds of tags freeze the page
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Digest:
    """Of one run at one step: the medians of a few layers, (layers,) a quantity, and what is not finite, (L+1,) a kind.

    `profile`: depth_profile of all layers, on profiled steps.
    """

    medians: Profile
    counts: dict[str, NDArray[np.int64]]
    bad_members: int
    profile: Profile | None = None


def digest(stats: "LayerStatistics") -> Digest:
    """Return the digest of one run, with its profile."""
    return digests(stats, [stats.nan.shape[1]], profiled=True)[0]


def digests(stats: "LayerStatistics", sizes: Sequence[int], *, profiled: bool) -> list[Digest]:
    """Return the digests of runs of so many networks each, which lie one after another in the statistics."""
    digested: list[Digest] = []
    start = 0
    for members, together in groupby(sizes):
        stop = start + members * len(list(together))
        digested += _digests(stats.members(slice(start, stop)), members, profiled)
        start = stop
    return digested


def curve_layers(depth: int) -> dict[str, int]:
    """Return the layers, from 1, that are drawn over training: at most 8, by their share of the depth, 0.00 to 1.00.

    Networks of all depths share the names 0.00, 0.14, ..., so that their curves stand on one chart.
    """
    places = CURVES - 1
    layers = np.unique(np.linspace(1, depth + 1, min(CURVES, depth + 1)).round().astype(int)).tolist()
    return {f"{round(places * (layer - 1) / depth) / places:.2f}": layer for layer in layers}


def depth_profile(stats: Any) -> Profile:
    """Return what is drawn against the layer: each quantity's 5, 50 and 95 % quantiles over members and inputs.

    (3, L+1), or (3, L) of what the output layer does not have; nonfinite: (L+1,) count of entries over all members.
    """
    return next(_profiles(stats, stats.nan.shape[1]))


def _digests(stats: "LayerStatistics", members: int, profiled: bool) -> Iterator[Digest]:
    runs = stats.nan.shape[1] // members
    layers = np.array(list(curve_layers(len(stats.nan) - 1).values())) - 1
    medians: dict[str, NDArray[np.float64]] = {}  # (layers, runs)
    for group in by_shape():
        at = (layers if group[0].output else layers[:-1]).tolist()
        chosen = [_by_run(quantity.name, stats, members)[at] for quantity in group]
        table = quantiles(_rows(chosen), (0.5,), defined=0.5)
        parts = np.split(table.reshape(-1, runs), len(group))
        medians |= zip((quantity.name for quantity in group), parts, strict=True)
    counts = {kind: _on_host(getattr(stats, kind)).reshape(-1, runs, members) for kind in NONFINITE}
    bad_members = np.any([count.any(axis=0) for count in counts.values()], axis=0).sum(axis=1)
    profiles = _profiles(stats, members) if profiled else iter([None] * runs)
    for i, profile in enumerate(profiles):
        yield Digest(
            {name: table[:, i] for name, table in medians.items()},
            {kind: count[:, i].sum(axis=1) for kind, count in counts.items()},
            int(bad_members[i]),
            profile,
        )


def _profiles(stats: Any, members: int) -> Iterator[Profile]:
    runs = stats.nan.shape[1] // members
    drawn = {}
    for name in (quantity.name for quantity in over_depth() if hasattr(stats, quantity.name)):
        values = _by_run(name, stats, members)
        table = quantiles(_rows([values]), QUANTILES, defined=0.5)
        drawn[name] = table.reshape(len(QUANTILES), -1, runs)
    bad = _on_host(stats.nan + stats.plus_inf + stats.minus_inf).reshape(-1, runs, members)
    bad = bad.sum(axis=2).astype(np.float64)
    for i in range(runs):
        yield {name: table[..., i] for name, table in drawn.items()} | {"nonfinite": bad[:, i]}


def _by_run(name: str, stats: Any, members: int) -> Any:
    """Return a quantity as (layers, runs, N). K is undefined only behind an overflow: there it ranks as one."""
    values = getattr(stats, name)
    table = values.reshape(len(values), values.shape[1] // members, -1)
    if name != "log10_K":
        return table
    unknown = table != table  # NaN, of arrays and tensors alike
    return np.where(unknown, np.inf, table) if isinstance(table, np.ndarray) else table.masked_fill(unknown, np.inf)


def _rows(tables: list[Any]) -> Any:
    """Return tables (layers, runs, N) as rows (layers x runs, N) of one, where they lie."""
    rows = [table.reshape(-1, table.shape[-1]) for table in tables]
    if len(rows) == 1 or isinstance(rows[0], np.ndarray):
        return np.concatenate(rows) if len(rows) > 1 else rows[0]
    import torch  # here: a page draws stored arrays without it, in a second less

    return torch.cat(rows)


def _on_host(values: Any) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()
