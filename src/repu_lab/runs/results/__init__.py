"""The results of all runs below a folder, as rows: `rows(scan("outputs"), by="config")`. Nothing here needs torch."""

from repu_lab.configs.files import Damaged
from repu_lab.runs.results.rows import Row, by_config, rows
from repu_lab.runs.results.scanning import Member, Run, scan
from repu_lab.runs.results.summary import Summary, summarise, wilson

__all__ = ["Damaged", "Member", "Row", "Run", "Summary", "by_config", "rows", "scan", "summarise", "wilson"]
