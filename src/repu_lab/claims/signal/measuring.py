"""What the signal claims measure on networks at initialization.

Shapes: D = L + 1 layers z^1 .. z^{L+1}, M members, P probe inputs, N units.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from repu_lab.activations import Activation
from repu_lab.claims.statistics import Array
from repu_lab.networks.initialization import Rule, draw_
from repu_lab.networks.population import Population

# Weights drawn at once (numbers): 400 MB in float64, which they are drawn in.
CHUNK = 50_000_000


def sphere(inputs: int, dimension: int, seed: int = 0) -> Tensor:
    """Return random inputs (P, I) with |x|^2/n_0 = 1."""
    x = torch.randn(inputs, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.square().mean(-1, keepdim=True).sqrt()


def populations(
    activation: Activation,
    sizes: Sequence[int],
    rules: Sequence[Rule],
    seeds: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Iterator[Population]:
    """Yield the networks of one rule and seed each, in populations that fit the memory."""
    parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    chunk = max(1, CHUNK // parameters)
    for start in range(0, len(rules), chunk):
        few = rules[start : start + chunk]
        population = Population(activation, sizes, len(few), dtype=dtype, device=device)
        draw_(population, few, seeds[start : start + chunk])
        yield population


@torch.no_grad()
def log10_kernel(population: Population, x_PI: Tensor) -> Array:
    """Return log10 K^l(x), shape (D, M, P); +inf or NaN from the layer on at which the dtype ends, -inf for 0."""
    x_PI = x_PI.to(population.theta)
    rows = []
    for z_MPN in population.preactivations(x_PI):
        largest_MP1 = z_MPN.double().abs().amax(-1, keepdim=True)
        unit_MPN = z_MPN.double() / torch.where(largest_MP1 > 0, largest_MP1, 1.0)  # no square leaves float64
        rows.append(unit_MPN.square().mean(-1).log10() + 2 * largest_MP1.squeeze(-1).log10())
    return torch.stack(rows).cpu().numpy()
