"""L-BFGS against minima that are known, and against scipy's implementation."""

import io
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch

from repu_lab.networks import lbfgs as module
from repu_lab.networks.lbfgs import lbfgs

F64 = torch.float64


def rosenbrock(theta_MP: torch.Tensor) -> torch.Tensor:
    x, y = theta_MP[:, :-1], theta_MP[:, 1:]
    return (100 * (y - x**2) ** 2 + (1 - x) ** 2).sum(1)


def test_rows_reach_the_minimum_each_on_its_own():
    start = torch.tensor([[-1.2, 1.0, -1.2, 1.0], [0.5, 0.3, 0.2, 0.1]], dtype=F64)
    theta, before, after = lbfgs(rosenbrock, start, 200)
    assert torch.equal(before, rosenbrock(start)) and torch.equal(after, rosenbrock(theta))
    assert (after < 1e-20).all()
    alone, _, _ = lbfgs(rosenbrock, start[1:], 200)
    assert torch.equal(alone[0], theta[1])
    assert all(map(torch.equal, lbfgs(rosenbrock, start, 200, at_once=1), (theta, before, after)))


def test_few_steps_go_about_as_far_as_those_of_scipy():
    start = torch.linspace(-1, 1, 20, dtype=F64).unsqueeze(0)
    _, before, after = lbfgs(rosenbrock, start, 30)

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(x, requires_grad=True)
        loss = rosenbrock(theta.unsqueeze(0)).sum()
        return loss.item(), torch.autograd.grad(loss, theta)[0].numpy()

    theirs = scipy.optimize.minimize(value, start[0].numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 30})
    assert after.item() < 2 * theirs.fun and after.item() < before.item() / 10


def test_what_cannot_be_improved_stays():
    start = torch.tensor([[1.0, 1.0], [torch.nan, 1.0], [2.0, 2.0]], dtype=F64)
    theta, _, after = lbfgs(rosenbrock, start, 100)
    assert torch.equal(theta[0], start[0]) and theta[1].isnan()[0] and after[1].isnan() and after[2] < 1e-10
    assert torch.equal(lbfgs(rosenbrock, start[2:], 0)[0], start[2:])
    with pytest.raises(ValueError, match="needs float64"):
        lbfgs(rosenbrock, start.float(), 1)


def test_it_goes_on_from_every_state_to_the_same_bits(monkeypatch):
    """Rows that end at their bound, by themselves, and at once; in chunks of 3 steps, 1 and all, from each state."""
    start = torch.tensor([[-1.2, 1.0, -1.2, 1.0], [1.0, 1.0, 1.0, 1.0], [0.5, 0.3, 0.2, 0.1]], dtype=F64)
    for steps in (10, 300):
        monkeypatch.setattr(module, "CHUNK", 10**6)
        whole = lbfgs(rosenbrock, start, steps)
        for chunk in (1, 3):
            monkeypatch.setattr(module, "CHUNK", chunk)
            files: list[bytes] = []

            def keep(state: dict[str, Any], files: list[bytes] = files) -> None:
                file = io.BytesIO()
                torch.save(state, file)
                files.append(file.getvalue())

            assert all(map(torch.equal, lbfgs(rosenbrock, start, steps, keep=keep), whole))
            assert len(files) >= 10 // chunk - 1
            for file in files[:: max(1, len(files) // 10)]:
                saved = torch.load(io.BytesIO(file), weights_only=True)
                assert all(map(torch.equal, lbfgs(rosenbrock, start, steps, saved), whole))


def test_the_direction_is_that_of_the_dense_inverse(monkeypatch):
    """H <- (1 - r s y') H (1 - r y s') + r s s', oldest pair first, from the newest pair's s y / y y."""
    monkeypatch.setattr(module, "CHUNK", 1)
    states: list[dict[str, Any]] = []

    def keep(state: dict[str, Any]) -> None:
        states.append({name: value.clone() if name != "step" else value for name, value in state.items()})

    lbfgs(rosenbrock, torch.tensor([[-1.2, 1.0, -1.2, 1.0], [0.5, 0.3, 0.2, 0.1]], dtype=F64), 8, keep=keep)
    state, one = states[-1], torch.eye(4, dtype=F64)
    for member in range(2):
        pairs = [(state["s"][i, member], state["y"][i, member]) for i in range(state["step"])]
        s, y = pairs[-1]
        H = (s @ y) / (y @ y) * one
        for s, y in pairs:
            V = one - torch.outer(y, s) / (s @ y)
            H = V.T @ H @ V + torch.outer(s, s) / (s @ y)
        torch.testing.assert_close(module._direction(state)[member], -H @ state["gradient"][member])
