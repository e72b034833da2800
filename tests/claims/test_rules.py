"""Every claim's rule is a pure function of numbers: made-up ones reach each verdict."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from test_beyond_safe import RULES as SAFE
from test_beyond_spline import CASES as SPLINE

from repu_lab.claims import CLAIMS
from repu_lab.claims.approximation import exact, learning
from repu_lab.claims.beyond import safe, spline
from repu_lab.claims.comparing import champion, decades
from repu_lab.claims.cures import layernorm, normalization, skips, tailored, turned
from repu_lab.claims.physics import burgers
from repu_lab.claims.signal import fates, growth, keeping, meeting, ratio
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training import depth, failure
from repu_lab.claims.verdicts import Verdict
from repu_lab.claims.vision import images

YES, NO, UNKNOWN = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


HIGH, LOW, WIDE = around(0.9, 0.05), around(0.05, 0.05), around(0.5, 0.3)
SEEN = {"ReLU": HIGH, "tanh": HIGH}
LINES = [around(math.log(p), 0.01) for p in (2, 2, 3, 3)]


def by_depth(repu: Interval, mrepu: Interval) -> dict[tuple[str, int], Interval]:
    """Shares trained: all at depth 2, these at depth 10."""
    names = {**dict.fromkeys(depth.REPU, repu), **dict.fromkeys(depth.MREPU, mrepu)}
    return {(name, at): HIGH if at == 2 else share for name, share in names.items() for at in (2, 10)}


def shallow_and_deep(shallow: list[Interval], deep: list[Interval]) -> dict[tuple[str, int], Interval]:
    """Shares of each power at depth 2 and 20; at depth 10 nothing is asked, and of a linear network neither."""
    shares = {(name, at): WIDE for name in (*depth.REPU, "identity") for at in (2, 10, 20)}
    for i, name in enumerate(depth.REPU):
        shares |= {(name, 2): shallow[i], (name, 20): deep[i]}
    return shares


def errors(scale: float, scatter: float = 0.0) -> dict[str, Any]:
    """Errors of 20 seeds in one case, those of MRePU so many times as large as the others', up to a scatter."""
    level = np.linspace(0.01, 0.02, 20)[None]
    own = level * scale * np.exp(scatter * np.resize([1.0, -1.0], 20))
    names = {*learning.NAMES, *burgers.NAMES, *images.NAMES}
    return {name: own if name.startswith("MRePU") else level for name in names}


def in_both(l2: Mapping[str, Any], h1: Mapping[str, Any]) -> Verdict:
    against = {kind: decades(each, learning.MREPU, learning.RIVALS) for kind, each in (("L2", l2), ("H1", h1))}
    return champion(learning.in_both(against))


def ranked(errors_by_name: Mapping[str, Any], best: float = 0.01) -> Verdict:
    flat = {name: sample[0] for name, sample in errors_by_name.items()}
    return burgers.judge(decades(flat, burgers.MREPU, burgers.RIVALS), best)


def beside_linear(errors_by_name: Mapping[str, Any], behind: float) -> Verdict:
    """Claim 13 with the identity misclassifying so much more than the usual activations."""
    return images.judge({**errors_by_name, "identity": errors_by_name["ReLU"] + behind})


NARROWS = {"tanh": 30.0, "spline": 3.0, "ReLU": 1.2}


def gains(tanh: float, spline: float, relu: float, seeds: int = 12) -> dict[str, Any]:
    """Decades by which the errors of each fall, for every seed much the same."""
    scatter = np.linspace(-0.02, 0.02, seeds)
    return {"tanh": tanh + scatter, "spline": spline + scatter, "ReLU": relu - scatter}


