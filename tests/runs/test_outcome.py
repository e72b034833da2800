"""Outcomes: what a first pass has lost, against float64 and by construction; the verdict at each of its thresholds."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from repu_lab.activations import GELU, ReLU, RePU, Sigmoid, Tanh
from repu_lab.networks.initialization import draw_, uniform_depth
from repu_lab.networks.population import Population
from repu_lab.runs.outcome import DIVERGED, LEARNING, FirstPass, Progress, first_pass, judge
from repu_lab.runs.training import summary
from repu_lab.tasks import Evaluation, Split
from repu_lab.tasks.base import Task
from repu_lab.tasks.objectives import Classification, Regression

INPUTS, WIDTH = 64, 32
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def task_of(dtype: torch.dtype, inputs: int = INPUTS, outputs: int = 4) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(inputs, 16, generator=generator)
    split = Split((x / x.square().mean(1, keepdim=True).sqrt()).to(dtype), torch.arange(inputs) % outputs)
    objective = Classification(outputs)
    if outputs == 1:
        split = Split(split.x, torch.randn(inputs, 1, generator=generator).to(dtype))
        objective = Regression(split.y)
    return Task(
        name="noise",
        train=split,
        validation=split,
        test=split,
        outputs=outputs,
        objective=objective,
        criterion=0.5,
        input_mean_square=1.0,
        data_seed=0,
    )


def networks(dtype: torch.dtype, activation=None, *, C_W=1.0, C_b=0.0, depth=10, members=2, outputs=4) -> Population:
    sizes = (16, *[WIDTH] * depth, outputs)
    population = Population(Tanh() if activation is None else activation, sizes, members, dtype=dtype)
    draw_(population, uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=C_W + C_b), range(members))
    return population


def pass_of(population: Population, inputs: int = INPUTS) -> FirstPass:
    task = task_of(population.theta.dtype, inputs, population.sizes[-1])
    return first_pass(population, task, task.train)


# --- vanished


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lost_at", [2, 6, 11])
def test_a_signal_is_lost_at_the_layer_built_to_lose_it(dtype, lost_at):
    """At that layer W is eps/1000 of a healthy one, on top of a bias of 1: what is left of the input is below any sum's
    rounding; the layers before and after are healthy."""
    population = networks(dtype)
    with torch.no_grad():
        W_MIO, b_M1O, *_ = population.affine_maps()[lost_at - 1]
        W_MIO *= torch.finfo(dtype).eps / 1000
        b_M1O.fill_(1.0)
    assert pass_of(population).vanished.tolist() == [lost_at] * 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("left", [16, 1 / 64])
def test_a_signal_is_lost_where_rounding_is_larger(dtype, left):
    """Outputs that spread by 16 eps of their size are known, those that spread by eps / 64 are not.

    The error of a sum of n products is at most n eps/2 of its largest term and at least what rounding the result costs.
    """
    population = networks(dtype, depth=3)
    with torch.no_grad():
        W_MIO, b_M1O, *_ = population.affine_maps()[-1]
        z = population(task_of(dtype).train.x).double()
        W_MIO *= left * torch.finfo(dtype).eps / z.std().item()
        b_M1O.fill_(1.0)
    assert (pass_of(population).vanished > 0).all() == (left < 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("activation", "settings"), [
    (Tanh(), {"depth": 30}), (ReLU(), {"C_W": 2.0, "depth": 30}), (GELU(), {"C_W": 2.0, "depth": 10}),
    (Sigmoid(), {"depth": 2}), (GELU(), {"C_W": 1 / 3, "depth": 2}),
])  # fmt: skip
def test_healthy_networks_have_not_vanished(dtype, activation, settings):
    assert pass_of(networks(dtype, activation, **settings)).vanished.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_chaos_is_no_loss(dtype):
    """Rounding errors grow until nothing of float64's outputs is left, but so does every difference between inputs."""
    population = networks(dtype, C_W=9.0, depth=80)
    x = task_of(dtype).train.x
    with torch.no_grad():
        low, exact = population(x).double(), population(x.double(), population.theta.double())
    centred = [z - z.mean(1, keepdim=True) for z in (low, exact)]
    correlation = (centred[0] * centred[1]).sum() / (centred[0].norm() * centred[1].norm())
    assert abs(correlation) < 0.3
    assert pass_of(population).vanished.tolist() == [0, 0]


