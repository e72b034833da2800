"""The claims on cures on made-up runs, and what they measure of fresh networks."""

from typing import Any

import numpy as np
import pytest
from made_up_lab import Keys, MadeUp

from repu_lab.claims.contest import ACTIVATIONS, Case
from repu_lab.claims.cures import blocks, layernorm, skips, tailored, turned
from repu_lab.claims.statistics import wilson
from repu_lab.claims.trials import TUNING_SEED
from repu_lab.claims.verdicts import Verdict


@pytest.mark.parametrize(
    ("repu", "identity", "verdict"),
    [(0.86, 0.22, Verdict.INCONCLUSIVE), (0.80, 0.22, Verdict.REFUTED), (0.86, 0.80, Verdict.INCONCLUSIVE)],
)
def test_the_claim_on_skips_from_networks_to_the_verdict(repu, identity, verdict):
    """Level with ReLU; 7 points behind it; no better than a linear network. Four of one division tell little."""

    def member(keys: Keys, _: int) -> dict[str, Any]:
        value = {"repu": repu, "identity": identity}.get(str(keys["activation"]), 0.87)
        return {"outcome": "learning", "metric": value, "validation_metric": value}

    lab = MadeUp(member)
    evidence = skips.examine(lab)
    assert evidence.verdict is verdict
    rows = {tuple(row[:3]): row for row in evidence.tables[0].rows}
    assert len(rows) == 3 * 4 + 3 * 2
    assert rows["XOR, ReZero", 12, "RePU 2"][8:] == [repu] * 3
    counted = wilson(4 * (repu >= identity + 0.1), 4, sharing=4)  # all four share a division of the data
    assert rows["XOR, ReZero", 12, "RePU 2"][5:8] == pytest.approx(list(counted))
    assert f"{identity:.2f}" in evidence.reason and evidence.pictures[0].alt.count(f"{repu:.2f}") == 6


def test_as_many_parts_are_corrected_for_as_can_refute():
    """At full scale a share for each block and depth, and a difference from ReLU for each block."""
    member = {"outcome": "learning", "metric": 0.5, "validation_metric": 0.5}
    lab = MadeUp(lambda *_: member, scale="full")
    evidence = skips.examine(lab)
    shares = [row for row in evidence.tables[0].rows if row[2] == skips.REPU]
    assert len(shares) + sum(name.startswith("ReLU ahead") for name in evidence.numbers) == skips.PARTS
    tuning = [keys for keys in lab.asked if keys["seed"] == str(TUNING_SEED)]
    assert {keys["data_seed"] for keys in tuning} == {str(TUNING_SEED)}  # settings are chosen on another division


@pytest.mark.parametrize(("unshifted", "verdict"), [(0.3, Verdict.INCONCLUSIVE), (0.9, Verdict.REFUTED)])
def test_the_claim_on_layernorm_needs_the_shift(unshifted, verdict, monkeypatch):
    """A factor that is not clear leaves it open: the rest of the rule can refute alone."""

    def member(keys: Keys, _: int) -> dict[str, Any]:
        turned_there = keys.get("initialization.weights") == "orthogonal"
        shifted = keys.get("activation.shift") == "4"
        value = 0.25 if keys["activation"] == "identity" else (0.84 if turned_there else 0.6) if shifted else unshifted
        return {"outcome": "learning", "metric": value, "validation_metric": value}

    lab = MadeUp(member, scale="full")
    monkeypatch.setattr(layernorm, "slopes", lambda *_, **__: np.log10([1.0, 1.03, 1.06]))
    evidence = layernorm.examine(lab)
    assert evidence.verdict is verdict
    rows = {tuple(row[:3]): row for row in evidence.tables[0].rows}
    assert rows["XOR, LayerNorm after s, orthogonal weights", 50, "RePU 2 of z + 4"][5] == 1
    assert rows["XOR, LayerNorm after s", 50, "RePU 2 of z + 4"][5] == 0
    assert {keys["depth"] for keys in lab.asked} == {"50", "100"}


def test_the_gradient_behind_layernorm_grows_as_theory_says():
    """68/66 a layer with a shift of 4, 8/5 without: within 5 standard errors at width 256, which is lower by some."""
    lab = MadeUp(lambda *_: {})
    for name, factor, room in (("RePU 2 of z + 4", 68 / 66, 0.03), ("RePU 2", 1.6, 0.1)):
        growth = blocks.growth(blocks.slopes(lab, *ACTIVATIONS[name], "block.norm=layer_after", depth=12))
        assert abs(growth.estimate / factor - 1) < room


def test_biases_that_are_the_shift_keep_the_signal_of_plain_repu_networks():
    """By theory the mean square of u, the preactivation less its bias, is 1 at every layer, in wide networks."""
    depth, width, networks = 10, 512, 8
    K, difference = tailored.realised(depth, width, range(networks))
    assert K.shape == (depth, networks) and difference < 1e-9
    assert abs(np.log(np.median(K, axis=1))).max() < 0.15


def test_a_signal_is_lost_upwards_and_downwards():
    K = np.array([[1.0, 1.0, 1.0, 1.0], [5.0, 11.0, 0.05, 0.2], [9.0, np.inf, 0.01, 0.1]])
    assert tailored.kept(K) == {"keep it": 2, "grow": 1, "shrink": 1}


def test_the_bands_are_those_of_the_exact_chain():
    """tanh, C_W = 1, K^1 = 1, n = 64, layer 50: 5 and 95 % of 20,000 chains at -2.789, -1.686 and -1.989, -1.953."""
    lab, case = MadeUp(lambda *_: {}), Case("digits", 50, ("task=digits", "width=64", "batch_size=64", "steps=4"))
    assert turned.band(lab, "tanh", case) == pytest.approx(1.103, rel=0.06)
    assert turned.band(lab, "tanh", case.orthogonal) == pytest.approx(0.036, rel=0.1)
    assert turned.band(lab, "identity", case.orthogonal) < 1e-9


def test_bands_that_leave_the_number_format_promise_nothing():
    """As MRePU's with either kind of weights: inf / inf once left an activation out of both sides of the rule."""
    assert turned.narrowing(np.inf, np.inf) == 1 and turned.narrowing(np.inf, 1.0) == np.inf
    assert turned.narrowing(1.0, np.inf) == 0 and turned.narrowing(3.0, 0.5) == 6


@pytest.mark.parametrize(("help_", "verdict"), [(True, Verdict.INCONCLUSIVE), (False, Verdict.REFUTED)])
def test_orthogonal_weights_help_or_harm(help_, verdict, monkeypatch):
    """Six seeds, as in a smoke run, are too few for so many tests; twelve that all get worse refute."""
    monkeypatch.setattr(turned, "band", lambda lab, name, case: 0.1 if "orthogonal" in case.name else 1.0)

    def member(keys: Keys, number: int) -> dict[str, Any]:
        better = ("initialization.weights" in keys) is help_
        return {"outcome": "learning", "metric": 0.9 * better + 0.05 + number / 1000, "validation_metric": 0.5}

    evidence = turned.examine(MadeUp(member, scale="smoke" if help_ else "full"))
    assert evidence.verdict is verdict
    assert evidence.tables[0].rows[0][1:3] == [1.0, 0.1]
    falls = evidence.numbers["errors fall by, tanh"]
    assert isinstance(falls, float) and (falls > 10) is help_
