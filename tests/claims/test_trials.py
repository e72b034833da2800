"""Tune, choose, judge on made-up runs: the best on the validation split is judged by other networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_lab import Keys, MadeUp

from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import median_interval
from repu_lab.claims.trials import (
    TUNING_SEED,
    Tuned,
    metrics,
    misclassified,
    relative_h1,
    relative_l2,
    share,
    tuned,
    validated,
)

ENTRANTS = {
    name: {(lr,): (f"activation={name}", f"optimizer.lr={lr}") for lr in ("1e-3", "1e-2")} for name in ("relu", "tanh")
}


def lab_of(metric: Any) -> MadeUp:
    """Return a lab whose networks have the test and validation metrics that `metric(keys, number)` says."""

    def member(keys: Keys, number: int) -> dict[str, Any]:
        test, validation = metric(keys, number)
        outcome = "trained" if test is not None and test >= 0.8 else "learning"
        return {"outcome": outcome, "metric": test, "validation_metric": validation}

    return MadeUp(member)


def test_settings_are_chosen_on_the_validation_split_and_judged_on_the_test_split():
    """Where the two disagree: 1e-2 is better on the test split and trains, 1e-3 on the validation split."""

    def metric(keys: Keys, number: int) -> tuple[float, float]:
        return (0.9, 0.5) if keys["optimizer.lr"] == "1e-2" else (0.6 + number / 100, 0.8)

    judged = tuned(lab_of(metric), ENTRANTS, tuning_members=2, members=4)
    assert {name: entry.setting for name, entry in judged.items()} == {"relu": ("1e-3",), "tanh": ("1e-3",)}
    assert metrics(judged["relu"].records) == pytest.approx([0.6, 0.61, 0.62, 0.63])
    assert judged["relu"].metric == pytest.approx(0.615) and judged["relu"].trained.estimate == 0
    assert judged["relu"].reached(0.62).estimate == 0.5  # a network at the bar has reached it


def test_all_try_as_much_and_are_judged_by_other_networks_on_every_split():
    lab = lab_of(lambda keys, _: (0.5, 0.5 + (keys["optimizer.lr"] == "1e-2")))
    shares: list[float] = []
    lab.progress = shares.append
    stages: dict[str, Any] = {"tuning": ("a=1",), "judging": ("b=2",), "tuning_share": 0.5, "part": (0.2, 0.8)}
    judged = tuned(lab, ENTRANTS, tuning_members=2, members=4, splits=3, **stages)
    tuning = [keys for keys in lab.asked if keys["seed"] == str(TUNING_SEED)]
    fresh = [keys for keys in lab.asked if keys not in tuning]
    assert (len(tuning), len(fresh)) == (2 * 2, 2 * 3)
    assert all(keys["a"] == "1" and "b" not in keys and keys["members"] == "2" for keys in tuning)
    assert all(keys["b"] == "2" and "a" not in keys and keys["members"] == "4" for keys in fresh)
    assert {keys["data_seed"] for keys in fresh} == {"0", "1", "2"}  # a split, and batches, of its own each
    seeds = {(int(keys["seed"]) + i, keys["activation"]) for keys in fresh for i in range(4)}
    assert len(seeds) == 2 * 3 * 4  # no network is judged twice
    assert {keys["optimizer.lr"] for keys in fresh} == {"1e-2"}
    assert [len(entry.records) for entry in judged.values()] == [12, 12]
    assert [len(entry.fresh) for entry in judged.values()] == [3, 3]
    assert shares == pytest.approx([0.5, 0.8])


def test_an_interval_stays_where_its_measure_can_be():
    """Widened for twelve networks of one division it would reach from -.2 to 1.2."""
    errors = [0.0, 0.0, 0.5, 0.5, 1.0, 1.0] * 2
    entry = Tuned(("1e-3",), [run(*({"measures": {"relative_l2": error}} for error in errors))], 0.0)
    assert median_interval(errors, sharing=12).high > 1
    assert entry.median(relative_l2) == (0.5, 0.0, 1.0)


def test_what_leaves_no_choice_is_not_tried():
    lab = lab_of(lambda keys, number: (0.9, 0.5 + number / 10))
    (only,) = tuned(lab, {"tanh": {("1e-3",): ("activation=tanh",)}}, tuning_members=2, members=3, splits=2).values()
    assert [keys["seed"] for keys in lab.asked] == ["0", "3"] and only.setting == ("1e-3",)
    assert only.validation == pytest.approx(0.6)  # of the fresh networks' own validation split, not of the test split


def run(*members: dict[str, Any]) -> Trained:
    return Trained((), Path("run"), {"members": list(members)})


def test_a_network_without_a_validation_metric_is_as_bad_as_they_come():
    for median, values in ((0.9, (0.9,)), (-1, (0.9, None, -1e9)), (-0.05, (0.9, None))):
        assert validated(run(*({"validation_metric": value} for value in values))) == pytest.approx(median)


def test_errors_beyond_that_of_the_answer_0_count_as_that():
    measures = [{"measures": {"relative_l2": error, "relative_h1": 0.2}} for error in (0.3, None, 1e9)]
    np.testing.assert_array_equal(relative_l2(measures), [0.3, 1, 1])
    np.testing.assert_array_equal(relative_h1(measures[:1]), [0.2])


def test_a_network_without_a_metric_gets_all_wrong():
    records = [{"metric": 0.9, "outcome": "trained"}, {"metric": None, "outcome": "exploded"}]
    np.testing.assert_array_equal(metrics(records), [0.9, 0])
    np.testing.assert_array_equal(misclassified(records), [1 - 0.9, 1])
    assert share(records, "exploded").estimate == 0.5
