"""Every claim's rule is a pure function of numbers: made-up ones reach each verdict."""

import math

import pytest

from repu_lab.claims.approximation import exact
from repu_lab.claims.cures import normalization, skips
from repu_lab.claims.signal import fates, growth, keeping, susceptibilities
from repu_lab.claims.statistics import Interval
from repu_lab.claims.training import depth, failure
from repu_lab.claims.verdicts import Verdict

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


CASES = {
    "1: lines of slope ln p": (YES, lambda: growth.judge(LINES)),
    "1: an ordinary exponential": (NO, lambda: growth.judge([*LINES[:3], around(0.05, 0.02)])),
    "1: too wide": (UNKNOWN, lambda: growth.judge([*LINES[:3], around(math.log(3), 0.2)])),
    "2: nothing kept": (YES, lambda: fates.judge({"p": True}, {"p": LOW}, SEEN)),
    "2: something kept": (NO, lambda: fates.judge({"p": True}, {"p": HIGH}, SEEN)),
    "2: a critical point in theory": (NO, lambda: fates.judge({"p": False}, {"p": LOW}, SEEN)),
    "2: not clear": (UNKNOWN, lambda: fates.judge({"p": True}, {"p": WIDE}, SEEN)),
    "2: nothing is ever seen": (UNKNOWN, lambda: fates.judge({"p": True}, {"p": LOW}, SEEN | {"tanh": LOW})),
    "3: the ratio": (YES, lambda: susceptibilities.judge_ratio([around(1.5, 0.05)], [1.5])),
    "3: another ratio": (NO, lambda: susceptibilities.judge_ratio([around(1.2, 0.05)], [1.5])),
    "3: too wide": (UNKNOWN, lambda: susceptibilities.judge_ratio([around(1.5, 0.3)], [1.5])),
    "4: they meet, and part": (
        YES,
        lambda: susceptibilities.judge_meeting([around(1, 1e-3)], [around(1.2, 0.1)], True),
    ),
    "4: they do not meet": (NO, lambda: susceptibilities.judge_meeting([around(1.1, 1e-3)], [around(1.2, 0.1)], True)),
    "4: they do not part": (NO, lambda: susceptibilities.judge_meeting([around(1, 1e-3)], [around(0.8, 0.1)], True)),
    "4: there is another": (NO, lambda: susceptibilities.judge_meeting([around(1, 1e-3)], [around(1.2, 0.1)], False)),
    "4: too wide": (UNKNOWN, lambda: susceptibilities.judge_meeting([around(1, 0.1)], [around(1.2, 0.1)], True)),
    "5: most are kept": (YES, lambda: keeping.judge({1: HIGH, 2: LOW}, [LOW], HIGH)),
    "5: few are kept": (NO, lambda: keeping.judge({1: LOW, 2: LOW}, [LOW], HIGH)),
    "5: not clear": (UNKNOWN, lambda: keeping.judge({1: WIDE, 2: LOW}, [LOW], HIGH)),
    "5: ReLU is not kept either": (UNKNOWN, lambda: keeping.judge({1: LOW, 2: LOW}, [LOW], LOW)),
    "6: none is deep": (YES, lambda: depth.judge_repu([HIGH, HIGH], [LOW, LOW])),
    "6: deep ones train": (NO, lambda: depth.judge_repu([HIGH, HIGH], [HIGH, LOW])),
    "6: not even shallow ones do": (NO, lambda: depth.judge_repu([LOW, HIGH], [LOW, LOW])),
    "6: not clear": (UNKNOWN, lambda: depth.judge_repu([HIGH, WIDE], [LOW, LOW])),
    "7: MRePU trains there": (YES, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=HIGH), [2, 10])),
    "7: MRePU fails there too": (NO, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=LOW), [2, 10])),
    "7: not clear": (UNKNOWN, lambda: depth.judge_mrepu(by_depth(repu=LOW, mrepu=WIDE), [2, 10])),
    "7: RePU does not fail": (UNKNOWN, lambda: depth.judge_mrepu(by_depth(repu=HIGH, mrepu=HIGH), [2, 10])),
    "8: forward": (YES, lambda: failure.judge(HIGH)),
    "8: not forward": (NO, lambda: failure.judge(LOW)),
    "8: not clear": (UNKNOWN, lambda: failure.judge(WIDE)),
    "9: rounding": (YES, lambda: exact.judge([0.0, 5.5])),
    "9: an approximation": (NO, lambda: exact.judge([0.5, 1e6])),
    "16: it grows and none trains": (
        YES,
        lambda: normalization.judge_norms([(around(4 / 3, 0.03), 4 / 3)], [LOW, LOW]),
    ),
    "16: it does not grow": (NO, lambda: normalization.judge_norms([(around(1, 0.03), 4 / 3)], [LOW, LOW])),
    "16: they train": (NO, lambda: normalization.judge_norms([(around(4 / 3, 0.03), 4 / 3)], [LOW, HIGH])),
    "16: not clear": (UNKNOWN, lambda: normalization.judge_norms([(around(4 / 3, 0.03), 4 / 3)], [LOW, WIDE])),
    "17: all count": (YES, lambda: skips.judge_skips([HIGH, HIGH], [0.01, -0.02])),
    "17: in one block few do": (NO, lambda: skips.judge_skips([HIGH, LOW], [0.01, 0.0])),
    "17: not clear": (UNKNOWN, lambda: skips.judge_skips([HIGH, WIDE], [0.01, 0.0])),
    "17: ReLU is ahead": (UNKNOWN, lambda: skips.judge_skips([HIGH, HIGH], [0.01, 0.06])),
    "9: more than rounding": (UNKNOWN, lambda: exact.judge([0.5, 100.0])),
}


@pytest.mark.parametrize("case", CASES)
def test_rule(case):
    verdict, judge = CASES[case]
    assert judge() is verdict


def test_every_claim_has_a_case_for_each_verdict():
    for number in {case.partition(":")[0] for case in CASES}:
        assert {verdict for case, (verdict, _) in CASES.items() if case.startswith(f"{number}:")} == {YES, NO, UNKNOWN}
