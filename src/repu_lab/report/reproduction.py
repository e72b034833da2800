"""The page of a reproduction: the verdicts first, then a section a claim."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repu_lab.catalogue.reading import number
from repu_lab.catalogue.scanning import STATES, Run, last_line
from repu_lab.catalogue.summary import counted
from repu_lab.configs.files import Damaged
from repu_lab.report.markup import Html, join, tag
from repu_lab.report.page import Page
from repu_lab.report.parts import (
    badge,
    command_line,
    definitions,
    facts,
    folded,
    plural,
    preformatted,
    scrolling,
    stored_figure,
    table,
    tally,
    when,
)
from repu_lab.report.run import about_versions, shown_any
from repu_lab.report.sweep import unfinished
from repu_lab.runs.reading import Contents, read_object

CLAIM_LIMIT = 8 << 20  # bytes of a claim.json
VERDICTS = ("supported", "refuted", "inconclusive")
OPEN = 3  # commands shown without a click
PLAIN_NAME = re.compile(r"[\w][\w.\-]*")


@dataclass(frozen=True)
class Finding:
    """A claim's folder: what claim.json says, or why there is nothing that can be read."""

    folder: Path
    said: Mapping[str, Any]
    damage: str = ""
    state: str = "damaged"  # damaged, failed, or not judged, where claim.json says nothing
    altered: str = ""  # what of its pictures is not as it was written

    def text(self, key: str) -> str:
        """Return an entry as text, '' if there is none."""
        value = self.said.get(key)
        return "" if value is None else shown_any(value)

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
    return (folder / "claims").is_dir() or _manifest(folder).get("command") == "reproduce"


def find_claims(folder: Path) -> list[Finding]:
    """Return what was found of each claim, in the order of the claims; damaged, failed and open ones too."""
    findings = [_find(path) for path in sorted(folder.glob("claims/*")) if path.is_dir()]
    return sorted(findings, key=lambda finding: (number(finding.said.get("number")) or 1e9, finding.folder.name))


def _find(folder: Path) -> Finding:
    contents = Contents(folder)
    try:
        if os.path.lexists(folder / "manifest.json"):  # older reproductions have none
            _ = contents.manifest
        said = contents.json("claim.json", CLAIM_LIMIT)
        return Finding(folder, said, altered="; ".join(why for _, why in contents.damage()))
    except Damaged as damage:
        if (folder / "claim.json").exists():
            return Finding(folder, {}, str(damage))
    if (folder / "traceback.txt").exists():
        return Finding(folder, {}, last_line(str(folder / "traceback.txt")), "failed")
    return Finding(folder, {}, "there is no claim.json yet", "not judged")


def reproduction_page(folder: Path, findings: Sequence[Finding], runs: Sequence[Run]) -> Page:
    """Return the page of a reproduction's claims and of the runs behind them."""
    page = Page("Reproduction of arXiv:2408.02697")
    manifest = _manifest(folder)
    page.add(_header(findings, manifest))
    page.add(_verdicts(findings), "the verdicts")
    for finding in findings:
        page.add(_claim(page, finding), finding.heading)
    page.add(_behind(page, runs), "the runs behind the claims")
    page.add(_circumstances(page, manifest), "circumstances")
    return page


def _header(findings: Sequence[Finding], manifest: Mapping[str, Any]) -> Html:
    counts = Counter(finding.verdict for finding in findings)
    status = manifest.get("status")
    scale = next((finding.text("scale") for finding in findings if finding.text("scale")), "")
    commit = manifest.get("git_commit")
    about = [
        f"scale {scale}" if scale else "",
        f"commit {shown_any(commit)}" if commit else "",
        when(manifest.get("end")),
    ]
    return tag(
        "header",
        tag("h1", "Deep networks of rectified power units: the paper, claim by claim"),
        tag("p", "Kim & Kang, arXiv:2408.02697, examined by repu-lab. ",
            "Hyperparameters are the lab's own, the same tuning budget for every activation."),
        tally(tuple(dict.fromkeys([*VERDICTS, *counts])), counts),
        tag("p", " · ".join(filter(None, about)), class_="quiet small"),
        tag("p", badge(status if status in STATES else "interrupted"),
            " Not every claim has been judged yet; the same command goes on.") if status != "finished" else None,
    )  # fmt: skip


def _verdicts(findings: Sequence[Finding]) -> Html:
    """Return the table of verdicts; its claims lead to their sections."""
    rows = []
    for finding in findings:
        seeds = finding.text("seeds")
        claim = join(
            tag("a", finding.text("title") or finding.folder.name, href=f"#{_anchor(finding)}"),
            tag("p", finding.text("reason") or finding.damage, class_="quiet"),
        )
        cells = [tag("td", finding.text("number"), class_="number"), tag("td", claim),
                 tag("td", badge(finding.verdict)), tag("td", seeds, class_="number")]  # fmt: skip
        rows.append(tag("tr", cells))
    titles = [tag("th", name, scope="col", class_="number" if name in ("", "networks") else None)
              for name in ("", "claim", "verdict", "networks")]  # fmt: skip
    body = tag("table", tag("thead", tag("tr", titles)), tag("tbody", rows), class_="verdicts")
    return tag("section", tag("h2", "Verdicts"), scrolling(body, "verdicts")) if rows else Html()


