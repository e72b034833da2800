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
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.networks.quantiles import quantiles_there

if TYPE_CHECKING:
    from repu_lab.networks.statistics import LayerStatistics

Profile = dict[str, NDArray[np.float64]]

CURVES = 8  # layers drawn over training: more cannot be told apart on one chart, and hundreds of tags freeze the page
BY_LAYER = ("log10_K", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "correlation")
COUNTED = ("nan", "plus_inf", "minus_inf")
HIDDEN = ("log10_chi_parallel", "log10_chi_perp", "dead")  # what the output layer does not have
# Quantities whose layers stack to one table, so that one sort does for all of them.
STACKS = (
    ("log10_K", "log10_gradient"),
    ("correlation",),
    ("log10_chi_parallel", "log10_chi_perp"),
    ("mean", "log10_max_abs", "excess_kurtosis"),
    ("dead",),
)
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
    found: list[Digest] = []
    start = 0
    for members, alike in groupby(sizes):
        stop = start + members * len(list(alike))
        found += _digests(stats.members(slice(start, stop)), members, profiled)
        start = stop
    return found


def curve_layers(depth: int) -> NDArray[np.int_]:
    """Return the layers, from 1, that are drawn over training: at most 8, spread over the depth."""
    return np.unique(np.linspace(1, depth + 1, min(CURVES, depth + 1)).round().astype(int))


def depth_profile(stats: Any) -> Profile:
    """Return what is drawn against the layer: each quantity's 5, 50 and 95 % quantiles over members and inputs.

    log10_K, log10_gradient, correlation: (3, L+1); log10_chi_parallel, log10_chi_perp: (3, L); nonfinite: (L+1,) count
    of entries over all members.
    """
    return next(_profiles(stats, stats.nan.shape[1]))


def _digests(stats: "LayerStatistics", members: int, profiled: bool) -> Iterator[Digest]:
    runs = stats.nan.shape[1] // members
    layers = curve_layers(len(stats.nan) - 1) - 1
    places = {True: layers[:-1].tolist(), False: layers.tolist()}
    medians: dict[str, NDArray[np.float64]] = {}  # (layers, runs)
    for names in STACKS:
        chosen = [_by_run(name, stats, members)[places[name in HIDDEN]] for name in names]
        table = quantiles_there(torch.cat(chosen).flatten(0, 1), (0.5,), defined=0.5)
        parts = np.split(table.reshape(-1, runs), np.cumsum([len(part) for part in chosen])[:-1])
        medians |= zip(names, parts, strict=True)
    counts = {kind: _on_host(getattr(stats, kind)).reshape(-1, runs, members) for kind in COUNTED}
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
    found = {}
    for name in BY_LAYER:
        values = _by_run(name, stats, members)
        table = quantiles_there(values.flatten(0, 1), QUANTILES, defined=0.5)
        found[name] = table.reshape(len(QUANTILES), -1, runs)
    bad = _on_host(stats.nan + stats.plus_inf + stats.minus_inf).reshape(-1, runs, members)
    bad = bad.sum(axis=2).astype(np.float64)
    for i in range(runs):
        yield {name: table[..., i] for name, table in found.items()} | {"nonfinite": bad[:, i]}


def _by_run(name: str, stats: Any, members: int) -> Tensor:
    """Return a quantity as (layers, runs, N). K is undefined only behind an overflow: there it ranks as one."""
    values = torch.as_tensor(getattr(stats, name))
    table = values.reshape(len(values), values.shape[1] // members, -1)
    return torch.where(table.isnan(), torch.inf, table) if name == "log10_K" else table


def _on_host(values: Any) -> NDArray[Any]:
    return torch.as_tensor(values).cpu().numpy()
