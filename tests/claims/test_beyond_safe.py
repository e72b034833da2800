"""Claim 15 on made-up runs: the networks of each change, every verdict, what its figure shows."""

from typing import Any

import numpy as np
import pytest
from made_up_lab import MadeUp
from matplotlib.colors import to_rgb

from repu_lab.activations import MRePU
from repu_lab.claims.beyond import safe
from repu_lab.claims.beyond.ladder import LEVERS, RATES, UNCHANGED, pulled, settings
from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import TUNING_SEED
from repu_lab.claims.verdicts import Verdict
from repu_lab.configs.composition import compose_jobs
from repu_lab.figures import looks, rows
from repu_lab.runs.building import build
from repu_lab.theory import critical_initialization, layers

HIGH, LOW, WIDE = Interval(0.9, 0.85, 0.95), Interval(0.05, 0.0, 0.1), Interval(0.5, 0.2, 0.8)


def test_every_change_has_the_rates_of_the_unchanged_network():
    for lever in LEVERS:
        tried = settings(lever, RATES)
        assert {rate for _, rate in tried} == set(RATES) == {rate for _, rate in settings(UNCHANGED, RATES)}
        assert len(set(tried)) == len(tried) == len(RATES) * len(LEVERS[lever].values)


@pytest.mark.parametrize("p", [1, 2])
def test_both_scales_give_the_network_that_critical_gives_in_its_own_units(p):
    """x = 0.15 is `critical`'s, and K^l / scale^2 is the same by layer."""
    small, scaled = (pulled(name, (0.15, 1e-3), p, 50) for name in ("input", "argument"))
    assert small.k1 == pytest.approx(critical_initialization(MRePU(p), 50).k1, rel=1e-12)
    assert scaled.k1 == 1 and small.scale == 1 and (small.rate, small.branch) == (1e-3, None)
    a, b = (layers(MRePU(p, net.scale), 1.0, 0.0, net.k1, 50).K / net.scale**2 for net in (small, scaled))
    np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    ("lever", "value", "scale", "C_W", "weights"),
    [
        ("argument", 0.02, (18 * 5 / 0.02) ** 0.5, 1.0, "gaussian"),
        ("branches", 0.1, 1.0, 0.1 / 4, "gaussian"),
        ("orthogonal", 1, 1.0, 1.0, "orthogonal"),
    ],
)
def test_the_command_line_builds_the_network_that_is_meant(lever, value, scale, C_W, weights):
    *network, rate = pulled(lever, (value, 3e-5), 2, 5).overrides
    (job,) = compose_jobs("propagate", [*network, "width=8", "device=cpu"])
    built = build(job.config)
    assert isinstance(built.activation, MRePU) and built.activation.p == 2
    assert (built.activation.scale, built.rule.C_W[1], built.rule.k1) == pytest.approx((scale, C_W, 1), rel=1e-5)
    assert built.law.weights == weights and job.config.residual == (lever == "branches")
    assert rate == "optimizer.lr=3e-05"


def shares(default: Interval = LOW, **changed: Interval) -> dict[tuple[str, int], Interval]:
    """Shares that count, the same for both powers unless a name ends with _1 or _2."""
    table = {(lever, p): default for lever in LEVERS for p in safe.POWERS}
    for name, share in changed.items():
        lever, _, power = name.partition("_")
        table |= {(lever, p): share for p in safe.POWERS if power in ("", str(p))}
    return table


RULES = {
    "one change is enough": (Verdict.SUPPORTED, shares(argument=HIGH, orthogonal=WIDE)),
    "nothing is": (Verdict.REFUTED, shares()),
    "none is needed": (Verdict.REFUTED, shares(HIGH)),
    "enough for one power only": (Verdict.REFUTED, shares(argument_1=HIGH)),
    "not clear for one power": (Verdict.INCONCLUSIVE, shares(argument_1=HIGH, argument_2=WIDE)),
    "not clear whether it is needed": (Verdict.INCONCLUSIVE, shares(argument=HIGH, unchanged=WIDE)),
}