def test_a_network_without_a_path_to_its_output_has_vanished_and_one_input_says_nothing():
    population = networks(torch.float32, depth=3)
    with torch.no_grad():
        population.affine_maps()[-1].W_MIO.zero_()
        population.affine_maps()[-1].b_M1O.fill_(0.5)
    assert pass_of(population).vanished.tolist() == [4, 4]
    healthy = networks(torch.float32, depth=3)
    assert pass_of(healthy, inputs=1).vanished.tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_two_inputs_and_one_output_are_judged_by_the_size_of_the_error(dtype):
    """Two numbers always correlate 1 or -1; of networks that have lost the signal half would count as healthy."""
    population = networks(dtype, C_W=0.2, C_b=1.0, depth=30, members=20, outputs=1)
    assert (pass_of(population, inputs=2).vanished > 0).all()
    assert (pass_of(networks(dtype, depth=3, members=20, outputs=1), inputs=2).vanished == 0).all()


def test_underflow_and_overflow_have_their_layers():
    up = pass_of(networks(torch.float32, RePU(2), C_W=100.0, depth=12))
    assert (up.exploded > 0).all() and (up.vanished == 0).all()
    down = pass_of(networks(torch.float32, RePU(2), C_W=0.01, depth=12))
    assert (down.exploded == 0).all() and (down.vanished > 0).all()


def test_members_are_judged_one_by_one():
    """A member's verdict does not depend on those beside it."""
    several = networks(torch.bfloat16, C_W=1.0, depth=8, members=3)
    with torch.no_grad():
        several.affine_maps()[3].W_MIO[1] *= 1e-6
        several.affine_maps()[3].b_M1O[1] = 1.0
        several.affine_maps()[0].W_MIO[2] *= 1e38
    together = pass_of(several)
    assert together.vanished.tolist() == [0, 4, 0] and together.exploded.tolist() == [0, 0, 1]


# --- the verdict

NO_LAYER = "asked for a layer"


def verdict(
    *,
    metric=0.0,
    advantage=0.0,
    loss=1.0,
    exploded=0,
    vanished=0,
    alive=True,
    updates=10,
    first_loss=1.0,
    last_loss=1.0,
    peak_loss=1.0,
    excursion_step=-1,
    refined=False,
) -> dict[str, Any]:
    progress = Progress.start(1, "cpu")
    numbers = {
        "alive": alive,
        "updates": updates,
        "first_loss": first_loss,
        "last_loss": last_loss,
        "peak_loss": peak_loss,
        "excursion_step": excursion_step,
        "first_trained": 3,
        "first_learning": 2,
    }
    for name, value in numbers.items():
        getattr(progress, name).fill_(value)
    first = FirstPass(exploded=np.array([exploded]), vanished=np.array([vanished]))
    evaluation = Evaluation(
        loss=torch.tensor([loss], dtype=torch.float64),
        metric=torch.tensor([metric], dtype=torch.float64),
        advantage=torch.tensor([advantage], dtype=torch.float64),
    )
    task: Any = SimpleNamespace(baseline=lambda: (2.0, 0.1), criterion=0.8, objective=Regression(torch.zeros(2, 1)))
    (record,) = judge(progress, first, evaluation, task, [7], 10, lambda member: 5 + member, refined=refined)
    return record


def after(value: float, upwards: bool = True) -> float:
    return float(np.nextafter(value, math.inf if upwards else -math.inf))


