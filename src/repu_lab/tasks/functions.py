"""Regression on functions whose derivatives are known: polynomials, which RePU networks can be exactly, and others."""

from collections.abc import Callable, Sequence

import torch

from repu_lab.tasks import targets
from repu_lab.tasks.base import Split, Task
from repu_lab.tasks.measures import FunctionErrors
from repu_lab.tasks.objectives import Regression
from repu_lab.tasks.targets import MONOMIALS, Target

TRAIN, TEST, VALIDATION = 2048, 1024, 1024
# R^2. What a polynomial of lower degree explains of x^2, xy, xyz or a Legendre polynomial is 0, of T_d a quarter.
POLYNOMIAL_CRITERION = 0.9
# R^2: a tenth of the spread is left. No cubic polynomial comes there: .97 for |x|^3, .91 for Franke's function, .84 for
# the bump, .54 for Runge's, .41 for sin 6x.
FUNCTION_CRITERION = 0.99
DEGREE, DIMENSION, K = 4, 2, 6.0

FAMILIES: dict[str, Callable[[int, int, int], Target]] = {
    "legendre": lambda degree, _dimension, _seed: targets.legendre(degree),
    "chebyshev": lambda degree, _dimension, _seed: targets.chebyshev(degree),
    "random": targets.random_polynomial,
}
FUNCTIONS: dict[str, Callable[[float], Target]] = {
    "sin": targets.sine,
    "runge": lambda _k: targets.runge(),
    "franke": lambda _k: targets.franke(),
    "abs3": lambda _k: targets.abs3(),
    "bump": lambda _k: targets.bump(),
}


def polynomial(data_seed: int = 0, target: str = "all", degree: int = DEGREE, dimension: int = DIMENSION) -> Task:
    """x, x^2, xy, xyz, or all four at once, of (x, y, z); or a Legendre, Chebyshev or random polynomial; R^2 of 0.9.

    `degree` is that of the last three, `dimension` that of the random one, whose coefficients follow from data_seed.
    """
    if target in FAMILIES:
        learnt = [FAMILIES[target](degree, dimension, data_seed)]
    else:
        learnt = list(MONOMIALS.values()) if target == "all" else [MONOMIALS[target]]
    return regression("polynomial", learnt, POLYNOMIAL_CRITERION, data_seed)


def function(data_seed: int = 0, target: str = "sin", k: float = K) -> Task:
    """sin(k x), Runge's, |x|^3, a bump on [-1, 1], or Franke's on [-1, 1]^2; R^2 of 0.99."""
    return regression("function", [FUNCTIONS[target](k)], FUNCTION_CRITERION, data_seed)


def regression(name: str, learnt: Sequence[Target], criterion: float, data_seed: int) -> Task:
    """Return the task of learning functions of the same inputs, uniform on [-1, 1]^I, from their values.

    Inputs stay as they are: |x|^2/n_0 is 1/3 in the mean. Targets are standardised by the training split.
    """
    generator = torch.Generator().manual_seed(data_seed)
    drawn = TRAIN + TEST + VALIDATION
    x = 2 * torch.rand(drawn, learnt[0].inputs, generator=generator, dtype=torch.float64) - 1
    f = torch.stack([target.value(x) for target in learnt], dim=1)
    mean, std = f[:TRAIN].mean(0), f[:TRAIN].std(0)
    y = (f - mean) / std
    train, test, validation = map(Split, x.split((TRAIN, TEST, VALIDATION)), y.split((TRAIN, TEST, VALIDATION)))
    return Task(
        name=name,
        train=train,
        validation=validation,
        test=test,
        outputs=len(learnt),
        objective=Regression(train.y),
        criterion=criterion,
        input_mean_square=1 / 3,
        data_seed=data_seed,
        measurement=FunctionErrors(x_BI=test.x, targets=learnt, mean_C=mean, std_C=std),
    )
