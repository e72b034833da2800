"""Claim 15 on made-up runs: the ladder's networks, the smallest change, every verdict, what its figure shows."""

from typing import Any

import numpy as np
import pytest
from made_up_lab import MadeUp
from matplotlib.colors import to_rgb

from repu_lab.activations import MRePU
from repu_lab.claims.beyond import safe
from repu_lab.claims.beyond.ladder import LEVERS, RUNGS, SETTINGS, UNCHANGED, named, pulled, settings
from repu_lab.claims.beyond.trials import RungAtPower
from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import Interval
from repu_lab.claims.trials import TUNING_SEED
from repu_lab.claims.verdicts import Verdict
from repu_lab.configs.composition import compose_jobs
from repu_lab.figures import looks, rows
from repu_lab.runs.building import build
from repu_lab.theory import critical_initialization, layers

HIGH, LOW, WIDE = Interval(0.9, 0.85, 0.95), Interval(0.05, 0.0, 0.1), Interval(0.5, 0.2, 0.8)


def test_there_is_a_rung_for_every_choice_of_at_most_two_levers_with_the_same_budget():
    assert len(RUNGS) == 1 + 5 + 10 == len(set(RUNGS))
    assert settings(UNCHANGED) == [()]
    for rung in RUNGS[1:]:
        found = settings(rung)
        fewer = {1: 1, 2: 2}[len(rung)] if "orthogonal" in rung else SETTINGS  # nothing to choose but the other lever
        assert len(found) == len(set(found)) == fewer and all(len(setting) == len(rung) for setting in found)


@pytest.mark.parametrize("p", [1, 2])
def test_both_scales_give_the_network_that_critical_gives_in_its_own_units(p):
    """x = 0.15 is `critical`'s, and K^l / scale^2 is the same by layer."""
    small, scaled = (pulled((name,), (0.15,), p, 50) for name in ("input", "argument"))
    assert small.k1 == pytest.approx(critical_initialization(MRePU(p), 50).k1, rel=1e-12)
    assert scaled.k1 == 1 and small.scale == 1 and (small.rate, small.branch) == (1e-3, None)
    a, b = (layers(MRePU(p, net.scale), 1.0, 0.0, net.k1, 50).K / net.scale**2 for net in (small, scaled))
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_the_command_line_builds_the_network_that_is_meant():
    network = pulled(("argument", "branches"), (0.02, 0.1), 2, 5)
    (job,) = compose_jobs("propagate", [*network.overrides[:-1], "width=8", "device=cpu"])
    built = build(job.config)
    assert isinstance(built.activation, MRePU) and built.activation.p == 2
    assert built.activation.scale == pytest.approx((18 * 5 / 0.02) ** 0.5, rel=1e-5)
    assert job.config.residual and built.rule.k1 == pytest.approx(1)
    assert built.rule.C_W[1] == pytest.approx(0.1 / 4, rel=1e-5)
    assert built.law.weights == "gaussian"
    (turned,) = compose_jobs(
        "propagate", [*pulled(("orthogonal",), (1,), 1, 5).overrides[:-1], "width=8", "device=cpu"]
    )
    assert build(turned.config).law.weights == "orthogonal"
    assert network.overrides[-1] == "optimizer.lr=0.001" and pulled(("rate",), (3e-5,), 1, 5).rate == 3e-5


def shares(default: Interval = LOW, **changed: Interval) -> dict[RungAtPower, Interval]:
    """Shares trained, the same for both powers unless the name of a rung ends with _1 or _2."""
    table = {(rung, p): default for rung in RUNGS for p in safe.POWERS}
    for name, share in changed.items():
        levers, _, power = name.partition("_")
        rung = () if levers == "unchanged" else tuple(name for name in LEVERS if name in levers)
        table |= {(rung, p): share for p in safe.POWERS if power in ("", str(p))}
    return table


