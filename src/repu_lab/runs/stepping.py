"""How a population takes its steps: one kernel after another, or on a GPU as one captured graph.

Shapes: M members, P parameters, B examples.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from repu_lab.configs.text import one_line
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population
from repu_lab.runs.graphs import Graph, equal_bits
from repu_lab.runs.state import State
from repu_lab.tasks import Split, Task

CAPTURED, PLAIN = "captured", "plain"
# Steps that are done both ways before a graph is believed, and how many must lie ahead for that to pay.
TRIAL, WORTH = 3, 32

Step = Callable[[int], None]
# From a function of (step, index) on the device, what does it for the step of a number; see `Captured`.
Capture = Callable[[State, Task, int], Step]


def stepper(state: State, task: Task, batch_size: int, ahead: int, capture: Capture | None = None) -> tuple[Step, str]:
    """Return what does the step of a number, and a line for the log, mostly empty; set `state.stepping`.

    On a GPU that is a captured graph if the first steps, done both ways from this state, end with the same bits; else,
    for whatever reason, the plain steps. A state that went on one way goes on that way. `capture`: what makes a graph.
    """
    if capture is None and state.population.theta.device.type == "cuda":
        capture = Captured
    plain = _plain(state, task, batch_size)
    if capture is None or state.stepping == PLAIN or (state.stepping is None and ahead < WORTH):
        state.stepping = PLAIN
        return plain, ""
    before = [tensor.clone() for tensor in _changing(state)]
    try:
        captured = capture(state, task, batch_size)
        why = "" if _same(state, before, plain, captured) else "it does not give the same bits"
    except Exception as error:  # whatever torch, or an activation's own code, raises of it
        captured, why = plain, one_line(error)
    _restore(state, before)
    state.stepping = PLAIN if why else CAPTURED
    return (plain, f"steps:    one kernel at a time, not as one graph: {why}") if why else (captured, "")


def train_step(
    population: Population, optimizer: Optimizer, task: Task, batch: Split, alive_M: Tensor, chunk: int | None = None
) -> Tensor:
    """Do one step of every member that is alive and return the losses (M,) before it; the others are left alone.

    `chunk`: so many members at once pass forward and backward, whose preactivations then fit the memory.
    """
    loss_M, gradient_MP = _gradient(population, task, batch, chunk)
    alive_M &= loss_M.isfinite()
    optimizer.step(population.theta, gradient_MP, alive_M)
    return loss_M


class Captured:
    """A step as one CUDA graph: it reads the batch's index and the step's number from two tensors of its own."""

    def __init__(self, state: State, task: Task, batch_size: int):
        """Capture a step of the state; a few are done before, in which kernels and workspaces are chosen."""
        device = state.population.theta.device
        self._task, self._batch_size = task, batch_size
        self._index_B = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        self._graph = Graph(lambda: _update(state, task, task.at(self._index_B), self._step), device, TRIAL)

    def __call__(self, step: int) -> None:
        """Do the step of this number, without waiting for it."""
        self._index_B.copy_(self._task.index(step, self._batch_size))
        self._step.fill_(step)
        self._graph.replay()


def _plain(state: State, task: Task, batch_size: int) -> Step:
    return lambda step: _update(state, task, task.batch(step, batch_size), step)


def _update(state: State, task: Task, batch: Split, step: int | Tensor) -> None:
    loss_M = train_step(state.population, state.optimizer, task, batch, state.progress.alive, state.chunk)
    state.progress.record_loss(step, loss_M)


def _gradient(population: Population, task: Task, batch: Split, chunk: int | None) -> tuple[Tensor, Tensor]:
    theta_MP = population.theta
    if chunk is None or chunk >= len(theta_MP):
        loss_M = task.losses(population, batch)
        (gradient_MP,) = torch.autograd.grad(loss_M.sum(), theta_MP)
        return loss_M.detach(), gradient_MP
    gradient_MP, losses = torch.empty_like(theta_MP, requires_grad=False), []
    for rows_MP, place in zip(theta_MP.detach().split(chunk), gradient_MP.split(chunk), strict=True):
        loss_M = task.losses(population, batch, rows_MP.requires_grad_())
        place.copy_(torch.autograd.grad(loss_M.sum(), rows_MP)[0])
        losses.append(loss_M.detach())
    return torch.cat(losses), gradient_MP


def _same(state: State, before: list[Tensor], plain: Step, captured: Step) -> bool:
    """Whether both ways lead from one state to the same losses, weights and all else, bit for bit."""
    ends: list[Any] = []
    for way in (plain, captured):
        _restore(state, before)
        losses = []
        for step in range(state.step, state.step + TRIAL):
            way(step)
            losses.append(state.progress.last_loss.clone())
        ends.append([*losses, *(tensor.clone() for tensor in _changing(state))])
    return all(map(equal_bits, *ends))


def _changing(state: State) -> Iterator[Tensor]:
    """Yield every tensor that a step changes."""
    yield state.population.theta.detach()
    yield from state.optimizer.state.values()
    yield from vars(state.progress).values()


def _restore(state: State, before: list[Tensor]) -> None:
    for tensor, value in zip(_changing(state), before, strict=True):
        tensor.copy_(value)
