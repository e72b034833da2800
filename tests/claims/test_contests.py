"""Contests of activations on made-up runs: who takes part, which networks count, who errs less."""

from typing import Any

import numpy as np
import pytest
from made_up_lab import Keys, MadeUp
from scipy import stats

from repu_lab.claims.approximation.learning import in_both
from repu_lab.claims.comparing import champion, decades, in_order, ratio_table
from repu_lab.claims.contest import CRITERION, LINEAR, MARGIN, Case, Grid, contest
from repu_lab.claims.physics import burgers
from repu_lab.claims.statistics import Comparison, Interval, paired_test
from repu_lab.claims.trials import metrics, relative_l2
from repu_lab.claims.verdicts import Verdict
from repu_lab.claims.vision import images

YES, NO, UNKNOWN = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
GRID = Grid(("critical", "he"), ("1e-3", "1e-2"), 2, 10)
EASY, HARD = Case("easy", 2, ("steps=5",)), Case("hard", 9, ("steps=5",))


def lab_of(metric: Any) -> MadeUp:
    """Return a lab whose networks have the metric on both splits, and the error, that `metric(keys, number)` says."""

    def member(keys: Keys, number: int) -> dict[str, Any]:
        value = metric(keys, number)
        return {"outcome": "learning", "metric": value, "validation_metric": value, "measures": {"relative_l2": value}}

    return MadeUp(member)


def test_every_activation_tries_the_same_grid_in_every_case_the_deepest_first():
    lab = lab_of(lambda keys, _: 0.9 if (keys["initialization"], keys["optimizer.lr"]) == ("he", "1e-2") else 0.5)
    entries = contest(lab, [(name, case) for name in ("tanh", "ReLU") for case in (EASY, HARD)], GRID)
    assert {entry.setting for entry in entries.values()} == {("he", "1e-2")}
    assert [keys["depth"] for keys in lab.asked] == ["9"] * 8 + ["2"] * 8 + ["9"] * 2 + ["2"] * 2
    assert {keys["activation"] for keys in lab.asked} == {"tanh", "relu"}
    assert {(keys["steps"], keys["statistics"]) for keys in lab.asked} == {("5", "false")}
    rows = entries.table({"accuracy": metrics}, "").rows
    assert rows[0] == ["easy", 2, "tanh", "he", "1e-2", 0, 0, pytest.approx(0.422, abs=1e-3), 0.9, 0.9, 0.9]


def test_a_network_counts_only_above_the_best_linear_baseline_of_its_case():
    """The identity reaches .85 in a shallow easy case, chance in a deep one and in the hard one."""
    deep = Case("easy", 20, EASY.overrides)

    def metric(keys: Keys, number: int) -> float:
        linear = 0.85 if keys["depth"] == "2" else 0.25
        return linear if keys["activation"] == "identity" else 0.9 + 0.055 * (number < 2)

    places = [(name, case) for name in ("ReLU", LINEAR) for case in (EASY, deep, HARD)]
    shares = contest(lab_of(metric), places, GRID).counting()
    assert 0.85 < 0.85 + MARGIN < 0.955
    assert [shares["ReLU", case].estimate for case in (EASY, deep, HARD)] == [0.2, 0.2, 1]
    assert CRITERION > 0.25 + MARGIN and shares[LINEAR, HARD].estimate == 0


def test_orthogonal_weights_are_a_case_of_their_own_without_what_cannot_draw_them():
    """The identity's bar there is its own: it learns more than with Gaussian weights."""

    def metric(keys: Keys, _: int) -> float:
        orthogonal = keys.get("initialization.weights") == "orthogonal"
        return (0.8 if orthogonal else 0.2) if keys["activation"] == "identity" else 0.75

    lab = lab_of(metric)
    grid = Grid(("pytorch", "he"), ("1e-3",), 1, 10)
    turned = EASY.orthogonal
    shares = contest(lab, [(name, case) for name in ("ReLU", LINEAR) for case in (EASY, turned)], grid).counting()
    assert (shares["ReLU", EASY].estimate, shares["ReLU", turned].estimate) == (1, 0)
    asked = {(keys["initialization"], keys.get("initialization.weights")) for keys in lab.asked}
    assert asked == {("pytorch", None), ("he", None), ("he", "orthogonal")}


def test_errors_are_pooled_in_one_order_for_all():
    lab = lab_of(lambda keys, number: int(keys["depth"]) / 10 + number / 100)
    entries = contest(lab, [(name, case) for name in ("tanh", "ReLU") for case in (HARD, EASY)], GRID)
    wanted = [0.2 + np.arange(10) / 100, 0.9 + np.arange(10) / 100]
    for pooled in entries.pooled(("tanh", "ReLU"), [EASY, HARD], relative_l2).values():
        np.testing.assert_allclose(pooled, wanted)


def test_comparisons_are_of_logarithms():
    errors = {"a": np.array([0.1, 0.2, 0.4, 0.3]), "b": 10 * np.array([0.1, 0.2, 0.4, 0.3])}
    comparison = decades(errors, ["a"], ["b"])["a"]["b"]
    assert comparison.difference.estimate == pytest.approx(-1) and comparison.effect == 0
    signed: Any = stats.wilcoxon([-1.0] * 4, zero_method="zsplit")
    assert comparison.p_value == pytest.approx(signed.pvalue)
    shared = paired_test(np.log10(errors["a"]), np.log10(errors["b"]), sharing=2)
    assert decades(errors, ["a"], ["b"], sharing=2)["a"]["b"] == shared and shared.p_value > signed.pvalue
    assert ratio_table({"a": {"b": comparison}}, "").rows[0][:3] == ["a", "b", pytest.approx(0.1)]
    assert in_order(errors) == ["a", "b"]


def test_as_many_cases_as_one_likes_are_no_more_seeds():
    a = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.2, 0.3, 0.9]])
    comparison = decades({"a": a, "b": 10 * a}, ["a"], ["b"])["a"]["b"]
    many = decades({"a": np.tile(a, (20, 1)), "b": 10 * np.tile(a, (20, 1))}, ["a"], ["b"])["a"]["b"]
    assert many.p_value == comparison.p_value == pytest.approx(2 / 2**4)
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
