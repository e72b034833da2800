"""Take a finished reproduction into the repository: scripts/publish_results.py FOLDER [--page report.html].

Writes docs/results/PAGE, docs/results/NN-claim.json (statement, rule, verdict, numbers and tables of each claim), and
in the README the table of verdicts, the claims that wait, and the picture of K by layer. Claims that this reproduction
did not judge keep what was published of them, so that a family of claims can be run and shown on a page of its own.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repu_lab.claims import CLAIMS
from repu_lab.claims.base import prose
from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.report.command import write_report
from repu_lab.runs.reading import Contents

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
KEPT = (
    "number", "family", "title", "statement", "reference", "setup", "rule", "verdict", "reason", "seeds", "scale",
    "numbers", "tables", "seconds", "versions",
)  # fmt: skip
STORY = ("claims/01-double-exponential/story.png", "docs/pictures/story.png")
WAITING = re.compile(r"^Not yet run at full scale: .*$", re.MULTILINE)
MARKS = ("<!-- verdicts: scripts/publish_results.py -->", "<!-- end of verdicts -->")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reproduction", type=Path)
    parser.add_argument("--page", default="report.html")
    arguments = parser.parse_args()
    folder = arguments.reproduction
    claims = sorted(folder.glob("claims/*/claim.json"))
    if not claims:
        parser.error(f"{folder} holds no judged claim; `repu-lab reproduce` makes one")
    try:
        findings = [Contents(path.parent).json(path.name) for path in claims]
    except Damaged as damage:
        parser.error(f"{folder}: {damage}; `repu-lab reproduce` judges that claim again")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path, finding in zip(claims, findings, strict=True):
        kept = {key: finding[key] for key in KEPT}
        for old in RESULTS.glob(f"{finding['number']:02d}-*.json"):  # perhaps of another title
            old.unlink()
        (RESULTS / f"{path.parent.name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    try:
        print(write_report(folder, RESULTS / arguments.page))
    except ConfigError as error:
        parser.error(str(error))
    if (folder / STORY[0]).exists():
        shutil.copyfile(folder / STORY[0], ROOT / STORY[1])
    published = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    readme = ROOT / "README.md"
    readme.write_text(with_verdicts(readme.read_text(encoding="utf-8"), published), encoding="utf-8")
    return 0


def with_verdicts(readme: str, findings: Sequence[dict[str, Any]]) -> str:
    """Return the README with these verdicts between its marks and, behind them, the numbers of the claims that wait.

    ValueError if the marks or the line of the claims that wait are not there.
    """
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    if not WAITING.search(after):
        raise ValueError(f"README.md must hold {MARKS[0]}, {MARKS[1]}, and behind them Not yet run at full scale: ...")
    line = f"Not yet run at full scale: {', '.join(map(str, waiting(findings))) or 'none'}."
    return f"{before}{MARKS[0]}\n\n{verdict_table(findings)}\n{MARKS[1]}{WAITING.sub(line, after)}"


def waiting(findings: Sequence[dict[str, Any]]) -> list[int]:
    """Return the numbers of the claims whose title or rule is not the published one."""
    published = {(found["number"], found["title"], found["rule"]) for found in findings}
    return [claim.number for claim in CLAIMS if (claim.number, claim.title, prose(claim.rule)) not in published]


def verdict_table(findings: Sequence[dict[str, Any]]) -> str:
    """Return number, title and verdict of each claim as a Markdown table."""
    rows = [f"| {found['number']} | {found['title']} | {found['verdict']} |\n" for found in findings]
    return "".join(["| | claim | verdict |\n|---|---|---|\n", *rows])


if __name__ == "__main__":
    sys.exit(main())
