"""The page of a reproduction: the verdicts first, then a section a claim."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from repu_lab.catalogue.scanning import STATES, Run
from repu_lab.catalogue.summary import counted
from repu_lab.catalogue.values import number
from repu_lab.configs.files import Damaged
from repu_lab.report.page import Page, template
from repu_lab.report.pictures import stored
from repu_lab.report.run import versions
from repu_lab.report.sweep import unfinished
from repu_lab.report.tables import facts, table
from repu_lab.report.words import command_line, plural, read_or_empty, shown_any, when
from repu_lab.runs.reading import Contents, error_line

CLAIM_LIMIT = 8 << 20  # bytes of a claim.json
VERDICTS = ("supported", "refuted", "inconclusive")
# What the claims of a family tell together.
FAMILIES = {
    "signal": "What fails, and why: the signal of fresh networks",
    "training": "What that does to training",
    "approximation": "What such networks can represent, and learn",
    "physics": "A physics problem",
    "vision": "Images",
    "beyond": "Other activations and other starts",
    "cures": "What cures it, and what does not",
}
PLAIN_NAME = re.compile(r"[\w][\w.\-]*")


@dataclass(frozen=True)
class Finding:
    """A claim's folder: what claim.json says, or why there is nothing that can be read."""

    folder: Path
    content: Mapping[str, Any]
    damage: str = ""
    state: str = "damaged"  # damaged, failed, or not judged, where claim.json says nothing
    altered: str = ""  # what of its pictures is not as it was written

    def text(self, key: str) -> str:
        """Return an entry as text, '' if there is none."""
        value = self.content.get(key)
        return "" if value is None else shown_any(value)

    def lines(self, key: str) -> list[str]:
        """Return the texts of a list, [] if there is none."""
        return [line for line in _list(self.content.get(key)) if isinstance(line, str)]

    @property
    def anchor(self) -> str:
        """Return the name of its section on the page."""
        return f"claim-{re.sub(r'[^A-Za-z0-9-]+', '-', self.folder.name)}"

    @property
    def verdict(self) -> str:
        """Return the verdict, or the state where there is none."""
        return self.text("verdict") if self.text("verdict") in VERDICTS else self.state

    @property
    def heading(self) -> str:
        """Return number and title, as far as they are known."""
        known = ". ".join(filter(None, [self.text("number"), self.text("title")]))
        return known or self.folder.name


def is_reproduction(folder: Path) -> bool:
    """Say whether a folder is that of a reproduction, with claims judged or not."""
    return (folder / "claims").is_dir() or read_or_empty(folder / "manifest.json").get("command") == "reproduce"


def find_claims(folder: Path) -> list[Finding]:
    """Return what was found of each claim, in the order of the claims; damaged, failed and open ones too."""
    findings = [_find(path) for path in sorted(folder.glob("claims/*")) if path.is_dir()]
    return sorted(findings, key=lambda finding: (number(finding.content.get("number")) or 1e9, finding.folder.name))


def _find(folder: Path) -> Finding:
    contents = Contents(folder)
    try:
        if os.path.lexists(folder / "manifest.json"):  # older reproductions have none
            _ = contents.manifest
        content = contents.json("claim.json", CLAIM_LIMIT)
        return Finding(folder, content, altered="; ".join(why for _, why in contents.damage()))
    except Damaged as damage:
        if (folder / "claim.json").exists():
            return Finding(folder, {}, str(damage))
    if (folder / "traceback.txt").exists():
        return Finding(folder, {}, error_line(folder), "failed")
    return Finding(folder, {}, "there is no claim.json yet", "not judged")


def reproduction_page(folder: Path, findings: Sequence[Finding], runs: Sequence[Run]) -> Page:
    """Return the page of a reproduction's claims and of the runs behind them."""
    sections = template("reproduction")
    page = Page("Reproduction of arXiv:2408.02697")
    manifest = read_or_empty(folder / "manifest.json")
    page.add(_header(findings, manifest))
    if findings:
        page.add(sections.verdicts(findings, FAMILIES), "the verdicts")
    families = [finding.text("family") for finding in findings]
    for finding, family, before in zip(findings, families, ["", *families], strict=False):
        page.add(_claim(page, finding, family if family != before else ""), finding.heading)
    if runs:
        states = Counter(run.state for run in runs)
        outcomes = Counter(member.outcome for run in runs for member in run.members)
        became = counted(dict(outcomes.most_common()))
        summary = f"{plural(len(runs), 'run')}, {plural(outcomes.total(), 'network')}: {became}."
        page.add(sections.behind(summary, STATES, states), "the runs behind the claims")
        page.add(unfinished(page, runs), "the runs without a result")
    machine = versions(page, manifest) if manifest else template("pieces").damaged("manifest.json cannot be read")
    page.add(sections.circumstances(command_line(manifest.get("command_line")), machine), "circumstances")
    return page


def _header(findings: Sequence[Finding], manifest: Mapping[str, Any]) -> Markup:
    counts = Counter(finding.verdict for finding in findings)
    status = manifest.get("status")
    scale = next((finding.text("scale") for finding in findings if finding.text("scale")), "")
    commit = shown_any(manifest.get("git_commit"))
    circumstances = [f"scale {scale}" if scale else "", f"commit {commit}" if commit else "", when(manifest.get("end"))]
    unfinished_state = "" if status == "finished" else status if status in STATES else "interrupted"
    words = list(dict.fromkeys([*VERDICTS, *counts]))
    return template("reproduction").header(words, counts, " · ".join(filter(None, circumstances)), unfinished_state)


def _claim(page: Page, finding: Finding, family: str) -> Markup:
    """Return the section of a claim: its one sentence and pictures; numbers, rule and commands behind a click.

    `family`: that of the claims from here on, '' where it is the last one's.
    """
    content = finding.content
    return template("reproduction").claim(
        finding,
        family,
        [_figure(page, finding, entry) for entry in _list(content.get("figures"))],
        _numbers(page, content.get("numbers")),
        [_table(page, entry) for entry in _list(content.get("tables"))],
    )


def _numbers(page: Page, numbers: object) -> Markup:
    if not isinstance(numbers, Mapping):
        return Markup()
    return facts(page, {str(name): shown_any(value) or "-" for name, value in numbers.items()}, "Decisive numbers")


def _figure(page: Page, finding: Finding, entry: object) -> Markup:
    fields = entry if isinstance(entry, Mapping) else {}
    name, caption = fields.get("name"), shown_any(fields.get("caption"))
    if not (isinstance(name, str) and PLAIN_NAME.fullmatch(name)):
        return template("pieces").damaged("a figure without a name")
    return stored(page, finding.folder, name, shown_any(fields.get("alt")) or caption, caption)


def _table(page: Page, entry: object) -> Markup:
    fields = entry if isinstance(entry, Mapping) else {}
    columns = _list(fields.get("columns"))
    rows = [row for row in _list(fields.get("rows")) if isinstance(row, list)]
    if not columns or any(len(row) != len(columns) for row in rows):
        return template("pieces").damaged("a table whose rows and columns do not fit")
    cells = [[cell if isinstance(cell, (int, float)) else shown_any(cell) for cell in row] for row in rows]
    return table(page, list(map(shown_any, columns)), cells, shown_any(fields.get("caption")))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
