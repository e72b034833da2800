"""One self-contained HTML page of a run, a sweep or a reproduction: `write_report(Path("outputs/sweeps/first"))`."""

from repu_lab.report.command import page_of, write_report

__all__ = ["page_of", "write_report"]
