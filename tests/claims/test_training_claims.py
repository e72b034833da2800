"""The training claims on made-up runs: which depth counts, failures are told apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_lab import Keys, MadeUp

from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import Interval, wilson
from repu_lab.claims.training import failure
from repu_lab.claims.training.depth import DEEP, deepest, examine_mrepu, examine_repu, repu_grid
from repu_lab.claims.training.failure import first_failure
from repu_lab.claims.verdicts import Verdict


def test_the_deepest_is_the_last_before_the_first_that_fails():
    high, low = Interval(0.9, 0.6, 1.0), Interval(0.5, 0.3, 0.7)
    shares = {("tanh", depth): share for depth, share in ((10, low), (2, high), (5, high), (30, high))}
    assert deepest(shares | {("ReLU", 2): low}, "tanh") == 5
    assert deepest({("ReLU", 2): low}, "ReLU") == 0


@pytest.mark.parametrize(
    ("saving", "linear", "verdict"),
    [
        ("small", 0.25, Verdict.REFUTED),
        ("orthogonal", 0.25, Verdict.REFUTED),
        ("none", 0.25, Verdict.SUPPORTED),
        ("none", 0.85, Verdict.REFUTED),
    ],
)
def test_one_setting_that_learns_deep_refutes_that_repu_fails(saving, linear, verdict):
    """So does a linear network that is as good: then not even shallow ones count."""

    def member(keys: Keys, _: int) -> dict[str, Any]:
        small = keys.get("initialization.k1") == "1e-4" and saving == "small"
        turned = keys.get("initialization.weights") == saving
        learns = int(keys["depth"]) < DEEP or ((small or turned) and keys["optimizer.lr"] == "1e-3")
        accuracy = linear if keys["activation"] == "identity" else 0.9 if learns else 0.3
        return {"outcome": "trained", "metric": accuracy, "validation_metric": accuracy}

    lab = MadeUp(member, scale="full")
    assert len(repu_grid(lab).settings) == 20  # of all of which one in twenty trains: no share that says so
    evidence = examine_repu(lab)
    assert evidence.verdict is verdict
    if saving == "small":
        deep = [row for row in evidence.tables[0].rows if row[1] == 50 and row[2] == "RePU 2"]
        assert deep[0][3:6] == ["small", "1e-3", 1]


def test_one_of_many_chances_takes_more_networks():
    """MRePU learns at depth 50 alone, 11 of 12: at 5 % that is more than half, of 14 depths and powers not."""

    def member(keys: Keys, number: int) -> dict[str, Any]:
        mrepu = keys["activation"] == "mrepu" and keys["depth"] == "50"
        learns = mrepu and (keys["seed"], number) not in missing
        return {"outcome": "trained", "metric": 0.9 if learns else 0.3, "validation_metric": 0.5}

    missing = {("0", 0)}
    assert wilson(11, 12, sharing=4).low > 0.5 > wilson(11, 12, chances=14, sharing=4).low
    lab = MadeUp(member, scale="full")
    assert examine_mrepu(lab).verdict is Verdict.INCONCLUSIVE
    biased = {keys["activation"] for keys in lab.asked if keys.get("initialization.c_b") == "0.1"}
    assert biased == {"repu"}  # whose settings are claim 6's
    missing.clear()
    evidence = examine_mrepu(MadeUp(member, scale="full"))
    assert evidence.verdict is Verdict.SUPPORTED and "MRePU learns at 50;" in " ".join(evidence.reason.split())


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
    first = first_failure(outcome, log10_K, log10_gradient, loss, STEPS)
    assert (first.cause, first.step) == (cause, step)


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
    unmoved = Trained((), Path("x"), {"outcomes": {}, "members": []})
    unmoved.__dict__["statistics"] = {"log10_K": log10_K[:1]}
    assert failure.first_update([run, unmoved]) == 0.5
    assert failure.first_update([unmoved]) is None
