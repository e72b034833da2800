"""Every row of the reference table (513 numbers from independent code) that the theory computes."""

import json
from pathlib import Path

import numpy as np
import pytest
from reference_coverage import COVERAGE
from references_finite_width import REFERENCES as FINITE_WIDTH
from references_finite_width import TOLERANCES as FINITE_WIDTH_TOLERANCES
from references_gaussian import EXCLUDED, REFERENCES, TOLERANCES

ROWS = json.loads((Path(__file__).parent / "reference_values.json").read_text())["values"]
FUNCTIONS = {**REFERENCES, **FINITE_WIDTH}
LIMITS = {**TOLERANCES, **FINITE_WIDTH_TOLERANCES}
PRECISION = 1e-11
LEAST_COVERED = 430


def error_of(row) -> float:
    """Relative error; absolute where the value is 0; exact comparison (0 or inf) for layers counted in integers."""
    value, expected = float(FUNCTIONS[row["quantity"]](row)), row["value"]
    if row["quantity"].startswith("first layer"):
        return 0.0 if value == expected else np.inf
    return abs(value - expected) / (abs(expected) or 1.0)


@pytest.mark.parametrize("quantity", sorted({row["quantity"] for row in ROWS} & FUNCTIONS.keys()))
def test_quantity_agrees_with_its_rows(quantity, request):
    rows = [row for row in ROWS if row["quantity"] == quantity]
    limit, _ = LIMITS.get(quantity, (PRECISION, ""))
    errors = [error_of(row) for row in rows]
    request.config.stash.setdefault(COVERAGE, {})[quantity] = (len(rows), max(errors), limit)
    wrong = [
        f"{row['activation']} p={row['p']} {row['args']}: expected {row['value']}, relative error {error:.2g}"
        for row, error in zip(rows, errors, strict=True)
        if not error <= limit
    ]
    assert not wrong, "\n".join([f"{quantity}, limit {limit:g}:", *wrong])


def test_every_row_is_covered_or_excluded_with_a_reason():
    quantities = {row["quantity"] for row in ROWS}
    assert quantities == FUNCTIONS.keys() & quantities | EXCLUDED.keys()
    assert not FUNCTIONS.keys() & EXCLUDED.keys()
    assert not (FUNCTIONS.keys() | EXCLUDED.keys()) - quantities


def test_enough_rows_are_covered():
    assert sum(row["quantity"] in FUNCTIONS for row in ROWS) >= LEAST_COVERED
