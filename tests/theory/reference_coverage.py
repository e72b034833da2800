"""Where the test of the reference values leaves its results for the summary that conftest prints."""

import pytest

# quantity -> (rows, worst relative error, limit)
COVERAGE = pytest.StashKey[dict[str, tuple[int, float, float]]]()
