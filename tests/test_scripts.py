"""What scripts find in folders: the claims that a GPU's check compares, the tests that a mutation is tried on."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from repu_lab.claims import CLAIMS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def scripts(monkeypatch) -> Any:
    """Return what imports a script; some import each other."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


def test_the_check_of_a_gpu_finds_what_a_reproduction_has_judged(tmp_path, scripts):
    for claim in CLAIMS[:2]:
        home = tmp_path / claim.folder
        home.mkdir(parents=True)
        (home / "claim.json").write_text(json.dumps({"number": claim.number, "verdict": "supported", "seconds": 1.04}))
    judged = dict(scripts("check_gpu").judged(tmp_path))
    assert judged == {number: {"verdict": "supported", "seconds": 1.0} for number in "12"}


def test_a_mutation_is_tried_on_the_tests_of_its_room(scripts):
    """Those that name its module first, also of a room within a room."""
    beside = scripts("mutate").tests_beside
    ratio = beside(ROOT / "src/repu_lab/claims/signal/ratio.py")
    assert "repu_lab.claims.signal" in (ROOT / ratio[0]).read_text(encoding="utf-8")
    assert sorted(ratio) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/claims").glob("test_*.py"))
    assert beside(ROOT / "src/repu_lab/report/charts.py")[0] == "tests/report/test_charts.py"
