"""Boundaries of real networks: as each network alone would end, where brute force puts them, where theory does."""

import dataclasses
import math

import pytest

from repu_lab.boundaries.boundary import AXES, SURVIVED, outcomes, theory_boundary, trace_boundary, typed_at
from repu_lab.configs.config import ConfigError

CUSTOM = ("initialization=custom", "initialization.c_w=1", "initialization.k1=1")


def test_a_network_ends_as_it_would_alone(experiment):
    """One population of networks that explode, vanish, learn and diverge, and each by itself."""
    config = experiment("activation=repu", "depth=5", *CUSTOM, "steps=20").config
    jobs = [
        dataclasses.replace(
            config,
            seed=seed,
            optimizer=dataclasses.replace(config.optimizer, lr=lr),
            initialization=dataclasses.replace(config.initialization, c_w=c_w),
        )
        for seed, (c_w, lr) in enumerate([(1e6, 1e-3), (1e-6, 1e-3), (0.7, 1e-3), (0.7, 1e9), (0.5, 0.0)])
    ]
    together = outcomes(jobs, 20)
    assert together == [outcomes([job], 20)[0] for job in jobs]
    assert together[:2] == ["exploded", "vanished"] and together[3] == "diverged" and len(set(together)) >= 4


def test_repu_overflows_where_theory_says(experiment):
    """Theory draws its networks from the exact finite-width chain: no matrix, no input of the task."""
    config = experiment("activation=repu", "depth=8", "width=64", *CUSTOM).config
    boundary = trace_boundary(config, "c_w", 0.01, 100, succeeds=SURVIVED, precision=0.05)
    theory = theory_boundary(config, "c_w", 0.01, 100, succeeds=SURVIVED)
    assert boundary.reached and not boundary.rising and boundary.networks <= boundary.grid_networks / 10
    assert theory is not None and boundary.low * 0.95 < theory < boundary.high * 1.05


def test_k1_and_c_b_vary_alone(experiment):
    """RePU without biases: log K^l = log K_* + p^(l-1) log(K^1 / K_*) with K_* ~ 1/C_W, so k1 C_W alone decides."""
    config = experiment("activation=repu", "depth=8", "width=32", *CUSTOM, "initialization.c_w=0.5").config
    by_k1 = trace_boundary(config, "k1", 0.01, 100, succeeds=SURVIVED, precision=0.1)
    by_c_w = trace_boundary(config, "c_w", 0.01, 100, succeeds=SURVIVED, precision=0.1)
    assert by_k1.low / 2 < by_c_w.high * 1.05 and by_c_w.low < by_k1.high / 2 * 1.05
    # From c_b > 1/(6 C_W) on there is no fixed point, and K^1 = c_w + c_b, which the rule leaves out, grows with it.
    free = experiment(
        "activation=repu", "depth=8", "width=32", "initialization=custom", "initialization.c_w=0.4"
    ).config
    by_c_b = trace_boundary(free, "c_b", 1e-3, 10, succeeds=SURVIVED, precision=0.2)
    assert not by_c_b.rising and 1 / (6 * 0.4) / 2 < by_c_b.value < 2


def test_a_learning_rate_is_traced_to_where_brute_force_puts_it(experiment):
    config = experiment("activation=relu", "initialization=he", "steps=40").config
    boundary = trace_boundary(config, "lr", 1e-5, 3e-2, precision=0.2, members=16)
    assert boundary.rising and boundary.reached

    def share(lr: float) -> float:
        jobs = [
            dataclasses.replace(config, seed=10_000 + i, optimizer=dataclasses.replace(config.optimizer, lr=lr))
            for i in range(16)
        ]
        return outcomes(jobs, 40).count("trained") / 16

    away = math.exp(3 * boundary.spread)
    assert share(boundary.low / away) < 0.5 < share(boundary.high * away)


def test_a_width_is_a_population_of_its_own(experiment):
    config = experiment("activation=relu", "initialization=he", "steps=25", "optimizer.lr=0.01").config
    boundary = trace_boundary(config, "width", 2, 128, precision=0.3, members=12)
    assert boundary.rising and (boundary.values == boundary.values.round()).all()
    assert len(set(boundary.values[:12])) == 4


def test_theory_without_a_boundary_is_none(experiment):
    config = experiment("activation=tanh", "initialization=he").config
    assert theory_boundary(config, "c_w", 1, 2) is None


@pytest.mark.parametrize(
    ("axis", "rule", "message"),
    [
        ("depth", "he", "axis=depth: must be one of c_w, c_b, k1, lr, width"),
        ("c_w", "xavier", "initialization=xavier differs from layer to layer"),
        ("k1", "pytorch", "initialization=pytorch differs from layer to layer"),
    ],
)
def test_what_cannot_vary_is_refused(experiment, axis, rule, message):
    config = experiment("activation=relu", f"initialization={rule}").config
    with pytest.raises(ConfigError, match=message):
        trace_boundary(config, axis, 0.1, 10)


@pytest.mark.parametrize("axis", AXES)
def test_what_is_typed_puts_a_network_at_a_place_and_leaves_the_rest(axis, experiment):
    value = 16 if axis == "width" else 0.5
    before = experiment("activation=relu", "depth=5", "initialization.weights=orthogonal", "optimizer.lr=0.1")
    typed = typed_at(before.config, axis, value)
    after = experiment("activation=relu", "depth=5", "initialization.weights=orthogonal", "optimizer.lr=0.1", *typed)

    def places(which) -> dict[str, float]:
        rule = which.rule
        return {"c_w": rule.C_W[1], "c_b": rule.C_b[1], "k1": rule.k1, "lr": which.lr, "width": which.config.width}

    assert places(after) == pytest.approx(places(before) | {axis: value}, rel=1e-3)
    assert after.rule.weights == "orthogonal"
