"""`repu-lab reproduce`: judge the claims of the paper and past it, and write the page of all that were judged."""

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
    """Write the page of all claims that were judged in the folder; after few networks, say what judges them."""
    from repu_lab.claims import CLAIMS, select
    from repu_lab.report.command import write_report
    from repu_lab.report.reproduction import find_claims
    from repu_lab.runs.folder import RunFolder
    from repu_lab.runs.words import duration

    line = f"report:   {write_report(folder)}: open it in a browser"
    if (RunFolder(folder).manifest() or {}).get("scale") == "full":
        return line
    judged = {finding.text("number") for finding in find_claims(folder)}
    claims = [claim for claim in CLAIMS if str(claim.number) in judged]
    if len(claims) in (0, len(CLAIMS)):
        claims = select("signal")
    typed = f"repu-lab reproduce claim={','.join(str(claim.number) for claim in claims)}"
    seconds = sum(claim.cost["full"] for claim in claims)
    return f"{line}\nnext:     so few networks decide nothing; many, in some {duration(seconds)}: {typed}"


COMMAND = JobCommand(
    name="reproduce",
    purpose="judge the claims of the paper and past it, one after another",
    config=ReproduceConfig,
    examples=("repu-lab reproduce scale=smoke", "repu-lab reproduce claim=signal", "repu-lab reproduce claim=6,7"),
    prepare=lazy("repu_lab.claims.command:prepare"),
    work=work,
    result=None,
    ending=lambda config, result: (EXIT_FAILED if result["failed"] else 0, ""),
    after=page,
    folder=lambda config: f"reproduce-{config.scale}",
)
