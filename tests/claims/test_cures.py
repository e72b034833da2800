"""The claim on skips on made-up runs: level with ReLU or behind it, above a linear network or not."""

from typing import Any

import pytest
from made_up_lab import Keys, MadeUp

from repu_lab.claims.cures import skips
from repu_lab.claims.trials import TUNING_SEED
from repu_lab.claims.verdicts import Verdict


@pytest.mark.parametrize(
    ("repu", "identity", "verdict"),
    [(0.86, 0.22, Verdict.SUPPORTED), (0.80, 0.22, Verdict.INCONCLUSIVE), (0.86, 0.80, Verdict.REFUTED)],
)
def test_the_claim_on_skips_from_networks_to_the_verdict(repu, identity, verdict):
    """Level with ReLU; 6 points behind it; no better than a linear network."""

    def member(keys: Keys, _: int) -> dict[str, Any]:
        value = {"repu": repu, "identity": identity}.get(str(keys["activation"]), 0.87)
        return {"outcome": "learning", "metric": value, "validation_metric": value}

    lab = MadeUp(member)
    evidence = skips.examine(lab)
    assert evidence.verdict is verdict
    rows = {tuple(row[:3]): row for row in evidence.tables[0].rows}
    assert len(rows) == 3 * 4 + 3 * 2
    assert rows["XOR, ReZero", 12, "RePU 2"][8:] == [repu] * 3
    assert rows["XOR, ReZero", 12, "RePU 2"][5] == (repu >= identity + 0.1)
    assert f"{identity:.2f}" in evidence.reason and evidence.pictures[0].alt.count(f"{repu:.2f}") == 6
    tuning = [keys for keys in lab.asked if keys["seed"] == str(TUNING_SEED)]
    assert {keys["data_seed"] for keys in tuning} == {str(TUNING_SEED)}  # settings are chosen on another division
