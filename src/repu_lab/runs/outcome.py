"""What became of each network: the first pass, and the verdict at the end.

Outcomes, the first that fits: trained, exploded, vanished (both on the first pass), diverged, learning, stalled.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repu_lab.networks.population import Population
from repu_lab.tasks import Evaluation, Split, Task
from repu_lab.tasks.measures import in_float64
from repu_lab.theory.fate import DOUBTFUL, KNOWN

# A final loss ten times that of the constant predictor: no network that learns, or just stands still, is there.
DIVERGED = 10.0
# A loss of ten times its first value is a rise worth recording; MRePU networks make it and recover.
EXCURSION = 10.0
# Three standard errors: one in 700 networks that know nothing is taken for a learning one.
LEARNING = 3.0
# Bound on the preactivations and parameters that a diagnosis holds at once (elements).
CHUNK = 16_000_000


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """Per member, shape (M,): the layer at which it exploded or vanished on the first pass, 0 where it did not."""

    exploded: NDArray[np.int64]
    vanished: NDArray[np.int64]


def first_pass(population: Population, task: Task, batch: Split) -> FirstPass:
    """Run the first batch forward and backward and find the members that explode or vanish, with their layer.

    Exploded: some z^l has a non-finite entry; the layer is the first such l. Vanished: the outputs no longer correlate
    with those of the same weights in float64 (the layer is the first l from which on z^l does not: `lost_layer`), or
    every entry of dL/dW^1 is below the smallest normal number (the layer is the largest l whose dL/dz^l is). Costs one
    training step, and a pass in float64 of the members whose outputs spread by less than DOUBTFUL eps.
    """
    chunk = max(1, CHUNK // (sum(population.sizes) * len(batch) + population.theta.shape[1]))
    parts = [_diagnose(population, rows, task, batch) for rows in population.theta.detach().split(chunk)]
    exploded, vanished = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    return FirstPass(exploded=exploded, vanished=np.where(exploded > 0, 0, vanished))


@torch.no_grad()
def lost_layer(population: Population, theta_MP: Tensor, x_BI: Tensor) -> Tensor:
    """Return for each row the first layer from which on z^l says nothing of the inputs but rounding, 0 if none; (M,).

    Compared, centred over the inputs, with the same weights in float64 (on the CPU where the device has none, mps). In
    float64 itself, with nothing more exact at hand, with the same sums in another order, whose errors are others: where
    each correlates KNOWN with exact values, the two correlate KNOWN^2.
    """
    z_D = population.preactivations(x_BI, theta_MP)
    if theta_MP.dtype == torch.float64:
        known, other_D = KNOWN**2, _reversed_sums(population, theta_MP, x_BI)
    else:
        theta_MP, x_BI = in_float64(theta_MP), in_float64(x_BI)
        twin = Population(
            population.activation, population.sizes, block=population.block, dtype=torch.float64, device=theta_MP.device
        )
        known, other_D = KNOWN, twin.preactivations(x_BI, theta_MP)
    lost_DM = torch.stack([_is_rounding(z, other, known) for z, other in zip(z_D, other_D, strict=True)])
    # From the first layer on after which it never tells them apart again: the cumulative product, from the output down.
    lost_DM = lost_DM.flip(0).cumprod(0).flip(0).bool()
    return torch.where(lost_DM.any(0), lost_DM.int().argmax(0) + 1, 0).to(z_D[0].device)


def _reversed_sums(population: Population, theta_MP: Tensor, x_BI: Tensor) -> list[Tensor]:
    """Return z^1 .. z^{L+1} of the same networks with inputs and hidden units in reversed order, put in order again."""
    maps = population.affine_maps(theta_MP)
    parts = []
    for l, (W_MIO, b_M1O, own_MA, *_) in enumerate(maps, 1):
        units = [-1] if l < len(maps) else []  # the outputs stay
        parts += [W_MIO.flip([1, *units]).flatten(1), b_M1O.flip(units).flatten(1), own_MA]
    parts.append(theta_MP[:, population.drawn :])  # the block's own
    *hidden_D, output = population.preactivations(x_BI.flip(-1), torch.cat(parts, dim=1))
    return [z.flip(-1) for z in hidden_D] + [output]


def bad_layer(population: Population, task: Task, batch: Split, member: int) -> int:
    """Return where a member stops being finite on this batch: the first layer forward, else the last one backward."""
    z_D, gradient_D, gradient_W = _passes(population, population.theta.detach()[member : member + 1], task, batch)
    forward = [layer for layer, z in enumerate(z_D, 1) if not z.isfinite().all()]
    if forward:
        return forward[0]
    backward = [layer for layer, gradient in enumerate(gradient_D, 1) if not gradient.isfinite().all()]
    return backward[-1] if backward else (len(z_D) if gradient_W.isfinite().all() else 1)


def _passes(
    population: Population, theta_MP: Tensor, task: Task, batch: Split
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return z^1 .. z^{L+1}, the loss gradients at them, and that at W^1."""
    theta_MP = theta_MP.clone().requires_grad_()
    z_D, loss_M = task.passed(population, batch, theta_MP)
    *gradient_D, gradient_MP = torch.autograd.grad(loss_M.sum(), [*z_D, theta_MP])
    return [z.detach() for z in z_D], gradient_D, population.affine_maps(gradient_MP)[0].W_MIO


