"""What is measured of a layer, each quantity once: its name, axes, formula and look, and how it follows from a layer.

Statistics, TensorBoard's tags and charts, tables, statistics.npz, pictures and docs/tags.md are made from QUANTITIES:
another quantity is another entry here.

Shapes of a look: D layers of one width, M members, P probe inputs, N units.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from repu_lab.networks.statistics import Layers

INPUT = ("layer", "member", "input")
PAIR = ("layer", "member", "pair")
MEMBER = ("layer", "member")
NONFINITE = ("nan", "plus_inf", "minus_inf")  # entries of z that are counted, by their kind


@dataclass(frozen=True)
class Panel:
    """A panel of the picture of all layers."""

    title: str
    label: str  # of its vertical axis
    room: float  # that the bands of a few far members may take beside the medians
    smallest: float = 2.0  # units that the axis shows at least
    critical: bool = False  # 0 is critical
    limited: bool = False  # the number format's overflow and underflow are drawn
    share: bool = False  # from 0 to 1, which are always shown


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of each layer and member, and of each probe input or pair of them if its axes say so.

    `of` computes it, on the device, from layers that lie in float64; left out, it is their property of that name.
    `title` and `short` name it in charts and tables, `label` and `colour` in pictures. What has a `panel` is drawn
    against depth too, what has `theory` beside theory's.
    """

    name: str  # in files and tags
    axes: tuple[str, ...]
    formula: str
    unit: str
    meaning: str
    of: Callable[["Layers"], "Tensor"] | None = None
    title: str = ""
    short: str = ""
    label: str = ""
    colour: str = ""
    panel: Panel | None = None
    theory: bool = True
    dashed: bool = False  # the second of a panel
    output: bool = True  # the output layer has it too


SIGNAL = Panel("size of the signal", r"$\log_{10} K^l$", room=6.0, limited=True)
GROWTH = Panel("growth per layer", r"$\log_{10}\chi$", room=0.5, smallest=0.2, critical=True)
GRADIENT = Panel(
    "size of the gradient", r"$\log_{10}\,\langle(\partial\,\mathrm{loss}/\partial z^l)^2\rangle$", room=4.0
)
LIKENESS = Panel("do inputs stay apart?", "correlation of input pairs", room=2.0, share=True)

# Okabe and Ito's colours, told apart by colour-blind readers too; what lies in one panel also differs in style.
QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        name="log10_K", axes=INPUT, unit="decades", formula="log10 of (1/n) Σ_i z_i²", meaning="size of the signal",
        title="log10 K", short="log10 K", label=SIGNAL.label, colour="#0072B2", panel=SIGNAL,
    ),
    Quantity(
        name="log10_chi_parallel", axes=INPUT, unit="decades", formula="log10 of χ∥ = ∂K^{l+1}/∂K^l along z^l",
        meaning="growth of the signal's size; 0 is critical",
        title="log10 chi_parallel", short="log10 chi_par", label=r"$\chi_\parallel$", colour="#D55E00", panel=GROWTH,
        output=False,
    ),
    Quantity(
        name="log10_chi_perp", axes=INPUT, unit="decades", formula="log10 of χ⊥ = growth of a small step across z^l",
        meaning="growth of differences and gradients; 0 is critical",
        title="log10 chi_perp", short="log10 chi_perp", label=r"$\chi_\perp$", colour="#009E73", panel=GROWTH,
        dashed=True, output=False,
    ),
    Quantity(
        name="log10_gradient", axes=INPUT, unit="decades", formula="log10 of (1/n) Σ_i (∂loss/∂z_i)²",
        meaning="size of the loss gradient at the preactivations",
        title="log10 mean square gradient", short="log10 grad^2", label=GRADIENT.label, colour="#8F4B86",
        panel=GRADIENT,
    ),
    Quantity(
        name="correlation", axes=PAIR, unit="1", formula="z(x)·z(x') / (|z(x)| |z(x')|)",
        meaning="likeness of two inputs' preactivations; 1 = the same",
        title="correlation of pairs", short="correlation", label=LIKENESS.label, colour="#B37700", panel=LIKENESS,
    ),
    Quantity(
        name="mean", axes=MEMBER, unit="1", formula="(1/n) Σ_i z_i over the probe", meaning="mean preactivation",
    ),
    Quantity(
        name="log10_max_abs", axes=MEMBER, unit="decades", formula="log10 of max_i abs(z_i)",
        meaning="largest preactivation",
    ),
    Quantity(
        name="excess_kurtosis", axes=MEMBER, unit="1", formula="E z⁴ / (E z²)² − 3",
        meaning="heavy tails of the preactivations; 0 = Gaussian",
    ),
    Quantity(
        name="dead", axes=MEMBER, unit="1", formula="fraction of units with s' = 0 on the whole probe",
        meaning="units that cannot learn", output=False,
        of=lambda layers: (layers.branch[2] == 0).all(2).double().mean(-1),
    ),
)  # fmt: skip


def over_depth() -> Iterator[Quantity]:
    """Yield what is drawn against depth."""
    return (quantity for quantity in QUANTITIES if quantity.panel is not None)


def by_shape() -> Iterator[list[Quantity]]:
    """Yield the quantities of one shape together: one sort does for all of them."""

    def shape(quantity: Quantity) -> tuple[tuple[str, ...], bool]:
        return quantity.axes, not quantity.output

    return (list(group) for _, group in groupby(sorted(QUANTITIES, key=shape), key=shape))
