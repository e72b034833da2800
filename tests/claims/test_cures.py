"""The claims about cures on made-up runs: chosen by validation, judged on other splits, against the linear baseline."""

from typing import Any

import pytest
from made_up_lab import Keys, MadeUp

from repu_lab.claims.cures import skips
from repu_lab.claims.cures.trials import LINEAR, MARGIN, REPU, TUNING_SEED, Budget, Case, bar, cases, judge
from repu_lab.claims.verdicts import Verdict

BUDGET = Budget(("2e-4", "7e-4"), 2, 3, 4, ("width=32", "batch_size=64", "steps=100"))


def lab_of(metric: Any) -> MadeUp:
    """Return a lab whose networks have the test and validation metrics that `metric(keys, number)` says."""

    def member(keys: Keys, number: int) -> dict[str, Any]:
        test, validation = metric(keys, number)
        return {"outcome": "learning", "metric": test, "validation_metric": validation}

    return MadeUp(member)


def test_rates_are_chosen_on_the_validation_split_and_judged_on_others():
    """The rate that does best on the test split does worse on the validation split, and is not taken."""

    def metric(keys: Keys, _: int) -> tuple[float, float]:
        return (0.9, 0.2) if keys["optimizer.lr"] == "2e-4" else (0.6, 0.8)

    lab = lab_of(metric)
    wanted = cases(("XOR",), ("ReZero",), (REPU, LINEAR), (5, 9))
    assert [case.depth for case in wanted] == [9, 9, 5, 5]
    found = judge(lab, wanted, BUDGET)
    assert {judged.rate for judged in found.values()} == {"7e-4"}
    tuning = [keys for keys in lab.asked if keys["data_seed"] == str(TUNING_SEED)]
    fresh = [keys for keys in lab.asked if keys not in tuning]
    assert (len(tuning), len(fresh)) == (4 * 2, 4 * 3)
    assert {keys["data_seed"] for keys in fresh} == {"0", "1", "2"}  # a split, and batches, of its own each
    seeds = {(int(keys["seed"]) + i, keys["activation"], keys["depth"]) for keys in fresh for i in range(4)}
    assert len(seeds) == 4 * 3 * 4  # no network is judged twice
    assert all(len(judged.metrics) == 12 for judged in found.values())


def test_a_network_counts_only_above_the_linear_baseline():
    """The identity reaches .85 in one block and chance in another."""

    def metric(keys: Keys, number: int) -> tuple[float, float]:
        linear = 0.85 if keys["block.branch"] == "rezero" else 0.25
        value = linear if keys["activation"] == "identity" else 0.9 + 0.1 * (number == 0)
        return value, value

    found = judge(lab_of(metric), cases(("XOR",), ("ReZero", "skips and RMSNorm"), (REPU, LINEAR), (5,)), BUDGET)
    passed, plain = (Case("XOR", block, REPU, 5) for block in ("ReZero", "skips and RMSNorm"))
    assert bar(found, passed, 0.7) == pytest.approx(0.85 + MARGIN) and bar(found, plain, 0.7) == 0.7
    assert found[passed].above(bar(found, passed, 0.7)).estimate == 0.25
    assert found[plain].above(bar(found, plain, 0.7)).estimate == 1


@pytest.mark.parametrize(
    ("repu", "identity", "verdict"),
    [(0.86, 0.22, Verdict.SUPPORTED), (0.80, 0.22, Verdict.INCONCLUSIVE), (0.86, 0.80, Verdict.REFUTED)],
)
def test_the_claim_on_skips_from_networks_to_the_verdict(repu, identity, verdict):
    """Level with ReLU; 6 points behind it; no better than a linear network."""

    def metric(keys: Keys, _: int) -> tuple[float, float]:
        value = {"repu": repu, "identity": identity}.get(str(keys["activation"]), 0.87)
        return value, value

    evidence = skips.examine(lab_of(metric))
    assert evidence.verdict is verdict
    rows = {(row[0], row[1], row[2]): row for row in evidence.tables[0].rows}
    assert len(rows) == 3 * 4 + 3 * 2
    assert rows["ReZero", REPU, 12][7:] == [repu, max(0.7, identity + MARGIN)]
    assert f"{identity:.2f}" in evidence.reason and evidence.pictures[0].alt.count(f"{repu:.2f}") == 6
