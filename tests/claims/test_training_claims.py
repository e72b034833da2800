"""The training claims on made-up runs: tuning chooses, failures are told apart, rules reach each verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_lab import MadeUp

from repu_lab.claims.lab import Trained
from repu_lab.claims.training import failure
from repu_lab.claims.training.depth import DEEP, deepest_trained, examine_repu, repu_grid
from repu_lab.claims.training.failure import first_failure
from repu_lab.claims.training.tuning import TUNING_SEED, Grid, tune
from repu_lab.claims.verdicts import Verdict

GRID = Grid(("critical", "small"), ("1e-4", "1e-3"), 2, 4)


def lab_of(outcome) -> MadeUp:
    """Return a lab whose networks train as `outcome(overrides)` says, to the metric it says."""
    return MadeUp(lambda keys, _: dict(zip(("outcome", "metric"), outcome(keys), strict=True)))


def test_the_setting_with_most_trained_is_judged_on_fresh_networks():
    def outcome(keys: dict[str, Any]) -> tuple[str, float]:
        if keys["initialization"] == "custom" and keys["optimizer.lr"] == "1e-3" and int(keys["depth"]) < 10:
            return "trained", 0.9
        return "learning", 0.5 + (keys["optimizer.lr"] == "1e-4") * 0.1

    lab = lab_of(outcome)
    tuned = tune(lab, ["ReLU", "tanh"], [2, 10], GRID)
    assert tuned["ReLU", 2].best == ("small", "1e-3") and tuned["ReLU", 2].trained.estimate == 1
    assert tuned["ReLU", 10].best[1] == "1e-4"  # none trains: the better metric
    assert tuned["tanh", 2].best_share("small") == 1 and tuned["tanh", 2].best_share("critical") == 0
    assert deepest_trained(tuned, "tanh", [2, 10]) == 2
    tuning = [keys for keys in lab.asked if keys.get("seed") == str(TUNING_SEED)]
    fresh = [keys for keys in lab.asked if "seed" not in keys]
    assert (len(tuning), len(fresh)) == (16, 4)
    assert {keys["members"] for keys in tuning} == {"2"} and {keys["members"] for keys in fresh} == {"4"}
    budgets = {name: sum(keys["activation"] == name for keys in tuning) for name in ("relu", "tanh")}
    assert budgets["relu"] == budgets["tanh"]  # the same for each


@pytest.mark.parametrize(("saving", "verdict"), [("small", Verdict.REFUTED), ("none", Verdict.SUPPORTED)])
def test_one_setting_that_trains_deep_refutes_that_repu_fails(saving, verdict):
    def outcome(keys: dict[str, Any]) -> tuple[str, float]:
        small = keys.get("initialization.k1") == "1e-4" and saving == "small"
        trains = int(keys["depth"]) < DEEP or (small and keys["optimizer.lr"] == "1e-3")
        return ("trained", 0.9) if trains else ("exploded", 0.1)

    lab = lab_of(outcome)
    lab.scale = "full"
    assert len(repu_grid(lab).settings) == 20  # of all of which one in twenty trains: no share that says so
    assert examine_repu(lab).verdict is verdict


LEVEL = np.zeros((5, 3))  # hidden layers x inputs, in decades
STEPS = np.array([0, 1, 2, 4])
CALM = np.array([2.3, 2.2, 2.1, 2.0])


def with_one(value: float) -> np.ndarray:
    """One input of one layer is off."""
    array = LEVEL.copy()
    array[3, 1] = value
    return array


CASES: dict[str, Any] = {
    "trained, whatever else": (("trained", with_one(9), with_one(9), CALM), ("none", None)),
    "the signal of one input": (("exploded", with_one(3.1), LEVEL, CALM), ("forward", 0)),
    "the signal overflows": (("exploded", with_one(np.inf), with_one(np.nan), CALM), ("forward", 0)),
    "the signal is 0": (("vanished", with_one(-np.inf), LEVEL, CALM), ("forward", 0)),
    "the gradient": (("vanished", with_one(2.9), with_one(-3.1), CALM), ("gradient", 0)),
    "a step": (("diverged", LEVEL, LEVEL, np.array([2.3, 2.2, 24.0, np.nan])), ("step", 2)),
    "a step beyond all numbers": (("diverged", LEVEL, LEVEL, np.array([2.3, 2.2, 2.1, np.nan])), ("step", 4)),
    "nothing": (("learning", LEVEL, LEVEL, CALM), ("slow", None)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_fails_first(case):
    (outcome, log10_K, log10_gradient, loss), (cause, step) = CASES[case]
    found = first_failure(outcome, log10_K, log10_gradient, loss, STEPS)
    assert (found.cause, found.step) == (cause, step)


def test_trained_networks_are_the_control():
    members = [{"outcome": "trained"}, {"outcome": "trained"}, {"outcome": "stalled"}]
    log10_K, log10_gradient = (np.zeros((2, 5, 3, 3)) for _ in range(2))  # steps, layers, members, inputs
    log10_K[0, 1, 2] = log10_K[1, 1, 0] = log10_gradient[0, 3, 1] = 9.0
    run = Trained((), Path("x"), {"outcomes": {}, "members": members})
    run.__dict__["statistics"] = {"log10_K": log10_K, "log10_gradient": log10_gradient}
    assert failure.lost_yet_trained(run) == [set(), {"gradient"}]


def test_the_first_update_is_measured_at_the_last_hidden_layer():
    log10_K = np.zeros((3, 4, 2, 2))  # steps, layers, members, inputs
    log10_K[1, 2] = 0.5
    log10_K[1, 3] = 7.0
    run = Trained((), Path("x"), {"outcomes": {}, "members": []})
    run.__dict__["statistics"] = {"log10_K": log10_K}
    assert failure.first_update(run) == 0.5
    run.__dict__["statistics"] = {"log10_K": log10_K[:1]}
    assert failure.first_update(run) is None