BETTER, WORSE, EQUAL = errors(0.1), errors(10), errors(1, scatter=0.5)
CASES = {
    "1: lines of slope ln p": (YES, lambda: growth.judge(LINES)),
    "1: an ordinary exponential": (NO, lambda: growth.judge([*LINES[:3], around(0.05, 0.02)])),
    "1: too wide": (UNKNOWN, lambda: growth.judge([*LINES[:3], around(math.log(3), 0.2)])),
    "2: nothing kept": (YES, lambda: fates.judge({"p": True}, {"p": LOW}, SEEN)),
    "2: something kept": (NO, lambda: fates.judge({"p": True}, {"p": HIGH}, SEEN)),
    "2: a critical point in theory": (NO, lambda: fates.judge({"p": False}, {"p": LOW}, SEEN)),
    "2: not clear": (UNKNOWN, lambda: fates.judge({"p": True}, {"p": WIDE}, SEEN)),
    "2: nothing is ever seen": (UNKNOWN, lambda: fates.judge({"p": True}, {"p": LOW}, SEEN | {"tanh": LOW})),
    "3: the ratio": (YES, lambda: ratio.judge([(around(1.5, 0.05), 1.5)])),
    "3: another ratio": (NO, lambda: ratio.judge([(around(1.2, 0.05), 1.5)])),
    "3: too wide": (UNKNOWN, lambda: ratio.judge([(around(1.5, 0.3), 1.5)])),
    "4: they meet, and part": (
        YES,
        lambda: meeting.judge([around(1, 1e-3)], [around(1.2, 0.1)], True),
    ),
    "4: they do not meet": (NO, lambda: meeting.judge([around(1.1, 1e-3)], [around(1.2, 0.1)], True)),
    "4: they do not part": (NO, lambda: meeting.judge([around(1, 1e-3)], [around(0.8, 0.1)], True)),
    "4: there is another": (NO, lambda: meeting.judge([around(1, 1e-3)], [around(1.2, 0.1)], False)),
    "4: too wide": (UNKNOWN, lambda: meeting.judge([around(1, 0.1)], [around(1.2, 0.1)], True)),
    "5: most are kept": (YES, lambda: keeping.judge([HIGH, LOW], [LOW], HIGH)),
    "5: few are kept": (NO, lambda: keeping.judge([LOW, LOW], [LOW], HIGH)),
    "5: not clear": (UNKNOWN, lambda: keeping.judge([WIDE, LOW], [LOW], HIGH)),
    "5: ReLU is not kept either": (UNKNOWN, lambda: keeping.judge([LOW, LOW], [LOW], LOW)),
    "6: none is deep": (YES, lambda: depth.judge_repu(shallow_and_deep([HIGH, HIGH], [LOW, LOW]))),
    "6: deep ones train": (NO, lambda: depth.judge_repu(shallow_and_deep([HIGH, HIGH], [HIGH, LOW]))),
    "6: not even shallow ones do": (NO, lambda: depth.judge_repu(shallow_and_deep([LOW, HIGH], [LOW, LOW]))),
    "6: not clear": (UNKNOWN, lambda: depth.judge_repu(shallow_and_deep([HIGH, WIDE], [LOW, LOW]))),
    "7: MRePU trains there": (YES, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=HIGH))),
    "7: MRePU fails there too": (NO, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=LOW))),
    "7: not clear": (UNKNOWN, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=WIDE))),
    "7: RePU does not fail": (UNKNOWN, lambda: depth.judge_mrepu(by_depth(repu=HIGH, mrepu=HIGH))),
    "8: forward": (YES, lambda: failure.judge(HIGH)),
    "8: not forward": (NO, lambda: failure.judge(LOW)),
    "8: not clear": (UNKNOWN, lambda: failure.judge(WIDE)),
    "9: rounding": (YES, lambda: exact.judge([0.0, 5.5])),
    "9: an approximation": (NO, lambda: exact.judge([0.5, 1e6])),
    "9: more than rounding": (UNKNOWN, lambda: exact.judge([0.5, 100.0])),
    "10: smaller errors": (YES, lambda: champion(decades(BETTER, learning.MREPU, learning.RIVALS))),
    "10: larger ones": (NO, lambda: champion(decades(WORSE, learning.MREPU, learning.RIVALS))),
    "10: not clear": (UNKNOWN, lambda: champion(decades(EQUAL, learning.MREPU, learning.RIVALS))),
    "11: smaller in both": (YES, lambda: in_both(BETTER, BETTER)),
    "11: larger in one": (NO, lambda: in_both(BETTER, WORSE)),
    "11: not clear in one": (UNKNOWN, lambda: in_both(BETTER, EQUAL)),
    "12: the smallest error": (YES, lambda: ranked(BETTER)),
    "12: larger ones": (NO, lambda: ranked(WORSE)),
    "12: not clear": (UNKNOWN, lambda: ranked(EQUAL)),
    "12: nobody finds the shock": (UNKNOWN, lambda: ranked(BETTER, best=burgers.SHOCKLESS / 2)),
    "13: more accurate": (YES, lambda: beside_linear(BETTER, 0.1)),
    "13: less accurate": (NO, lambda: beside_linear(WORSE, 0.1)),
    "13: not clear": (UNKNOWN, lambda: beside_linear(errors(1, scatter=3), 0.1)),
    "13: a linear network is as accurate": (UNKNOWN, lambda: beside_linear(BETTER, images.MARGIN / 2)),
    **{f"14: {name}": (verdict, lambda given=given: spline.judge(*given)) for name, (given, verdict) in SPLINE.items()},
    **{f"15: {name}": (verdict, lambda given=given: safe.judge(given)) for name, (verdict, given) in SAFE.items()},
    "16: it grows and none trains": (
        YES,
        lambda: normalization.judge([(around(4 / 3, 0.03), 4 / 3)], [LOW, LOW], [HIGH]),
    ),
    "16: it does not grow": (NO, lambda: normalization.judge([(around(1, 0.03), 4 / 3)], [LOW, LOW], [HIGH])),
    "16: they train": (NO, lambda: normalization.judge([(around(4 / 3, 0.03), 4 / 3)], [LOW, HIGH], [HIGH])),
    "16: not clear": (UNKNOWN, lambda: normalization.judge([(around(4 / 3, 0.03), 4 / 3)], [LOW, WIDE], [HIGH])),
    "16: the identity learns no digits either": (
        UNKNOWN,
        lambda: normalization.judge([(around(4 / 3, 0.03), 4 / 3)], [LOW, LOW], [HIGH, WIDE]),
    ),
    "17: all count": (YES, lambda: skips.judge([HIGH, HIGH], [around(0.01, 0.02), around(-0.02, 0.05)])),
    "17: in one block few do": (NO, lambda: skips.judge([HIGH, LOW], [around(0.01, 0.02)])),
    "17: not clear": (UNKNOWN, lambda: skips.judge([HIGH, WIDE], [around(0.01, 0.02)])),
    "17: ReLU may be ahead": (UNKNOWN, lambda: skips.judge([HIGH, HIGH], [around(0.046, 0.016)])),
    "17: ReLU is ahead": (NO, lambda: skips.judge([HIGH, HIGH], [around(0.046, 0.016), around(0.07, 0.01)])),
    "18: the shift is what it takes": (YES, lambda: layernorm.judge(around(1.03, 0.01), HIGH, LOW)),
    "18: no shift is needed": (NO, lambda: layernorm.judge(around(1.03, 0.01), HIGH, HIGH)),
    "18: it does not learn": (NO, lambda: layernorm.judge(around(1.03, 0.01), LOW, LOW)),
    "18: another factor": (NO, lambda: layernorm.judge(around(4 / 3, 0.01), HIGH, LOW)),
    "18: not clear": (UNKNOWN, lambda: layernorm.judge(around(1.03, 0.03), HIGH, LOW)),
    "19: the maps are what it takes": (YES, lambda: tailored.judge(HIGH, LOW, HIGH)),
    "19: none are needed": (NO, lambda: tailored.judge(HIGH, HIGH, HIGH)),
    "19: it does not learn": (NO, lambda: tailored.judge(LOW, LOW, HIGH)),
    "19: the signal goes away": (NO, lambda: tailored.judge(HIGH, LOW, LOW)),
    "19: not clear": (UNKNOWN, lambda: tailored.judge(WIDE, LOW, HIGH)),
    "20: whom theory promises help": (YES, lambda: turned.judge(NARROWS, gains(0.3, 0.4, 0.05))),
    "20: not one of them": (NO, lambda: turned.judge(NARROWS, gains(0.3, -0.4, 0.05))),
    "20: another gains more": (NO, lambda: turned.judge(NARROWS, gains(0.3, 0.4, 0.9))),
    "20: another gains as much": (UNKNOWN, lambda: turned.judge(NARROWS, gains(0.3, 0.4, 0.3))),
    "20: too few seeds": (UNKNOWN, lambda: turned.judge(NARROWS, gains(0.3, 0.4, 0.05, seeds=5))),
}


@pytest.mark.parametrize("case", CASES)
def test_rule(case):
    verdict, judge = CASES[case]
    assert judge() is verdict


def test_every_claim_has_a_case_for_each_verdict():
    reached: dict[str, set[Verdict]] = {}
    for case, (verdict, _) in CASES.items():
        reached.setdefault(case.partition(":")[0], set()).add(verdict)
    assert reached == {str(claim.number): {YES, NO, UNKNOWN} for claim in CLAIMS}