def _diagnose(population: Population, theta_MP: Tensor, task: Task, batch: Split) -> tuple[Tensor, Tensor]:
    z_D, gradient_D, gradient_W = _passes(population, theta_MP, task, batch)
    bad_DM = torch.stack([~z.isfinite().all(-1).all(-1) for z in z_D])
    exploded = torch.where(bad_DM.any(0), bad_DM.int().argmax(0) + 1, 0)
    tiny = torch.finfo(theta_MP.dtype).tiny
    faint_DM = torch.stack([gradient.abs().amax((-1, -2)) < tiny for gradient in gradient_D])
    lost_M = gradient_W.abs().amax((-1, -2)) < tiny
    vanished = torch.where(lost_M, len(z_D) - faint_DM.flip(0).int().argmax(0), 0)
    vanished = torch.where(lost_M & ~faint_DM.any(0), 1, vanished)
    doubtful = (exploded == 0) & ~_is_clear(z_D[-1])
    if len(batch) > 1 and doubtful.any():
        layer = lost_layer(population, theta_MP[doubtful], batch.x)
        vanished[doubtful] = torch.where(layer > 0, layer, vanished[doubtful])
    return exploded, vanished


def _is_clear(z_MBN: Tensor) -> Tensor:
    """Whether z spreads over the inputs by more than rounding can make."""
    z = in_float64(z_MBN)
    z = z / _largest(z)
    return _norm(_centred(z)) > DOUBTFUL * torch.finfo(z_MBN.dtype).eps * _norm(z)


def _is_rounding(z_MBN: Tensor, other_MBN: Tensor, known: float) -> Tensor:
    """Whether z, centred over the inputs, correlates less than `known` with other values, or differs by more.

    The second is the same bound, sqrt(1/known^2 - 1) for exact values, where there are too few numbers for a
    correlation: two are always on one line.
    """
    scale = _largest(other_MBN)
    z, other = _centred(in_float64(z_MBN) / scale), _centred(other_MBN / scale)
    uncorrelated = (z * other).sum((1, 2)) <= known * _norm(z) * _norm(other)
    return ~_is_clear(z_MBN) & (uncorrelated | (_norm(z - other) > math.sqrt(1 / known**2 - 1) * _norm(other)))


def _largest(z_MBN: Tensor) -> Tensor:
    return z_MBN.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(z_MBN.dtype).tiny)


def _norm(z_MBN: Tensor) -> Tensor:
    return z_MBN.square().sum((1, 2)).sqrt()


def _centred(z_MBN: Tensor) -> Tensor:
    z = z_MBN - z_MBN[:, :1]  # so that equal ones give exactly 0: their mean is not always the same number
    return z - z.mean(1, keepdim=True)


