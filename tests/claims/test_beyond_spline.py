"""Claim 14: its rule on made-up numbers, the theory of its search against closed forms, its figure."""

import math

import numpy as np
import pytest
import torch
from made_up_lab import MadeUp

from repu_lab.activations import Activation, ReLU, SplineRePU, Tanh
from repu_lab.claims.base import prose
from repu_lab.claims.beyond import spline
from repu_lab.claims.beyond.family import affordable, critical_passage, passage
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict
from repu_lab.figures.looks import PAGE
from repu_lab.figures.slopes import slopes_and_accuracies
from repu_lab.theory import Initialization, analyse, layers, pair_mean

HIGH, LOW, WIDE = Interval(0.9, 0.8, 1.0), Interval(0.1, 0.0, 0.2), Interval(0.6, 0.4, 0.9)
NEAR, BEHIND, UNSURE = Interval(-0.01, -0.03, 0.01), Interval(-0.2, -0.3, -0.1), Interval(-0.04, -0.07, 0.0)
CASES = {
    "trains as tanh does": (([HIGH, HIGH], [NEAR, NEAR], [8.0]), Verdict.SUPPORTED),
    "does not train deeper": (([HIGH, LOW], [NEAR, NEAR], [8.0]), Verdict.REFUTED),
    "is less accurate": (([HIGH, HIGH], [NEAR, BEHIND], [8.0]), Verdict.REFUTED),
    "is no polynomial": (([HIGH, HIGH], [NEAR, NEAR], [8.0, 1e6]), Verdict.REFUTED),
    "a share that is not clear": (([HIGH, WIDE], [NEAR, NEAR], [8.0]), Verdict.INCONCLUSIVE),
    "an accuracy that is not clear": (([HIGH, HIGH], [NEAR, UNSURE], [8.0]), Verdict.INCONCLUSIVE),
}
SKEW = SplineRePU(3, shift=0.4411)


def test_a_passage_is_that_of_the_kernel():
    """Against the recursion by composite quadrature, and ReLU's nonlinearity 1 - (1/4)/(1/2 - 1/(2 pi)) a layer."""
    kernel = layers(Tanh(), 1.0, 0.0, 1.0, 20)
    passed = passage(Tanh(), Initialization(1.0, 0.0, 1.0, ""), 20)
    assert (passed.K, passed.gradient) == pytest.approx((kernel.K[-1], np.prod(kernel.chi_perp[:-1])), rel=1e-6)
    relu = critical_passage(ReLU(), 10)
    assert (relu.K, relu.gradient, relu.angle) == pytest.approx((1.0, 1.0, 1.0), rel=1e-3)
    assert relu.nonlinearity == pytest.approx(10 * (1 - 0.25 / (0.5 - 0.5 / math.pi)), rel=1e-3)


@pytest.mark.parametrize("activation", [SplineRePU(2), SKEW, SplineRePU(3, shift=0.3)], ids=str)
def test_gradients_and_angles_follow_their_powers_of_the_depth(activation):
    """(1/K)^gamma and (1/K)^(gamma+1), gamma = b_1/|a_1|, as K falls like 1/(|a_1| l); corrections are of order K."""
    criticality = analyse(activation)
    assert criticality.a_1 is not None and criticality.b_1 is not None and criticality.a_1 < 0
    gamma = criticality.b_1 / abs(criticality.a_1)
    passed = passage(activation, Initialization(1.0, 0.0, 1e-4 / abs(criticality.a_1), ""), 10)
    assert math.log(passed.gradient) / math.log(1 / passed.K) == pytest.approx(gamma, abs=0.02)
    assert math.log(passed.angle) / math.log(1 / passed.K) == pytest.approx(gamma + 1, abs=0.02)


@pytest.mark.parametrize("c", [0.0, 0.3, 0.5, 0.9])
def test_skewness_turns_every_pair_towards_60_degrees(c):
    """c' - c = K (r^2/4)(1 - c)(1 - 2c) with r = s''(0), to the next order in K."""
    K, r = 1e-5, float(SKEW.second_derivative(torch.zeros(1, dtype=torch.float64)))
    same, _ = pair_mean(SKEW, K, K, K)
    value, _ = pair_mean(SKEW, K, K, c * K)
    assert float(value / same) - c == pytest.approx(K * r**2 / 4 * (1 - c) * (1 - 2 * c), abs=20 * K**1.5)


class Scaled(Activation):
    """alpha s(z / alpha) of tanh."""

    def forward(self, z):
        return 3 * torch.tanh(z / 3)

    def derivative(self, z):
        return 1 - torch.tanh(z / 3) ** 2


def test_affordable_nonlinearity_knows_no_scale_and_ranks_the_kinds():
    passed = affordable(Tanh(), 20)
    assert passed.kept and min(passed.K, passed.gradient) == pytest.approx(0.5, rel=0.02)
    assert affordable(Scaled(), 20).nonlinearity == pytest.approx(passed.nonlinearity, rel=0.02)
    odd, wide, skew = (affordable(s, 20).nonlinearity for s in (SplineRePU(2), SplineRePU(2, plateau=4), SKEW))
    assert skew > 10 * wide > 50 * odd


@pytest.mark.parametrize(
    ("odd", "wide", "verdict"),
    [(0.93, 0.95, Verdict.SUPPORTED), (0.85, 0.95, Verdict.REFUTED), (0.5, 0.95, Verdict.REFUTED)],
)
def test_the_claim_judges_the_spline_that_validation_picks(odd, wide, verdict):
    """At depth 20 the wide one, whose test accuracy is the odd one's; at depth 30 the odd one is the only spline."""

    def member(keys, _):
        kind = "wide" if keys.get("activation.plateau") == "4" else keys["activation"]
        good = {"identity": 0.3, "wide": wide, "spline_repu": odd}.get(kind, 0.94)
        seen = odd if kind == "wide" else good
        return {
            "outcome": "learning", "metric": seen, "validation_metric": good, "measures": {"relative_l2": 1 - good}
        }  # fmt: skip

    evidence = spline.examine(MadeUp(member))
    assert evidence.verdict is verdict
    reason = prose(evidence.reason)
    assert "depth 20: the best on the validation split is the wide spline" in reason and "of 5 tests)" in reason
    assert "depth 30: the best on the validation split is the spline RePU 2" in reason
    assert reason.count("more than tanh") == 2 and reason.count("more than spline RePU 2") == 1
    table = evidence.tables[0]
    rows = {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["spline RePU 2"]["accuracy"] == odd
    wide, tanh = rows["wide spline"]["gradient"], rows["tanh"]["gradient"]
    assert isinstance(wide, float) and isinstance(tanh, float) and wide > 10 * tanh
    assert rows["spline RePU 2"]["a_1"] == pytest.approx(-8 / 3)


def test_the_figure_is_drawn_for_a_page_and_says_what_its_axes_are(tmp_path):
    names = ("tanh", *spline.PICKED)
    z = np.linspace(-4, 4, 161)
    figure = slopes_and_accuracies(
        z,
        {name: np.exp(-z * z) for name in names},
        {name: {1: 1.0, 10: 0.5, 100: 0.1} for name in names},
        {name: np.array([0.9, 0.95]) for name in (*names, "ReLU", "identity")},
        {name: (0.92, 0.9, 0.95) for name in (*names, "ReLU", "identity")},
    )
    width, height = figure.get_size_inches()
    assert width == PAGE and height < 5
    assert [axes.get_xlabel() for axes in figure.axes] == ["$z$", "depth", "accuracy"]
    figure.savefig(tmp_path / "x.svg")