@pytest.mark.parametrize(("settings", "outcome", "layer", "step"), [
    ({"metric": 0.8}, "trained", None, 3),
    ({"metric": after(0.8, False)}, "stalled", None, 10),
    ({"metric": after(0.8, False), "advantage": LEARNING}, "learning", None, 2),
    ({"advantage": after(LEARNING, False)}, "stalled", None, 10),
    ({"loss": DIVERGED * 2.0}, "stalled", None, 10),
    ({"loss": after(DIVERGED * 2.0)}, "diverged", None, 10),
    ({"loss": math.inf}, "diverged", 5, 10),
    ({"loss": math.nan, "metric": math.nan}, "diverged", 5, 10),
    ({"alive": False, "updates": 4}, "diverged", 5, 4),
    ({"exploded": 3, "alive": False, "updates": 0, "loss": math.nan}, "exploded", 3, 0),
    ({"vanished": 3}, "vanished", 3, 0),
    ({"vanished": 3, "alive": False, "updates": 4}, "vanished", 3, 0),
    ({"vanished": 3, "advantage": 9.0}, "vanished", 3, 0),
    # A met criterion wins over all of them.
    ({"vanished": 3, "metric": 0.8}, "trained", None, 3),
    ({"alive": False, "updates": 4, "metric": 0.8}, "trained", None, 3),
    ({"loss": after(DIVERGED * 2.0), "metric": 0.8}, "trained", None, 3),
    ({"loss": after(DIVERGED * 2.0), "advantage": 9.0}, "diverged", None, 10),
    # But an untrained metric is none.
    ({"exploded": 3, "alive": False, "updates": 0, "metric": 0.8}, "exploded", 3, 0),
    ({"updates": 0, "metric": 0.8, "advantage": 9.0}, "stalled", None, 10),
    # Nor does a network diverge that no step has changed.
    ({"updates": 0, "loss": after(DIVERGED * 2.0)}, "stalled", None, 10),
    ({"updates": 0, "loss": math.inf}, "stalled", None, 10),
    ({"updates": 0, "metric": 0.8, "refined": True}, "trained", None, 3),
    ({"updates": 0, "metric": 0.8, "refined": True, "alive": False}, "diverged", 5, 0),
], ids=str)  # fmt: skip
def test_each_threshold_of_the_verdict(settings, outcome, layer, step):
    record = verdict(**settings)
    assert (record["seed"], record["outcome"], record["layer"], record["step"]) == (7, outcome, layer, step)
    untrained = settings.get("updates") == 0 and outcome != "trained"
    metric = settings.get("metric", 0.0)
    assert record["metric"] == (None if untrained or math.isnan(metric) else metric)


@pytest.mark.parametrize(("settings", "excursion"), [
    ({"excursion_step": 4, "last_loss": 10.0, "peak_loss": 30.0}, (4, 30.0)),
    ({"excursion_step": 4, "last_loss": after(10.0), "peak_loss": 30.0}, (None, None)),
    ({"excursion_step": -1, "peak_loss": 9.0}, (None, None)),
    ({"excursion_step": 4, "alive": False, "peak_loss": 30.0}, (None, None)),
])  # fmt: skip
def test_a_rise_is_an_excursion_if_it_comes_back_below_ten_times_the_first_loss(settings, excursion):
    record = verdict(**settings)
    assert (record["excursion_step"], record["excursion_size"]) == excursion


def test_a_rise_begins_above_ten_times_the_first_loss_and_the_first_steps_are_kept():
    progress = Progress.start(2, "cpu")
    for step, losses in enumerate([(1.0, 1.0), (10.0, after(10.0)), (after(10.0), 1.0), (40.0, 50.0)]):
        progress.record_loss(step, torch.tensor(losses, dtype=torch.float64))
    assert progress.excursion_step.tolist() == [2, 1] and progress.peak_loss.tolist() == [40, 50]
    for step, (metric, advantage) in enumerate([(after(0.8, False), after(LEARNING, False)), (0.8, LEARNING), (1, 9)]):
        given = torch.full((2,), metric, dtype=torch.float64), torch.full((2,), advantage, dtype=torch.float64)
        progress.record_evaluation(step, Evaluation(loss=given[0], metric=given[0], advantage=given[1]), 0.8)
    assert progress.first_trained.tolist() == [1, 1] and progress.first_learning.tolist() == [1, 1]


# --- in one line


def line_of(*members: tuple[str, int | None, float | None]) -> str:
    return summary(
        [
            {"outcome": outcome, "layer": layer, "metric": metric, "metric_name": "accuracy"}
            for outcome, layer, metric in members
        ]
    )


def test_the_line_counts_every_member():
    line = line_of(("diverged", 3, None), ("diverged", None, 0.1), ("trained", None, 0.9), ("stalled", None, 0.2))
    assert line == (
        "diverged, first non-finite value at layer 3 (1 of 4), loss more than 10 times that of the constant predictor "
        "(1 of 4); trained (1 of 4), accuracy 0.900; stalled (1 of 4), accuracy 0.200"
    )
    assert line_of(("vanished", 2, 0.4), ("vanished", 3, 0.6)) == (
        "vanished, signal or gradient lost at layer 2 (1 of 2), 3 (1 of 2), accuracy 0.500"
    )
    assert line_of(("exploded", 9, None)) == (
        "exploded, first non-finite preactivation at layer 9; not trained, since no network is finite"
    )
    assert line_of(("stalled", None, None)) == "stalled, as no step has changed it"
