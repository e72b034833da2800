"""The results of all runs below a folder, as rows: `rows(scan("outputs"), by="config")`. Nothing here needs torch."""

from repu_lab.catalogue.rows import Row, by_config, rows
from repu_lab.catalogue.scanning import Member, Run, scan
from repu_lab.catalogue.summary import Summary, summarise, wilson
from repu_lab.configs.files import Damaged

__all__ = ["Damaged", "Member", "Row", "Run", "Summary", "by_config", "rows", "scan", "summarise", "wilson"]
