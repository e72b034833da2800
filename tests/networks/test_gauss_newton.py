"""Gauss-Newton against minima that are known, its direction against the problem it solves, and its states."""

import io
from typing import Any

import pytest
import torch

from repu_lab.networks import gauss_newton as module
from repu_lab.networks.gauss_newton import DAMPING, MOMENTUM, gauss_newton

F64 = torch.float64


class Rosenbrock:
    """10 (y - x^2) and 1 - x, of a batch of all: one minimum, at (1, 1), in a curved valley."""

    def values(self, theta_P: torch.Tensor, step: int) -> torch.Tensor:
        x, y = theta_P
        return torch.stack([10 * (y - x**2), 1 - x])

    def jacobian(self, theta_P: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, _ = theta_P.tolist()
        return self.values(theta_P, step), torch.tensor([[-20 * x, 10.0], [-1.0, 0.0]], dtype=F64)


class Lines:
    """Linear residuals A theta - b, rows of a wide A in turn, solved by every theta with A theta = b."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.A = torch.randn(12, 20, generator=generator, dtype=F64)
        self.b = torch.randn(12, generator=generator, dtype=F64)

    def jacobian(self, theta_P: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.arange(4) + 4 * (step % 3)
        return self.A[rows] @ theta_P - self.b[rows], self.A[rows]

    def values(self, theta_P: torch.Tensor, step: int) -> torch.Tensor:
        return self.jacobian(theta_P, step)[0]


def test_rows_reach_the_minimum_each_on_its_own():
    start = torch.tensor([[-1.2, 1.0], [0.5, 0.3]], dtype=F64)
    theta = gauss_newton(Rosenbrock(), start, 150)
    assert (theta - 1).abs().max() < 1e-6
    assert torch.equal(gauss_newton(Rosenbrock(), start[1:], 150)[0], theta[1])
    assert torch.equal(start, torch.tensor([[-1.2, 1.0], [0.5, 0.3]], dtype=F64))


def test_batches_in_turn_lead_to_what_solves_them_all():
    """No batch alone determines theta: 8 of 12 equations are not in it."""
    lines = Lines()
    theta = gauss_newton(lines, torch.zeros(1, 20, dtype=F64), 300)
    assert (lines.A @ theta[0] - lines.b).norm() < 1e-3 * lines.b.norm()


@pytest.mark.parametrize(("R", "P"), [(5, 9), (module.BLOCK, 110), (2 * module.BLOCK + 30, 300)])
def test_the_direction_minimises_what_it_says(R: int, P: int):
    """lambda |d - mu p|^2 + |J d - r|^2: solved by least squares of the stacked system."""
    generator = torch.Generator().manual_seed(1)
    J, r, last = (torch.randn(*shape, generator=generator, dtype=F64) for shape in ((R, P), (R,), (P,)))
    root = (DAMPING * r.norm()).sqrt()
    stacked = torch.cat([root * torch.eye(P, dtype=F64), J])
    wanted = torch.linalg.lstsq(stacked, torch.cat([root * MOMENTUM * last, r])[:, None]).solution[:, 0]
    direction = module._direction(r, J, last)
    assert direction is not None
    torch.testing.assert_close(direction, wanted, rtol=1e-9, atol=1e-12)
    doubled = torch.cat([J, J])  # J J' is singular, and 1e-20 of damping is lost in it
    tiny = module._direction(1e-18 * torch.cat([r, r]), doubled, torch.zeros_like(last))
    assert tiny is not None and tiny.isfinite().all()


def test_a_step_that_raises_the_loss_is_halved_and_one_that_cannot_lower_it_is_left_out():
    class Cubic:
        """r = theta^3 - 1 from theta = .01: the whole step goes to hundreds."""

        def values(self, theta_P: torch.Tensor, step: int) -> torch.Tensor:
            return theta_P**3 - 1

        def jacobian(self, theta_P: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.values(theta_P, step), torch.diag(3 * theta_P**2)

    steps = [gauss_newton(Cubic(), torch.full((1, 1), 0.1, dtype=F64), n) for n in (1, 100)]
    assert abs(steps[0].item() ** 3 - 1) < 1 - 0.1**3  # lower than before at once
    assert steps[1].item() == pytest.approx(1, abs=1e-6)

    class Wrong(Cubic):
        def jacobian(self, theta_P: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.values(theta_P, step), -torch.diag(3 * theta_P**2)  # uphill

    start = torch.full((1, 1), 0.5, dtype=F64)
    assert torch.equal(gauss_newton(Wrong(), start, 3), start)


def test_what_is_not_finite_or_solved_stays():
    start = torch.tensor([[1.0, 1.0], [torch.nan, 1.0], [0.8, 0.7]], dtype=F64)
    theta = gauss_newton(Rosenbrock(), start, 100)
    assert torch.equal(theta[0], start[0]) and theta[1].isnan()[0]
    assert torch.equal(theta[2], gauss_newton(Rosenbrock(), start[2:], 100)[0])
    assert torch.equal(gauss_newton(Rosenbrock(), start[2:], 0)[0], start[2])
    with pytest.raises(ValueError, match="needs float64"):
        gauss_newton(Rosenbrock(), start.float(), 1)


def test_it_goes_on_from_every_state_to_the_same_bits(monkeypatch):
    start = torch.tensor([[-1.2, 1.0], [1.0, 1.0], [0.5, 0.3]], dtype=F64)
    whole = gauss_newton(Rosenbrock(), start, 40)
    for chunk in (1, 7):
        monkeypatch.setattr(module, "CHUNK", chunk)
        files: list[bytes] = []

        def keep(state: dict[str, Any], files: list[bytes] = files) -> None:
            file = io.BytesIO()
            torch.save(state, file)
            files.append(file.getvalue())

        assert torch.equal(gauss_newton(Rosenbrock(), start, 40, keep=keep), whole)
        assert {torch.load(io.BytesIO(file), weights_only=True)["member"] for file in files} == {0, 2}  # 1 is solved
        for file in files:
            saved = torch.load(io.BytesIO(file), weights_only=True)
            assert torch.equal(gauss_newton(Rosenbrock(), start, 40, saved), whole)