RULES = {
    "one change is enough": (Verdict.SUPPORTED, shares(argument=HIGH, rate=WIDE)),
    "only two are": (Verdict.REFUTED, shares(inputbranches=HIGH)),
    "nothing is": (Verdict.REFUTED, shares()),
    "none is needed": (Verdict.REFUTED, shares(HIGH)),
    "enough for one power only": (Verdict.REFUTED, shares(argument_1=HIGH)),
    "not clear for one power": (Verdict.INCONCLUSIVE, shares(argument_1=HIGH, argument_2=WIDE)),
    "not clear whether it is needed": (Verdict.INCONCLUSIVE, shares(argument=HIGH, unchanged=WIDE)),
}


def test_the_smallest_change_has_the_fewest_levers_then_the_highest_share():
    higher = Interval(1.0, 0.9, 1.0)
    assert safe.smallest(shares(argument=HIGH, branches=higher, inputrate=higher), 1) == ("branches",)
    assert safe.smallest(shares(argument=WIDE, inputrate=HIGH), 1) == ("input", "rate")
    assert safe.smallest(shares(argument=WIDE), 1) is None


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


def test_it_is_examined_with_one_budget_and_judged_on_fresh_networks_and_twice_the_depth():
    lab = Deep(scaled)
    evidence = safe.examine(lab)
    assert evidence.verdict is Verdict.SUPPORTED
    assert [evidence.numbers[f"smallest change, p = {p}"] for p in safe.POWERS] == ["argument"] * 2
    tuning = [keys for keys in lab.asked if keys.get("seed") == str(TUNING_SEED)]
    per_power = [keys for keys in tuning if keys.get("activation.p") == "1"]
    assert len(per_power) == sum(len(settings(rung)) for rung in RUNGS)
    assert len([keys for keys in tuning if keys["activation"] == "tanh"]) == SETTINGS
    fresh = [keys for keys in lab.asked if keys not in tuning]
    deep = [keys for keys in fresh if keys["depth"] == "100"]
    assert [keys["activation.p"] for keys in deep] == ["1", "2"] and all(scaled(keys) for keys in deep)
    judges = {
        (keys["members"], keys["data_seed"])
        for keys in fresh
        if keys["activation"] == "mrepu" and keys["depth"] == "50"
    }
    assert judges == {(count, split) for count in ("6", "4") for split in "012"}  # one change, two
    table = {(row[0], row[1]): row for row in evidence.tables[0].rows}
    assert table["argument", 1][4] == 1 and table["unchanged", 2][4] == 0 and len(table) == 2 * len(RUNGS) + 3
    theory = {
        (row[0], row[1]): dict(zip(evidence.tables[-1].columns, row, strict=True)) for row in evidence.tables[-1].rows
    }
    scale = float(next(keys["activation.scale"] for keys in deep if keys["activation.p"] == "1")) / 2**0.5
    found = theory["argument", 1]
    assert (found["K grew"], found["K moved"]) == (0, 2) and found["bent"] == pytest.approx(10 / scale, rel=1e-5)
    assert found["x"] == pytest.approx(150 / scale**2, rel=1e-5)


def test_what_a_linear_network_reaches_too_is_nothing():
    evidence = safe.examine(Deep(lambda keys: keys["activation"] == "identity" or scaled(keys)))
    assert evidence.verdict is Verdict.REFUTED


def test_without_any_change_that_works_it_says_so():
    evidence = safe.examine(Deep(lambda _: False))
    assert evidence.verdict is Verdict.REFUTED and evidence.numbers["smallest change, p = 1"] is None
    assert len(evidence.tables) == 2 and "no change" in evidence.reason


def test_the_figure_has_a_row_a_change_and_is_told_apart_in_grey():
    changes = {named(rung): {p: ((0.5, 0.3, 0.7), (0.9, 0.8, 0.95)) for p in (1, 2)} for rung in RUNGS}
    figure = rows.ladder(changes, {"tanh": 0.9, "ReLU": 0.7})
    assert figure.get_size_inches()[0] == looks.COLUMN
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(changes)
    first, second = (face for _, _, face in rows.POWERS.values())
    assert abs(np.dot(np.subtract(to_rgb(first), to_rgb(second)), (0.299, 0.587, 0.114))) > 0.3