def _claim(page: Page, finding: Finding) -> Html:
    """Return the section of a claim: statement, verdict, pictures, numbers, what was run."""
    if finding.damage:
        why = tag("p", badge(finding.verdict), f" {finding.damage}")
        return tag("section", tag("h2", finding.heading), why, id=_anchor(finding))
    said = finding.said
    reference = tag("span", f" ({finding.text('reference')})", class_="quiet") if said.get("reference") else None
    figures = [_figure(page, finding, about) for about in _list(said.get("figures"))]
    return tag(
        "section",
        tag("p", finding.text("family"), class_="eyebrow") if said.get("family") else None,
        tag("h2", finding.heading),
        tag("blockquote", finding.text("statement"), reference),
        tag("p", badge(finding.verdict), " ", finding.text("reason")),
        tag("p", badge("damaged"), f" {finding.altered}") if finding.altered else None,
        tag("div", figures, class_="figures") if figures else None,
        [_table(page, about) for about in _list(said.get("tables"))],
        _numbers(page, said.get("numbers")),
        definitions([("Rule, fixed before the run", finding.text("rule")), ("What was run", finding.text("setup"))]),
        _commands(finding),
        id=_anchor(finding),
    )


def _numbers(page: Page, numbers: object) -> Html:
    if not isinstance(numbers, Mapping):
        return Html()
    return facts(page, {str(name): shown_any(value) or "-" for name, value in numbers.items()}, "Decisive numbers")


def _commands(finding: Finding) -> Html:
    """Return the exact commands, the run folders behind them, what it took."""
    commands, runs = (
        [line for line in _list(finding.said.get(key)) if isinstance(line, str)] for key in ("commands", "runs")
    )
    shown = folded(plural(len(commands), "command"), preformatted("\n".join(commands)), is_open=len(commands) <= OPEN)
    folders = folded(plural(len(runs), "run folder"), preformatted("\n".join(runs)))
    seconds = number(finding.said.get("seconds"))
    took = f"{seconds:.0f} s, repu-lab {finding.text('version')}" if seconds is not None else ""
    return join(
        shown if commands else None, folders if runs else None, tag("p", took, class_="quiet small") if took else None
    )


def _figure(page: Page, finding: Finding, about: object) -> Html:
    name = about.get("name") if isinstance(about, Mapping) else None
    if not (isinstance(about, Mapping) and isinstance(name, str) and PLAIN_NAME.fullmatch(name)):
        return tag("p", badge("damaged"), " a figure without a name")
    caption = shown_any(about.get("caption"))
    return stored_figure(page, finding.folder, name, shown_any(about.get("alt")) or caption, caption)


def _table(page: Page, about: object) -> Html:
    columns = _list(about.get("columns")) if isinstance(about, Mapping) else []
    rows = [row for row in _list(about.get("rows")) if isinstance(row, list)] if isinstance(about, Mapping) else []
    if not isinstance(about, Mapping) or not columns or any(len(row) != len(columns) for row in rows):
        return tag("p", badge("damaged"), " a table whose rows and columns do not fit")
    cells = [[cell if isinstance(cell, (int, float)) else shown_any(cell) for cell in row] for row in rows]
    return table(page, list(map(shown_any, columns)), cells, shown_any(about.get("caption")), tall=True)


def _behind(page: Page, runs: Sequence[Run]) -> Html:
    """Return how many runs are behind the claims, and those that have no result."""
    states = Counter(run.state for run in runs)
    outcomes = Counter(member.outcome for run in runs for member in run.members)
    told = (
        f"{plural(len(runs), 'run')}, {plural(outcomes.total(), 'network')}: {counted(dict(outcomes.most_common()))}."
    )
    section = tag("section", tag("h2", "The runs behind the claims"), tag("p", told), tally(STATES, states))
    return join(section, unfinished(page, runs)) if runs else Html()


def _circumstances(page: Page, manifest: Mapping[str, Any]) -> Html:
    line = command_line(manifest.get("command_line"))
    return tag(
        "section", tag("h2", "Circumstances"), preformatted(line) if line else None,
        about_versions(page, manifest) if manifest else tag("p", badge("damaged"), " manifest.json cannot be read"),
    )  # fmt: skip


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return read_object(str(folder / "manifest.json"))
    except Damaged:
        return {}


def _anchor(finding: Finding) -> str:
    return f"claim-{re.sub(r'[^A-Za-z0-9-]+', '-', finding.folder.name)}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
