"""Residuals against the loss whose square root they are, and their Jacobian against one by central differences."""

import pytest
import torch

from repu_lab.activations import Tanh
from repu_lab.blocks import Block
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.tasks import TASKS, Task, on_device
from repu_lab.tasks.residuals import BatchResiduals

F64 = torch.float64
PLAIN, REZERO = Block(), Block(residual=True, branch=0.3, learned=True)


def residuals(task: Task, block: Block) -> BatchResiduals:
    sizes = (task.train.x.shape[1], 5, 5, 5, task.outputs)
    population = Population(Tanh(), sizes, 1, dtype=F64, block=block)
    draw_(population, uniform_depth("custom", sizes, C_W=1.0, C_b=0.1, k1=1.0), [3])
    return BatchResiduals(population, on_device(task, "cpu", F64))


TASKS_TRIED = {
    "four outputs": lambda: TASKS["polynomial"](),
    "one": lambda: TASKS["function"](target="bump"),
    "an equation": lambda: TASKS["burgers"](collocation=300),
    "with conditions beside it": lambda: TASKS["burgers"](collocation=300, boundary=40, conditions="soft"),
    "of two second derivatives": lambda: TASKS["helmholtz"](collocation=300),
}


@pytest.mark.parametrize("block", [PLAIN, REZERO], ids=["plain", "rezero"])
@pytest.mark.parametrize("kind", TASKS_TRIED)
def test_their_squares_sum_to_the_loss_and_the_jacobian_is_their_slope(kind: str, block: Block):
    task = TASKS_TRIED[kind]()
    of = residuals(task, block)
    theta_P, step = of.population.theta.detach()[0], 7
    r_R, J_RP = of.jacobian(theta_P, step)
    torch.testing.assert_close(r_R, of.values(theta_P, step), rtol=1e-12, atol=1e-14)
    batch = of.task.batch(step, of.examples)
    loss = of.task.losses(of.population, batch, theta_P[None])
    torch.testing.assert_close(r_R.square().sum(), loss[0], rtol=1e-12, atol=0)
    assert len(r_R) == of.examples * task.outputs + (0 if task.conditions is None else len(task.conditions))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction_P = torch.randn(len(theta_P), generator=generator, dtype=F64)
        h = 1e-5
        slope_R = (of.values(theta_P + h * direction_P, step) - of.values(theta_P - h * direction_P, step)) / (2 * h)
        torch.testing.assert_close(J_RP @ direction_P, slope_R, rtol=1e-6, atol=1e-8)


def test_batches_are_small_enough_for_the_memory(monkeypatch):
    of = residuals(TASKS["function"](), PLAIN)
    assert of.examples == 500
    monkeypatch.setattr("repu_lab.tasks.residuals.ROOM", 8 * of.population.theta.shape[1] * 20)
    assert of.examples == 20
    monkeypatch.setattr("repu_lab.tasks.residuals.ROOM", 1)
    assert of.examples == 1
