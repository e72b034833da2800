"""The recipe for a claim, followed: it is found by `reproduce`, trains, is judged, and its page shows it."""

import json
from pathlib import Path

import made_up_claim
import pytest

from repu_lab import claims
from repu_lab.claims.lab import Lab
from repu_lab.claims.statistics import Interval
from repu_lab.claims.verdicts import Verdict
from repu_lab.cli import main


def test_a_listed_claim_is_found_trained_judged_and_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claims, "CLAIMS", (*claims.CLAIMS, made_up_claim.CLAIM))
    monkeypatch.setattr(Lab, "_workers", lambda _: 1)
    assert main(["reproduce", "claim=made-up", "scale=smoke", "threads=1"]) == 0
    home = Path("outputs/reproduce-smoke")
    finding = json.loads((home / "claims/99-made-up/claim.json").read_text())
    assert (finding["verdict"], finding["rule"]) == ("supported", made_up_claim.CLAIM.rule)
    rows = {row[2]: row for row in finding["tables"][0]["rows"]}
    assert rows["tanh"][3:5] == ["critical", "1e-2"]  # which learns more than 1e-4 in so few steps
    assert rows["tanh"][8] > 0.6 > 0.4 > rows["identity"][8]
    assert len(finding["runs"]) == 2 * 2 + 2 and len(finding["commands"]) == 1 + len(finding["runs"])
    assert "Networks of tanh learn XOR" in (home / "report.html").read_text()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.2, 0.4, Verdict.SUPPORTED), (0.0, 0.05, Verdict.REFUTED), (0.0, 0.4, Verdict.INCONCLUSIVE)],
)
def test_its_rule_reaches_every_verdict(low, high, verdict):
    assert made_up_claim.judge(Interval(0.1, low, high)) is verdict
