"""Take a finished reproduction into the repository: scripts/publish_results.py FOLDER [--page report.html].

Writes docs/results/PAGE, docs/results/NN-claim.json (statement, rule, verdict, numbers and tables of each claim), in
the README the table of verdicts and the claims that wait, in docs/cures.md the table of cures, and pictures of some
claims. Claims that this reproduction did not judge keep what was published of them, so that a family of claims can be
run and shown on a page of its own.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from repu_lab.claims import CLAIMS
from repu_lab.claims.base import prose
from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.figures.narrow import FOR_PHONES
from repu_lab.report.command import write_report
from repu_lab.runs.reading import Contents

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
KEPT = (
    "number", "family", "title", "statement", "reference", "setup", "rule", "verdict", "reason", "seeds", "scale",
    "numbers", "tables", "versions",
)  # fmt: skip
PICTURES = (
    "01-double-exponential/story", "17-skips/skips", "18-layernorm/layernorm", "19-tailored/tailored",
    "20-orthogonal/orthogonal",
)  # fmt: skip
WAITING = re.compile(r"^Not yet run at full scale: .*$", re.MULTILINE)
MARKS = ("<!-- verdicts: scripts/publish_results.py -->", "<!-- end of verdicts -->")
CURE_MARKS = ("<!-- cures: scripts/publish_results.py -->", "<!-- end of cures -->")


class Cure(NamedTuple):
    """A row of the table of cures: what to type, the networks of a claim that show it, and what it keeps and costs.

    cost: of a step over one of plain ReLU networks, by scripts/bench_cures.py.
    """

    name: str
    keys: str
    claim: int
    cases: Sequence[str]
    activation: str
    keeps: Sequence[str]  # of KEPT_BY
    cost: float | None = None


KEPT_BY = ("no skips", "no norms", "smooth", "polynomials exact")
RESIDUAL = "activation=repu block=residual"
CURES = (
    Cure("RMSNorm alone", "activation=repu block.norm=rms", 16, ("XOR, RMSNorm",), "RePU 2", ("no skips", "smooth")),
    Cure(
        "skips and RMSNorm",
        f"{RESIDUAL} block.branch=auto block.norm=rms",
        17, ("XOR, skips and RMSNorm",), "RePU 2", ("smooth",), 2.2,
    ),
    Cure(
        "skips and one frozen scale a layer",
        f"{RESIDUAL} block.branch=auto block.scalar=true",
        17, ("XOR, skips and frozen scales",), "RePU 2", ("no norms", "smooth", "polynomials exact"), 1.5,
    ),
    Cure(
        "skips, branches that start at 0 (ReZero)",
        f"{RESIDUAL} block.branch=rezero",
        17, ("XOR, ReZero",), "RePU 2", ("no norms", "smooth", "polynomials exact"), 1.6,
    ),
    Cure(
        "LayerNorm after RePU(z + 4), orthogonal weights",
        "activation=repu activation.shift=4 block.norm=layer_after initialization.weights=orthogonal",
        18, ("XOR, LayerNorm after s, orthogonal weights",), "RePU 2 of z + 4", ("no skips", "smooth"), 1.6,
    ),
    Cure(
        "MRePU tailored to the depth",
        "activation=mrepu activation.p=1 tailor=dks",
        19, ("xyz", "XOR"), "MRePU 1, dks", ("no skips", "no norms", "polynomials exact"), 2.2,
    ),
    Cure(
        "RePU with a shift made for the depth",
        "activation=repu tailor=shift",
        19, ("xyz", "XOR"), "RePU 2, shift", ("no skips", "no norms", "smooth", "polynomials exact"), 1.7,
    ),
    Cure(
        "a spline of RePUs, orthogonal weights",
        "activation=spline_repu activation.plateau=8 activation.shift=-2 initialization.weights=orthogonal",
        14, ("XOR, orthogonal weights",), "one-sided spline",
        ("no skips", "no norms", "smooth", "polynomials exact"), 2.9,
    ),
)  # fmt: skip


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
    for picture, end in product(PICTURES, (".png", FOR_PHONES)):
        drawn = folder / "claims" / f"{picture}{end}"
        if drawn.exists():
            shutil.copyfile(drawn, ROOT / "docs/pictures" / drawn.name)
    published = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    readme = ROOT / "README.md"
    readme.write_text(with_verdicts(readme.read_text(encoding="utf-8"), published), encoding="utf-8")
    page = ROOT / "docs/cures.md"
    page.write_text(with_cures(page.read_text(encoding="utf-8"), published), encoding="utf-8")
    return 0


def with_verdicts(readme: str, findings: Sequence[dict[str, Any]]) -> str:
    """Return the README with these verdicts between its marks and, behind them, the numbers of the claims that wait.

    ValueError if the marks or the line of the claims that wait are not there.
    """
    before, after = around(readme, MARKS)
    if not WAITING.search(after):
        raise ValueError(f"README.md must hold {MARKS[0]}, {MARKS[1]}, and behind them Not yet run at full scale: ...")
    line = f"Not yet run at full scale: {', '.join(map(str, waiting(findings))) or 'none'}."
    return f"{before}{MARKS[0]}\n\n{verdict_table(findings)}\n{MARKS[1]}{WAITING.sub(line, after)}"


def with_cures(page: str, findings: Sequence[dict[str, Any]]) -> str:
    """Return docs/cures.md with the table of what these findings say of each cure."""
    before, after = around(page, CURE_MARKS)
    return f"{before}{CURE_MARKS[0]}\n\n{cure_table(findings)}\n{CURE_MARKS[1]}{after}"


def around(page: str, marks: tuple[str, str]) -> tuple[str, str]:
    """Return what stands before and behind two marks; '' where one is missing."""
    before, _, rest = page.partition(marks[0])
    return before, rest.partition(marks[1])[2]


def cure_table(findings: Sequence[dict[str, Any]]) -> str:
    """Return a row for each cure: what to type, what its networks reached at each depth, what it keeps and costs."""
    head = ("what", "type", "median on the test split", *KEPT_BY, "a step costs", "claim")
    rows = [head, ["---"] * len(head)]
    for cure in CURES:
        reached: dict[str, list[tuple[str, str, str]]] = {}
        tables = [table for finding in findings if finding["number"] == cure.claim for table in finding["tables"]]
        for row in (row for table in tables for row in table["rows"]):
            if row[0] in cure.cases and row[2] == cure.activation:
                place = f"{row[-3]:.2f}", str(row[1]), f"{row[5]:.0%}"
                reached.setdefault(row[0].partition(",")[0], []).append(place)
        columns = ((task, *map(", ".join, zip(*places, strict=True))) for task, places in reached.items())
        measured = "; ".join("{}: {} at depth {} ({} count)".format(*column) for column in columns)
        keeps = ["yes" if kept in cure.keeps else "no" for kept in KEPT_BY]
        cost = f"{cure.cost:g} times" if cure.cost else ""
        rows.append([cure.name, f"`{cure.keys}`", measured or "not run yet", *keeps, cost, str(cure.claim)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def waiting(findings: Sequence[dict[str, Any]]) -> list[int]:
    """Return the numbers of the claims whose title or rule is not the published one."""
    published = {(finding["number"], finding["title"], finding["rule"]) for finding in findings}
    return [claim.number for claim in CLAIMS if (claim.number, claim.title, prose(claim.rule)) not in published]


def verdict_table(findings: Sequence[dict[str, Any]]) -> str:
    """Return number, title and verdict of each claim as a Markdown table."""
    rows = [f"| {finding['number']} | {finding['title']} | {finding['verdict']} |\n" for finding in findings]
    return "".join(["| | claim | verdict |\n|---|---|---|\n", *rows])


if __name__ == "__main__":
    sys.exit(main())
