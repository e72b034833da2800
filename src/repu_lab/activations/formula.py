"""An activation written as a formula: `Formula("z * relu(1 + z)**a", a=2)`."""

from collections.abc import Callable

import torch
from torch import Tensor

from repu_lab.activations.base import LARGEST_DEGREE, Activation, WithDerivative, finite_number
from repu_lab.activations.checks import check_activation
from repu_lab.activations.expression import Operation, compiled
from repu_lab.activations.taylor import as_tensor, folded, run

F64 = torch.float64
TITLE = 60  # characters
SCANNED, POINTS = 100.0, 20_001  # where kinks of curved arguments are looked for
MOST_KINKS = 400
POLE = 1e6  # how much larger |s| may be at a root of a denominator than a tenth beside it


class Formula(Activation):
    """s(z) as a text of z, numbers, parameters and the functions in `expression.FUNCTIONS`.

    Written as Python writes it, with ** for powers; `where(z > 0, a, b)` and `a if z > 0 else b` choose. Kinks are the
    roots of what relu, abs, sign, max, min, clamp and where look at, and of what has a broken exponent; the degree is
    p where z s' = p s everywhere. ValueError of one line for a text that is not a formula, and for what
    `check_activation` refuses.
    """

    def __init__(self, formula: str, **parameters: float):
        """Take the text and a number for each name in it that is neither z nor a function."""
        super().__init__()
        if not isinstance(formula, str):
            raise ValueError(f"formula={formula!r}: must be text, for example 'z * relu(1 + z)**2'")
        self.formula = " ".join(formula.split())
        self.values = {name: finite_number(name, value) for name, value in parameters.items()}
        self.program = compiled(self.formula, self.values, folded)
        _check_finite(self)
        check_activation(self)
        self.kinks = _kinks(self)
        self.degree = _degree(self)

    @property
    def title(self) -> str:
        """The formula, shortened, and its parameters."""
        text = self.formula if len(self.formula) <= TITLE else f"{self.formula[: TITLE - 3]}..."
        return ", ".join([text, *(f"{name}={value:g}" for name, value in self.values.items())])

    @property
    def described(self) -> str:
        return self.title  # which has the parameters

    def forward(self, z: Tensor) -> Tensor:
        return WithDerivative.apply(z, lambda z: self._derivatives(z, 0)[0], self.derivative)

    def derivative(self, z: Tensor) -> Tensor:
        return self._derivatives(z, 1)[1]

    def value_and_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = self._derivatives(z, 1)
        return value, slope

    def second_derivative(self, z: Tensor) -> Tensor:
        return self._derivatives(z, 2)[2]

    def _derivatives(self, z: Tensor, order: int) -> list[Tensor]:
        parts = run(self.program, z, order)[-1]
        return [part if isinstance(part, Tensor) else torch.full_like(z, part) for part in parts]

    def extra_repr(self) -> str:
        return self.title


def _kinks(activation: Formula) -> tuple[float, ...]:
    """Return the roots of what decides between branches, and of the bases of broken exponents."""
    program = activation.program

    def decides(step: Operation) -> int | None:
        broken = step[0] == "power" and program[step[2]][1] % 1
        return step[1] if step[0] == "switch" or broken else None

    kinks = _zeros(program, decides)
    if len(kinks) > MOST_KINKS:
        message = f"has {len(kinks)} kinks within |z| < {SCANNED:g}; at most {MOST_KINKS}"
        raise ValueError(f"formula={activation.formula}: {message}")
    return kinks


def _check_finite(activation: Formula) -> None:
    """Raise ValueError if s is infinite, or nearly, where a denominator or the argument of a logarithm is 0."""
    program = activation.program

    def divides(step: Operation) -> int | None:
        negative = step[0] == "power" and program[step[2]][1] < 0
        return step[2] if step[0] == "divide" else step[1] if step[0] == "log" or negative else None

    z = torch.tensor(_zeros(program, divides), dtype=F64)
    with torch.no_grad():
        at = activation(z).abs()
        beside = activation(z - 0.1).abs() + activation(z + 0.1).abs()
    bad = ~(at <= POLE * (1 + beside))
    if bad.any():
        place = z[bad][z[bad].abs().argmin()].item()
        raise ValueError(
            f"formula={activation.formula}: is not finite at z={place:g}, where it divides by 0 or takes the logarithm "
            "of 0; keep that away from 0, as in 1 / (1 + abs(z)) or log(1 + z**2)"
        )


def _zeros(program: tuple[Operation, ...], chosen: Callable[[Operation], int | None]) -> tuple[float, ...]:
    """Return the roots of the steps that a function chooses."""
    z = torch.linspace(-SCANNED, SCANNED, POINTS, dtype=F64)
    places = {place for step in program if (place := chosen(step)) is not None and program[place][0] != "number"}
    return tuple(sorted({root for place in places for root in _roots(program[: place + 1], z)}))


def _roots(program: tuple[Operation, ...], z: Tensor) -> set[float]:
    """Return where the last step is 0: exactly if it is a line, else where it or its slope changes sign on a grid."""

    def at(z: Tensor) -> list[Tensor]:
        return [as_tensor(part, z).expand_as(z) for part in run(program, z, 2)[-1]]

    u, slope, bend = at(z)
    if not bend.any() and bool((slope == slope[0]).all()):
        middle = at(torch.zeros(1, dtype=F64))[0]
        return {-(middle / slope[0]).item() + 0.0} if slope[0] else set()
    kinks: set[float] = set()
    for order, values in enumerate((u, slope)):
        signs = values.sign()
        change = signs[:-1] != signs[1:]
        left, right = z[:-1][change], z[1:][change]
        for _ in range(60):
            middle = (left + right) / 2
            below = at(middle)[order].sign() == at(left)[order].sign()
            left, right = torch.where(below, middle, left), torch.where(below, right, middle)
        touches = at(right)[0].abs() <= 1e-12 * u.abs().nan_to_num(posinf=0.0).max()
        # A kink at a short number is almost always meant to be that number.
        kinks |= {round(root, 12) + 0.0 for root in right[touches].tolist()}
    return kinks


def _degree(activation: Formula) -> float | None:
    """Return p if s(a z) = a^p s(z) for all a > 0: z s'(z) = p s(z) at 50 points of six decades."""
    z = torch.logspace(-3, 3, 25, dtype=F64) * 1.037
    z = torch.cat((z, -z))
    with torch.no_grad():
        s, slope = activation(z), z * activation.derivative(z)
    if bool((s == 0).all()) or not bool((s.isfinite() & slope.isfinite()).all()):
        return None
    p = round((slope[s != 0] / s[s != 0])[0].item(), 12)
    same = (slope - p * s).abs() <= 1e-12 * (slope.abs() + s.abs())
    return p if 0 < p <= LARGEST_DEGREE and bool(same.all()) and set(activation.kinks) <= {0.0} else None