@dataclass(kw_only=True)
class Progress:
    """What is remembered of each member while it trains, shape (M,), on the device; updated without waiting for it."""

    alive: Tensor
    updates: Tensor  # steps taken; a frozen member's number is the step at which it stopped being finite
    first_loss: Tensor
    last_loss: Tensor
    peak_loss: Tensor
    excursion_step: Tensor  # first step whose loss exceeds EXCURSION times the first loss, -1
    first_trained: Tensor  # first measured step at which the criterion was met, -1
    first_learning: Tensor

    @classmethod
    def start(cls, members: int, device: torch.device | str) -> "Progress":
        """Return the state before the first step."""

        def full(value: float, dtype: torch.dtype) -> Tensor:
            return torch.full((members,), value, dtype=dtype, device=device)

        steps = {name: full(-1, torch.int64) for name in ("excursion_step", "first_trained", "first_learning")}
        losses = {name: full(math.nan, torch.float64) for name in ("first_loss", "last_loss", "peak_loss")}
        return cls(alive=full(True, torch.bool), updates=full(0, torch.int64), **losses, **steps)

    def record_loss(self, step: int | Tensor, loss_M: Tensor) -> None:
        """Note the losses of the batch of a step, before its update; the step may be a number on the device."""
        at = step if isinstance(step, Tensor) else self.updates.new_full((), step)
        self.updates += self.alive
        loss_M = loss_M.double()
        self.first_loss.copy_(torch.where(at == 0, loss_M, self.first_loss))
        self.last_loss.copy_(torch.where(self.alive, loss_M, self.last_loss))
        torch.fmax(self.peak_loss, self.last_loss, out=self.peak_loss)
        rises = (self.excursion_step < 0) & (self.last_loss > EXCURSION * self.first_loss)
        self.excursion_step.copy_(torch.where(rises, at, self.excursion_step))

    def record_evaluation(self, step: int, evaluation: Evaluation, criterion: float) -> None:
        """Note when a member first met the criterion, or first beat the constant predictor."""
        self.first_trained.masked_fill_((self.first_trained < 0) & (evaluation.metric >= criterion), step)
        self.first_learning.masked_fill_((self.first_learning < 0) & (evaluation.advantage >= LEARNING), step)


def judge(
    progress: Progress,
    first: FirstPass,
    evaluation: Evaluation,
    task: Task,
    seeds: list[int],
    steps: int,
    diverged_layer: Callable[[int], int],
    *,
    refined: bool = False,
) -> list[dict[str, Any]]:
    """Return one record a member: seed, outcome, the layer and step where it was first seen, loss, metric, excursion.

    A member that meets the criterion is trained, whatever its first pass or its last step were like. One that no step
    has changed has no metric and cannot diverge; `refined`: those still alive were changed after the last step.
    `diverged_layer(member)` finds the layer of a member that stopped being finite after the first pass.
    """
    baseline_loss, _ = task.baseline()
    records = []
    state = {name: value.tolist() for name, value in vars(progress).items()}
    test = {name: value.tolist() for name, value in vars(evaluation).items()}
    for i, seed in enumerate(seeds):
        frozen = not state["alive"][i]
        changed = state["updates"][i] > 0 or (refined and not frozen)
        loss, metric = test["loss"][i], test["metric"][i] if changed else math.nan
        layer, step = None, steps
        if metric >= task.criterion:
            outcome, step = "trained", state["first_trained"][i]
        elif first.exploded[i]:
            outcome, layer, step = "exploded", int(first.exploded[i]), 0
        elif first.vanished[i]:
            outcome, layer, step = "vanished", int(first.vanished[i]), 0
        elif frozen:
            outcome, layer, step = "diverged", diverged_layer(i), state["updates"][i]
        elif changed and not loss <= DIVERGED * baseline_loss:
            outcome, layer = "diverged", None if math.isfinite(loss) else diverged_layer(i)
        elif changed and test["advantage"][i] >= LEARNING:
            outcome, step = "learning", state["first_learning"][i]
        else:
            outcome = "stalled"
        came_back = not frozen and state["last_loss"][i] <= EXCURSION * state["first_loss"][i]
        excursion = state["excursion_step"][i] if came_back and state["excursion_step"][i] >= 0 else None
        growth = None if excursion is None else json_number(state["peak_loss"][i] / state["first_loss"][i])
        records.append(
            {
                "seed": seed,
                "outcome": outcome,
                "layer": layer,
                "step": step,
                "loss": json_number(loss),
                "metric": json_number(metric),
                "metric_name": task.objective.metric_name,
                "excursion_step": excursion,
                "excursion_size": growth,
            }
        )
    return records


def json_number(value: float) -> float | None:
    """Return the value, or None if it is NaN or infinite: strict JSON knows neither."""
    return float(value) if math.isfinite(value) else None
