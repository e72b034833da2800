"""Prints, after the tests, how much of the table of reference values they covered."""

from reference_coverage import COVERAGE

TOTAL = 513


def pytest_terminal_summary(terminalreporter, config):
    coverage = config.stash.get(COVERAGE, None)
    if not coverage:
        return
    terminalreporter.section("reference values")
    terminalreporter.line(f"{'quantity':70} {'rows':>5} {'worst error':>12} {'limit':>8}")
    for quantity, (rows, worst, limit) in sorted(coverage.items()):
        terminalreporter.line(f"{quantity[:70]:70} {rows:5} {worst:12.1e} {limit:8.0e}")
    covered = sum(rows for rows, worst, limit in coverage.values() if worst <= limit)
    terminalreporter.line(f"{covered} of {TOTAL} reference values covered")
