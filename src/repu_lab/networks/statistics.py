"""The per-layer numbers of one forward and one backward pass of a population over a probe batch.

Shapes: L hidden layers, D = L + 1 affine maps (layers z^1 .. z^{L+1}), M members, P probe inputs, N units.
Everything is computed in float64 from z itself, rows scaled by their largest entry, so that K of a float32 network is
right up to the last layer whose z is finite, where a mean square in float32 would already have overflowed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.networks.population import Affine, Population
from repu_lab.networks.quantities import MEMBER, NONFINITE, QUANTITIES

# Half-decade bins of log10|z| that cover float32 and bfloat16 with their subnormals; zeros and the values outside
# (float64 only) are counted apart by TensorBoard's first and last bins.
HISTOGRAM_EDGES = np.arange(-46.0, 39.5, 0.5)
# Members are measured in chunks of at most this many float64 preactivations (2 MiB), which a processor's cache holds:
# twice as fast as 32 MiB at once. A GPU is asked as seldom as its memory allows: some twenty such tensors, 4 GiB.
CHUNK, CHUNK_ON_GPU = 250_000, 25_000_000


COUNTS = dict.fromkeys(NONFINITE, MEMBER) | {"histogram": ("layer", "member", "bin"), "zeros": MEMBER}
AXES: dict[str, tuple[str, ...]] = {quantity.name: quantity.axes for quantity in QUANTITIES} | COUNTS


class Histogram(NamedTuple):
    """Of the log10|z| of a run, by layer: counts in HISTOGRAM_EDGES' bins (D, bins), and of exact zeros (D,)."""

    counts_DB: NDArray[np.int64]
    zeros_D: NDArray[np.int64]


class LayerStatistics:
    """What was measured at one step: an array for each of QUANTITIES, and counts of entries, under their names.

    Axes: D layers (L of what the output layer does not have), M members, P inputs or P//2 pairs (0, 1), (2, 3), ...
    log10 of a number is +inf beyond the dtype's range, -inf of exactly 0, NaN undefined. nan, plus_inf, minus_inf,
    zeros (D, M): counts over inputs and units. histogram (D, M, bins): of log10|z|, not taken at every step.

    `measure_there` leaves tensors on their device, whose bits `on_host` brings as arrays.
    """

    def __init__(self, **values: Any):
        """Take what was measured, by name."""
        self._values = {name: value for name, value in values.items() if value is not None}

    def __getattr__(self, name: str) -> Any:
        """Return what was measured under a name; None of a count that was not taken."""
        if name in COUNTS:
            return self._values.get(name)
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def measured(self) -> Iterable[tuple[str, Any]]:
        """Return the names and values of what was measured: no histogram, mostly."""
        return self._values.items()

    def members(self, rows: slice) -> "LayerStatistics":
        """Return what was measured on some of the members."""
        return LayerStatistics(**{name: value[:, rows] for name, value in self.measured()})

    def histogram_of(self, rows: slice = slice(None)) -> Histogram | None:
        """Return the histogram of some members together; None if it was not taken.

        Summed where it lies: to send those of 4,096 networks takes as long as twenty of their steps.
        """
        if self.histogram is None or self.zeros is None:
            return None
        counts, zeros = (torch.as_tensor(value)[:, rows].sum(1).cpu().numpy() for value in (self.histogram, self.zeros))
        return Histogram(counts, zeros)

    def plain(self) -> "LayerStatistics":
        """Return the same without histograms."""
        return LayerStatistics(**self._values | {"histogram": None, "zeros": None})

    def on_host(self, precision: torch.dtype = torch.float64) -> "LayerStatistics":
        """Return the same as arrays, of tensors that may lie on a GPU, real numbers in this precision."""

        def array(value: Any) -> NDArray[Any]:
            tensor = torch.as_tensor(value)
            tensor = tensor.to(precision if tensor.is_floating_point() else tensor.dtype)
            if not tensor.is_cuda:
                return tensor.numpy()
            # By way of pinned memory, which the next look uses again: 8 of 53 ms less for 4,096 networks (H200).
            return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor).numpy().copy()

        return LayerStatistics(**{name: array(value) for name, value in self.measured()})

    def first_bad_layer(self) -> NDArray[np.int64]:
        """Return the first layer (from 1) with a non-finite entry, 0 where there is none; shape (M,)."""
        bad_DM = (self.nan + self.plus_inf + self.minus_inf) > 0
        return np.where(bad_DM.any(axis=0), bad_DM.argmax(axis=0) + 1, 0)


