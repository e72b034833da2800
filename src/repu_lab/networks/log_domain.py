"""Signal propagation in the logarithm, for homogeneous activations without biases.

If s(a z) = a^p s(z) and b = 0, the preactivations can be kept as z^l = exp(r^l) u^l with mean_i (u^l_i)^2 = 1:
u' = W s(u) / |.|, r' = p r + log|W s(u)|_rms, and where a layer skips that is added to exp(r) u. Nothing overflows, so
the double exponential of RePU networks can be measured at any depth: log K^l = 2 r^l reaches 10^14 at layer 50, and K
itself 10^(10^14). Everything is float64.

Shapes: L hidden layers, M members, P inputs, N units, C outputs.
"""

import torch
from torch import Tensor

from repu_lab.networks.population import Affine, Population
from repu_lab.networks.quantities import NONFINITE
from repu_lab.networks.statistics import CHUNK, Layers, LayerStatistics, join_members, quantities
from repu_lab.theory.chain import LN10


def has_log_domain(population: Population) -> bool:
    """Whether the activation is homogeneous, without own parameters, every bias zero, and layers keep the scale."""
    if population.block.scale_free or population.own or population.activation.degree is None:
        return False
    return not any(bool(affine.b_M1O.any()) for affine in population.affine_maps())


@torch.no_grad()
def measure_in_logs(population: Population, x_PI: Tensor, cotangent_C: Tensor) -> LayerStatistics:
    """Return the statistics of every layer, as `measure` would for the loss f_x = cotangent . z^{L+1}(x).

    Counts of non-finite entries are zero: there are none in the logarithm. ValueError unless `has_log_domain`.
    """
    if not has_log_domain(population):
        raise ValueError("needs a homogeneous activation without parameters, biases of zero and no normalization")
    chunk = max(1, CHUNK // (sum(population.sizes[1:]) * len(x_PI)))
    x_PI, cotangent_C = x_PI.double(), cotangent_C.double()
    parts = [
        _measure_members(population, theta_MP.double(), x_PI, cotangent_C)
        for theta_MP in population.theta.detach().split(chunk)
    ]
    return join_members(parts).on_host()


def _measure_members(population: Population, theta_MP: Tensor, x_PI: Tensor, cotangent_C: Tensor) -> dict[str, Tensor]:
    maps = population.affine_maps(theta_MP)
    p = population.activation.degree
    assert p is not None
    h = x_PI.expand(len(theta_MP), -1, -1)
    layers: list[tuple[Tensor, Tensor]] = []  # u^l and r^l
    log_h = torch.zeros(h.shape[:2], dtype=torch.float64, device=h.device)
    for l, affine in enumerate(maps):
        u, growth = _normalized(h @ affine.W_MIO)
        branch = u, log_h + growth
        layers.append(_joined(population, l, affine, layers[-1], branch) if l else branch)
        u, r = layers[-1]
        if l < population.depth:
            h, log_h = population.passed_on(u, affine), p * r
    gradients = [_normalized(cotangent_C.expand_as(layers[-1][0]))]
    for l in range(population.depth, 0, -1):
        (u, r), (g, r_g) = layers[l - 1], gradients[0]
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            (back,) = torch.autograd.grad(population.passed_on(u, maps[l - 1]), u, g @ maps[l].W_MIO.mT)
        back, growth = _normalized(back)
        branch = back, r_g + growth + (p - 1) * r
        gradients.insert(0, _joined(population, l, maps[l], (g, r_g), branch))
    rows = []
    for l, ((u, r), (_, r_g)) in enumerate(zip(layers, gradients, strict=True), 1):
        none = torch.zeros((1, len(u)), dtype=torch.int64, device=u.device)
        counts = dict.fromkeys(NONFINITE, none)
        rows.append(quantities(LogLayers(population, maps, l, u, r, r_g)) | counts)
    return {name: torch.cat([row[name] for row in rows if name in row]) for name in rows[0]}


def _normalized(z_MPN: Tensor) -> tuple[Tensor, Tensor]:
    rms = z_MPN.square().mean(-1).sqrt()
    return z_MPN / torch.where(rms > 0, rms, 1.0).unsqueeze(-1), rms.log()


def _joined(
    population: Population, l: int, affine: Affine, kept: tuple[Tensor, Tensor], branch: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the block's z^{l+1}, or its gradient in z^l, in the form of its two parts: (a, log_a) is e^log_a a."""
    if not population.skips(l):
        return branch
    (a, log_a), (b, log_b) = kept, branch
    top = torch.maximum(log_a, log_b)
    top = torch.where(top == -torch.inf, 0.0, top)
    a, b = a * (log_a - top).exp().unsqueeze(-1), b * (log_b - top).exp().unsqueeze(-1)
    total, growth = _normalized(population.block.joined(a, b, True, affine.branch_M11))
    return total, top + growth


class LogLayers(Layers):
    """One layer in the logarithm: z = e^r u with a mean square of u of 1, and a gradient of e^r_g; r, r_g (M, P)."""

    def __init__(self, population: Population, maps: list[Affine], l: int, u: Tensor, r: Tensor, r_g: Tensor):
        """Take layer l; u is (M, P, N)."""
        super().__init__(population, maps, l, u.unsqueeze(0), u.unsqueeze(0))
        self.r, self.r_g = r.unsqueeze(0), r_g.unsqueeze(0)

    @property
    def log10_K(self) -> Tensor:
        """2 r / ln 10, (1, M, P)."""
        return 2 * self.r / LN10

    @property
    def log10_gradient(self) -> Tensor:
        """2 r_g / ln 10, (1, M, P)."""
        return 2 * self.r_g / LN10

    @property
    def mean(self) -> Tensor:
        """(1, M); 0 or infinite where e^r is."""
        return (self.z.mean(-1) * self.r.exp()).mean(-1)

    @property
    def log10_max_abs(self) -> Tensor:
        """(1, M)."""
        return (self.z.abs().amax(-1).log10() + self.r / LN10).amax(-1)

    def with_skip(self, chi: Tensor) -> Tensor:
        """Return the same of e^r u; branch has it of u."""
        p = self.population.activation.degree or 0.0
        log10_chi = chi.log10() + 2 * (p - 1) * self.r / LN10
        skips = self.population.skips(self.first)
        return torch.logaddexp(torch.zeros_like(self.r), log10_chi * LN10) / LN10 if skips else log10_chi
