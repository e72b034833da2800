"""Contests of activations on made-up runs: the best setting is judged on fresh networks; errors and verdicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_lab import MadeUp
from scipy import stats

from repu_lab.claims.approximation.learning import in_both
from repu_lab.claims.contest import (
    Case,
    champion,
    comparison_table,
    decades,
    hold,
    in_order,
    misclassified,
    pooled,
    relative_h1,
    relative_l2,
    validated,
)
from repu_lab.claims.lab import Trained
from repu_lab.claims.physics import burgers
from repu_lab.claims.statistics import Comparison, Interval, paired_test, rank_test
from repu_lab.claims.training.tuning import TUNING_SEED, Grid
from repu_lab.claims.verdicts import Verdict
from repu_lab.claims.vision import images

YES, NO, UNKNOWN = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
GRID = Grid(("critical", "he"), ("1e-3", "1e-2"), 2, 10)
EASY, HARD = Case(name="easy", depth=2, overrides=("steps=5",)), Case(name="hard", depth=9, overrides=("steps=5",))


def lab_of(error) -> MadeUp:
    """Return a lab whose networks have the errors that `error(overrides, member)` says."""

    def member(keys, number):
        found = error(keys, number)
        outcome = "trained" if found is not None and found < 0.3 else "learning"
        validation = None if found is None else 1 - found**2
        measures = {"relative_l2": found, "relative_h1": found}
        return {"outcome": outcome, "metric": None, "validation_metric": validation, "measures": measures}

    return MadeUp(member, scale="full")


def run(*errors: float | None, metric: float | None = None) -> Trained:
    members = [{"metric": metric, "measures": {"relative_l2": error, "relative_h1": error}} for error in errors]
    return Trained((), Path("run"), {"members": members})


def test_every_activation_has_the_same_budget_and_is_judged_at_its_best_on_other_seeds():
    def error(keys, member):
        return 0.1 if (keys["initialization"], keys["optimizer.lr"]) == ("he", "1e-2") else 0.5

    lab = lab_of(error)
    entries = hold(lab, ["tanh", "ReLU"], [EASY, HARD], GRID, tuning=["a=1"], judging=["b=2"])
    assert {entry.setting for entry in entries.values()} == {("he", "1e-2")}
    assert all(entry.trained.estimate == 1 and len(entry.fresh.members) == 10 for entry in entries.values())
    tuning = [keys for keys in lab.asked if keys.get("seed") == str(TUNING_SEED)]
    fresh = [keys for keys in lab.asked if "seed" not in keys]  # seeds 0, 1, ...: not those of tuning
    assert len(tuning) == 2 * 2 * 4 and len(fresh) == 2 * 2
    assert all(keys["a"] == "1" and "b" not in keys and keys["members"] == "2" for keys in tuning)
    assert all(keys["b"] == "2" and "a" not in keys and keys["members"] == "10" for keys in fresh)


def test_settings_are_chosen_on_the_validation_split_and_none_of_the_test_split_is_seen():
    """Where the two disagree: he is better on the test split, critical on the validation split."""

    def member(keys, number):
        he = keys["initialization"] == "he"
        measures = {"relative_l2": 0.1 if he else 0.5, "relative_h1": 0.1}
        return {"outcome": "trained", "metric": 0.99 if he else 0.75, "validation_metric": 0.5 if he else 0.9,
                "measures": measures}  # fmt: skip

    entries = hold(MadeUp(member, scale="full"), ["tanh"], [EASY], GRID)
    assert {entry.setting[0] for entry in entries.values()} == {"critical"}


def test_a_network_without_a_validation_metric_is_as_bad_as_they_come():
    found = [{"validation_metric": metric} for metric in (0.9, None, -1e9)]
    np.testing.assert_array_equal(validated(Trained((), Path("run"), {"members": found})), [0.9, -1, -1])


def test_errors_beyond_that_of_the_answer_0_count_as_that():
    np.testing.assert_array_equal(relative_l2(run(0.3, None, 1e9)), [0.3, 1, 1])
    np.testing.assert_array_equal(relative_h1(run(0.2)), [0.2])
    np.testing.assert_array_equal(misclassified(run(0.0, metric=0.9)), [1 - 0.9])
    np.testing.assert_array_equal(misclassified(run(0.0)), [1.0])  # no metric


def test_errors_are_pooled_in_one_order_for_all():
    lab = lab_of(lambda keys, member: int(keys["depth"]) / 10 + member / 100)
    entries = hold(lab, ["tanh", "ReLU"], [HARD, EASY], GRID)
    wanted = [0.2 + np.arange(10) / 100, 0.9 + np.arange(10) / 100]
    for name in ("tanh", "ReLU"):
        np.testing.assert_allclose(pooled(entries, name, [EASY, HARD], relative_l2), wanted)


def test_comparisons_are_of_logarithms():
    errors = {"a": np.array([0.1, 0.2, 0.4, 0.3]), "b": 10 * np.array([0.1, 0.2, 0.4, 0.3])}
    found = decades(errors, ["a"], ["b"])["a"]["b"]
    assert found.difference.estimate == pytest.approx(-1) and found.effect == 0
    signed: Any = stats.wilcoxon([-1.0] * 4, zero_method="zsplit")
    ranked: Any = stats.mannwhitneyu(*np.log10([errors["a"], errors["b"]]))
    assert found.p_value == pytest.approx(signed.pvalue)
    assert decades(errors, ["a"], ["b"], rank_test)["a"]["b"].p_value == pytest.approx(ranked.pvalue)
    assert comparison_table({"a": {"b": found}}, "").rows[0][:3] == ["a", "b", pytest.approx(0.1)]
    assert in_order(errors) == ["a", "b"]


def test_as_many_cases_as_one_likes_are_no_more_seeds():
    a = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.2, 0.3, 0.9]])
    found = decades({"a": a, "b": 10 * a}, ["a"], ["b"])["a"]["b"]
    many = decades({"a": np.tile(a, (20, 1)), "b": 10 * np.tile(a, (20, 1))}, ["a"], ["b"])["a"]["b"]
    assert many.p_value == found.p_value == pytest.approx(2 / 2**4)
    assert many.difference.estimate == pytest.approx(-1)


def test_a_collapse_at_one_depth_is_no_accuracy_as_good_as_another():
    level = np.linspace(0.05, 0.06, 10)
    errors = {name: np.stack([level] * 4) for name in (*images.MREPU, *images.REPU, *images.USUAL)}
    for name in images.MREPU:
        errors[name] = np.stack([level - 0.005] * 3 + [level + 0.3])
    assert champion(images.compare(errors)) is NO


def compared(p_value: float, difference: float) -> Comparison:
    return Comparison(p_value, 0.5, Interval(difference, difference, difference))


WIN, LOSS, DRAW = compared(1e-4, -1.0), compared(1e-4, 1.0), compared(0.5, -1.0)
JUST = compared(0.03, -1.0)  # significant at 5 %, not at 5 % over two champions


@pytest.mark.parametrize(
    ("first", "second", "ahead", "verdict"),
    [
        ([WIN] * 4, [LOSS] * 4, 0, YES),
        ([WIN, WIN, WIN, JUST], [LOSS] * 4, 0, UNKNOWN),
        ([WIN, WIN, WIN, DRAW], [LOSS, DRAW, DRAW, DRAW], 0, UNKNOWN),
        ([WIN, WIN, WIN, LOSS], [LOSS, DRAW, DRAW, DRAW], 0, NO),
        ([WIN, WIN, WIN, LOSS], [LOSS, LOSS, DRAW, DRAW], 1, YES),
        ([WIN, WIN, LOSS, LOSS], [LOSS, LOSS, DRAW, DRAW], 1, NO),
        ([WIN, WIN, DRAW, LOSS], [LOSS, LOSS, DRAW, DRAW], 1, UNKNOWN),
    ],
)
def test_a_champion_wins_all_or_all_but_so_many(first, second, ahead, verdict):
    names: list[str] = list("wxyz")
    comparisons = {"one": dict(zip(names, first, strict=True)), "two": dict(zip(names, second, strict=True))}
    assert champion(comparisons, ahead=ahead) is verdict


def test_to_win_in_both_errors_takes_each():
    both = in_both({"L2": {"m": {"r": WIN}}, "H1": {"m": {"r": LOSS}}})
    assert both == {"m": {"r, L2": WIN, "r, H1": LOSS}}
    assert champion(both) is NO


def test_burgers_is_void_where_nobody_finds_the_shock():
    against = {"m": dict.fromkeys("abcd", WIN)}
    assert burgers.judge(against, 0.01) is YES
    assert burgers.judge(against, 0.4) is UNKNOWN
    two = {"m": {"a": LOSS, "b": LOSS, "c": DRAW, "d": DRAW}}
    assert burgers.judge(two, 0.01) is NO


def test_images_as_accurate_as_another_within_the_margin_and_more_than_repu():
    level = np.linspace(0.05, 0.06, 20)[None]
    errors = {name: level.copy() for name in (*images.MREPU, *images.REPU, *images.USUAL)}
    errors["RePU 2"] = level + 0.3
    assert champion(images.compare(errors)) is YES  # equal to the usual ones: within the margin
    for name in images.MREPU:
        errors[name] = level + 2 * images.MARGIN
    assert champion(images.compare(errors)) is NO
    assert paired_test(level[0], level[0]).p_value == 1