class Layers:
    """Layers of one width, from `first` on, in float64: z and dL_x/dz of the loss of each input, (D, M, P, N).

    What QUANTITIES are computed from. In the log domain (LogLayers) z is known up to a factor of each input: what does
    not depend on it is better taken from `unit`, of largest entry 1.
    """

    def __init__(self, population: Population, maps: list[Affine], first: int, z_DMPN: Tensor, gradient_DMPN: Tensor):
        """Take the layers of a population, whose affine maps are all given."""
        self.population, self.maps, self.first = population, maps, first
        self.z, self.gradient = z_DMPN, gradient_DMPN

    @cached_property
    def _largest(self) -> Tensor:
        return self.z.abs().amax(-1, keepdim=True)

    @cached_property
    def unit(self) -> Tensor:
        """Z scaled by the largest |z_i| of each input, (D, M, P, N)."""
        return self.z / torch.where(self._largest == 0, 1.0, self._largest)

    @cached_property
    def _unit_K(self) -> Tensor:
        return self.unit.square().mean(-1)

    @property
    def log10_K(self) -> Tensor:
        """(D, M, P)."""
        largest = self._largest.squeeze(-1)
        log10_K = 2 * largest.log10() + torch.where(largest == 0, 1.0, self._unit_K).log10()
        return torch.where(largest == torch.inf, torch.inf, log10_K)

    @property
    def log10_gradient(self) -> Tensor:
        """(D, M, P)."""
        return _log10_mean_square(self.gradient)

    @property
    def correlation(self) -> Tensor:
        """(D, M, P//2)."""
        first, second = (slice(i, 2 * (self.z.shape[2] // 2), 2) for i in (0, 1))
        overlap = (self.unit[:, :, first] * self.unit[:, :, second]).mean(-1)
        return overlap / (self._unit_K[:, :, first] * self._unit_K[:, :, second]).sqrt()

    @property
    def mean(self) -> Tensor:
        """(D, M)."""
        return self.z.mean((-1, -2))

    @property
    def log10_max_abs(self) -> Tensor:
        """(D, M)."""
        return self._largest.amax((-1, -2)).log10()

    @property
    def excess_kurtosis(self) -> Tensor:
        """(D, M): the median over the inputs."""
        deviation = self.unit - self.unit.mean(-1, keepdim=True)
        variance = deviation.square().mean(-1)
        return _median(deviation.square().square().mean(-1) / variance.square() - 3)

    @cached_property
    def branch(self) -> tuple[Tensor, Tensor, Tensor]:
        """chi_parallel and chi_perp (D, M, P) without what is skipped, and s' (D, M, P, N)."""
        return branch_susceptibilities(self.population, self.maps, self.first, self.z)

    @cached_property
    def skipped(self) -> Tensor:
        """1 where the next map adds to z, else 0, (D, 1, 1)."""
        # Numbers that the device writes itself: none can be sent to it while a look is captured.
        skips = (self.population.skips(self.first + i) for i in range(len(self.z)))
        return torch.stack([self.z.new_full((1, 1), float(skip)) for skip in skips])

    @property
    def log10_chi_parallel(self) -> Tensor:
        """(D, M, P); NaN where chi_parallel is negative."""
        return self.with_skip(self.branch[0])

    @property
    def log10_chi_perp(self) -> Tensor:
        """(D, M, P)."""
        return self.with_skip(self.branch[1])

    def with_skip(self, chi: Tensor) -> Tensor:
        """Return log10 of a susceptibility of the branch with what is skipped."""
        return (self.skipped + chi).log10()


def measure(
    population: Population, x_PI: Tensor, loss: Callable[[Tensor], Tensor], *, histogram: bool = False
) -> LayerStatistics:
    """Run the probe inputs forward and backward and return the statistics of every layer.

    `loss` maps the outputs (M, P, C) to the mean loss of each member over the probe, shape (M,).
    """
    return measure_there(population, x_PI, loss, histogram=histogram).on_host()


def measure_there(
    population: Population,
    x_PI: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    histogram: bool = False,
    theta_MP: Tensor | None = None,
) -> LayerStatistics:
    """Return what `measure` does as tensors where the network is; on a GPU without waiting for it.

    Of the given rows, if a theta of fewer members is given.
    """
    per_member = sum(population.sizes[1:]) * x_PI.shape[0]
    chunk = max(1, (CHUNK if x_PI.device.type == "cpu" else CHUNK_ON_GPU) // per_member)
    parts = [
        _measure_members(population, theta_MP, x_PI, loss, histogram)
        for theta_MP in (population.theta if theta_MP is None else theta_MP).detach().split(chunk)
    ]
    return join_members(parts)


def join_members(parts: list[dict[str, Tensor]]) -> LayerStatistics:
    """Put together what was measured on groups of members, along the members' axis."""
    joined: dict[str, Any] = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
    return LayerStatistics(**joined)


def _measure_members(
    population: Population, theta_MP: Tensor, x_PI: Tensor, loss: Callable[[Tensor], Tensor], histogram: bool
) -> dict[str, Tensor]:
    theta_MP = theta_MP.requires_grad_()
    z_D = population.preactivations(x_PI, theta_MP)
    gradient_D = torch.autograd.grad(loss(z_D[-1]).sum(), z_D)
    with torch.no_grad():
        maps = population.affine_maps(theta_MP)
        parts = []
        for where in _equal_widths(z_D):
            z_DMPN, gradient_DMPN = (torch.stack(values[where]).double() for values in (z_D, gradient_D))
            gradient_DMPN = gradient_DMPN * x_PI.shape[0]  # of one input's loss, not the mean's
            parts.append(quantities(Layers(population, maps, where.start + 1, z_DMPN, gradient_DMPN)))
            parts[-1] |= _counts(z_DMPN, histogram)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: torch.cat([part[name] for part in parts if name in part]) for name in names}


def quantities(layers: Layers) -> dict[str, Tensor]:
    """Return every quantity that these layers have."""
    known = (q for q in QUANTITIES if q.output or layers.first <= layers.population.depth)
    return {q.name: getattr(layers, q.name) if q.of is None else q.of(layers) for q in known}


def _equal_widths(z_D: list[Tensor]) -> Iterator[slice]:
    """Slices of consecutive hidden layers of one width, which are measured as one tensor, then the output layer."""
    start, hidden = 0, len(z_D) - 1
    for stop in range(1, hidden + 1):
        if stop == hidden or z_D[stop].shape != z_D[start].shape:
            yield slice(start, stop)
            start = stop
    yield slice(hidden, hidden + 1)


def _median(values: Tensor) -> Tensor:
    """Return the median along the last axis: the mean of the middle two (torch's is the lower one), NaN if any is."""
    count = values.shape[-1]
    ordered = values.sort(-1).values  # NaN last
    middle = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return torch.where(ordered[..., -1].isnan(), torch.nan, middle)


def _counts(z_DMPN: Tensor, histogram: bool) -> dict[str, Tensor]:
    # On a GPU the question would wait for the answer, and counting costs less than that.
    finite = z_DMPN.device.type == "cpu" and bool(z_DMPN.isfinite().all())
    none = torch.zeros(z_DMPN.shape[:2], dtype=torch.int64, device=z_DMPN.device)
    kinds = zip(NONFINITE, (Tensor.isnan, Tensor.isposinf, Tensor.isneginf), strict=True)
    counts = {name: none if finite else is_kind(z_DMPN).sum((-1, -2)) for name, is_kind in kinds}
    if histogram:
        bins = len(HISTOGRAM_EDGES) - 1
        size = z_DMPN.flatten(2).abs()
        counted = size.isfinite() & (size > 0)
        place = ((size.log10() - HISTOGRAM_EDGES[0]) * 2).nan_to_num(0, 0, 0).floor().clamp(0, bins - 1).long()
        counts["histogram"] = torch.zeros(*size.shape[:2], bins, dtype=torch.int64, device=size.device)
        counts["histogram"].scatter_add_(2, place, counted.long())
        counts["zeros"] = (size == 0).sum(2)
    return counts


def branch_susceptibilities(
    population: Population, maps: list[Affine], first: int, z_DMPN: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return chi_parallel, chi_perp, without what is skipped, and s' of layers of one width from `first` on."""
    here, behind = (maps[first - 1 + moved : first - 1 + moved + len(z_DMPN)] for moved in (0, 1))
    shares = [population.share(l, affine) for l, affine in enumerate(behind, first)]
    C_W_DM1 = torch.stack(
        [W.shape[1] * W.double().square().mean((-1, -2)) * share for (W, *_), share in zip(behind, shares, strict=True)]
    ).unsqueeze(2)
    own_DMA = torch.stack([affine.activation_MA for affine in here]).double()
    scales = [affine.scale_M11 for affine in here if affine.scale_M11 is not None]

    def by_member(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: torch.stack([function(z_MPN, own) for z_MPN, own in zip(z, own_DMA, strict=True)])

    shared, activation = own_DMA.shape[-1] == 0, population.activation
    s, slope = (
        (activation, activation.derivative) if shared else map(by_member, (population.activate, population.slope))
    )
    scale_DM11 = torch.stack(scales).double() if scales else None
    return population.block.susceptibilities(z_DMPN, C_W_DM1, s, slope, scale_DM11)


def _log10_mean_square(values: Tensor) -> Tensor:
    largest = values.abs().amax(-1)
    unit = values / torch.where(largest == 0, 1.0, largest).unsqueeze(-1)
    return 2 * largest.log10() + torch.where(largest == 0, 1.0, unit.square().mean(-1)).log10()