class Deep(MadeUp):
    """A full-scale lab whose MRePU networks train where `works` says; their kernels grow by 2 decades on the way."""

    def __init__(self, works):
        def member(keys, _):
            learns = keys["activation"] not in ("mrepu", "identity") or works(keys)
            accuracy = 0.9 if learns else 0.25 if keys["activation"] == "identity" else None
            return {"outcome": "learning", "metric": accuracy, "validation_metric": accuracy}

        super().__init__(member, scale="full")

    def made_up(self, job: tuple[str, ...]) -> Trained:
        run = super().made_up(job)
        log10_K = np.zeros((2, int(self.asked[-1]["depth"]) + 1, len(run.members), 4))
        log10_K[1] = 2.0
        run.__dict__["statistics"] = {"log10_K": log10_K}
        return run


def scaled(keys: dict[str, Any]) -> bool:
    return keys["activation"] == "mrepu" and float(keys["activation.scale"]) > 100


def test_it_is_examined_with_one_budget_and_judged_on_fresh_networks():
    """Only the smallest rate learns, which the unchanged network and every change try too."""
    lab = Deep(lambda keys: scaled(keys) and float(keys["optimizer.lr"]) < 2e-4)
    evidence = safe.examine(lab)
    assert evidence.verdict is Verdict.SUPPORTED
    ladder = [keys for keys in lab.asked if keys["activation"] == "mrepu"]
    tuning = [keys for keys in ladder if keys["seed"] == str(TUNING_SEED)]
    per_power = [keys for keys in tuning if keys["activation.p"] == "1"]
    assert len(per_power) == sum(len(settings(lever, RATES)) for lever in LEVERS)
    judges = {(keys["members"], keys["data_seed"]) for keys in ladder if keys not in tuning}
    assert judges == {("6", split) for split in "012"}
    table = {(row[0], row[1]): row for row in evidence.tables[0].rows}
    assert table["argument", 1][4] == 1 and table["unchanged", 2][4] == 0 and len(table) == 2 * len(LEVERS) + 3
    assert str(table["argument", 2][2]).endswith(", 0.0001") and table["tanh", None][4] == 1
    theory = {
        (row[0], row[1]): dict(zip(evidence.tables[-1].columns, row, strict=True)) for row in evidence.tables[-1].rows
    }
    judged = next(keys for keys in ladder if keys not in tuning and scaled(keys) and keys["activation.p"] == "1")
    scale = float(judged["activation.scale"])
    row = theory["argument", 1]
    assert (row["K grew"], row["K moved"]) == (0, 2) and row["bent"] == pytest.approx(10 / scale, rel=1e-5)
    assert row["x"] == pytest.approx(150 / scale**2, rel=1e-5)


def test_what_a_linear_network_reaches_too_is_nothing():
    evidence = safe.examine(Deep(lambda keys: keys["activation"] == "identity" or scaled(keys)))
    assert evidence.verdict is Verdict.REFUTED


def test_without_any_change_that_works_it_is_refuted():
    evidence = safe.examine(Deep(lambda _: False))
    assert evidence.verdict is Verdict.REFUTED and evidence.reason.count("0% count, median 0.00") == 2 * len(LEVERS)


def test_the_figure_has_a_row_a_change_and_is_told_apart_in_grey():
    changes = {lever: {p: ((0.5, 0.3, 0.7), (0.9, 0.8, 0.95)) for p in (1, 2)} for lever in LEVERS}
    figure = rows.ladder(changes, {"tanh": 0.9, "ReLU": 0.7})
    assert figure.get_size_inches()[0] == looks.COLUMN
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(changes)
    first, second = (face for _, _, face in rows.POWERS.values())
    assert abs(np.dot(np.subtract(to_rgb(first), to_rgb(second)), (0.299, 0.587, 0.114))) > 0.3
