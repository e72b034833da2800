"""`repu-lab reproduce`, down to its page: the claims are judged by repu_lab.claims, which knows no page."""

from pathlib import Path

from repu_lab.claims import command
from repu_lab.claims.command import prepare
from repu_lab.configs.schema import ReproduceConfig
from repu_lab.report.command import write_report
from repu_lab.runs.folder import RunFolder

__all__ = ["prepare", "reproduce"]


def reproduce(config: ReproduceConfig, path: Path) -> int:
    """Judge the chosen claims in the folder and write the page of all that were judged there; the exit code of that."""
    code = command.reproduce(config, path)
    RunFolder(path).log(f"report:   {write_report(path)}")
    return code
