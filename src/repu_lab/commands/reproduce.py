"""`repu-lab reproduce`: judge the claims of the paper, and write the page of all that were judged."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repu_lab.configs.command import EXIT_FAILED, JobCommand, JobResult, lazy
from repu_lab.configs.schema import ReproduceConfig

if TYPE_CHECKING:
    from repu_lab.runs.folder import RunFolder


def work(config: ReproduceConfig, claims: Any, folder: "RunFolder") -> JobResult:
    """Judge the claims that have not been judged."""
    from repu_lab.claims.command import judge_all

    return {"failed": judge_all(claims, config, folder)}


def page(folder: Path) -> str:
    """Write the page of all claims that were judged in the folder."""
    from repu_lab.report.command import write_report

    return f"report:   {write_report(folder)}"


COMMAND = JobCommand(
    name="reproduce",
    purpose="judge the claims of the paper, one after another",
    config=ReproduceConfig,
    examples=("repu-lab reproduce scale=smoke", "repu-lab reproduce claim=signal", "repu-lab reproduce claim=6,7"),
    prepare=lazy("repu_lab.claims.command:prepare"),
    work=work,
    result=None,
    ending=lambda config, result: (EXIT_FAILED if result["failed"] else 0, ""),
    after=page,
    folder=lambda config: f"reproduce-{config.scale}",
)
