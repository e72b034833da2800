"""The page of a sweep: configs and what became of their networks, a picture of it, every job."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from repu_lab.catalogue.printing import table_cells
from repu_lab.catalogue.rows import SHARE, SURVIVAL, Row, rows, shown_columns
from repu_lab.catalogue.scanning import STATES, Run
from repu_lab.catalogue.selection import ordered
from repu_lab.catalogue.summary import counted
from repu_lab.catalogue.text import shown
from repu_lab.configs.files import Damaged
from repu_lab.networks.quantiles import RULE
from repu_lab.report.charts import chart, independent_keys
from repu_lab.report.markup import Html, tag
from repu_lab.report.page import Page
from repu_lab.report.parts import badge, command_line, facts, figure, folded, plural, preformatted, table, tally
from repu_lab.report.run import about_versions
from repu_lab.runs.reading import read_object

NAMED = 4  # swept keys named in the heading
COMMANDS = 20  # different command lines shown


def sweep_page(folder: Path, runs: Sequence[Run]) -> Page:
    """Return the page of the runs below a folder."""
    name = folder.resolve().name
    keys = independent_keys(rows(runs, "config"))
    heading = f"Sweep over {', '.join(keys)}" if 0 < len(keys) <= NAMED else f"Sweep of {len(runs)} runs"
    page = Page(heading)
    states = Counter(run.state for run in runs)
    outcomes = Counter(member.outcome for run in runs for member in run.members)
    told = counted(dict(outcomes.most_common())) or "no results yet"
    page.add(
        tag("header", tag("h1", heading), tag("p", name, class_="quiet small"),
            tag("p", f"{plural(len(runs), 'run')}, {plural(outcomes.total(), 'network')}: {told}."),
            tally(STATES, states))
    )  # fmt: skip
    commands = dict.fromkeys(run.command for run in runs)
    for command in commands:
        title = "Every config" + (f" of {command or 'an unknown command'}" if len(commands) > 1 else "")
        page.add(_configs(page, title, command, [run for run in runs if run.command == command]), title)
    page.add(unfinished(page, runs), "runs without a result")
    page.add(jobs(page, runs, "Every run"), "all runs")
    page.add(_circumstances(page, runs), "circumstances")
    return page


def jobs(page: Page, runs: Sequence[Run], heading: str) -> Html:
    """Return the table of all runs, as `repu-lab results --by run` shows it."""
    titles, cells = table_cells(ordered(rows(runs, "run")), "run")
    cells = [[badge(cell) if title == "state" else cell for title, cell in zip(titles, row, strict=True)]
             for row in cells]  # fmt: skip
    caption = f"Outcomes counted, layers of failure, median of the metric [quartiles]; {RULE}"
    return tag("section", tag("h2", heading), table(page, titles, cells, caption, tall=True))


def unfinished(page: Page, runs: Sequence[Run]) -> Html:
    """Return the runs that are damaged, failed or were interrupted, and why; nothing where there are none."""
    bad = [run for run in runs if run.note]
    if not bad:
        return Html()
    listed = table(page, ["state", "run", "why"], [[badge(run.state), run.folder, run.note] for run in bad], tall=True)
    return tag("section", tag("h2", "Without a result, or damaged"), listed)


def _configs(page: Page, title: str, command: str, runs: Sequence[Run]) -> Html:
    """Return the table by config of the runs of one command, and its picture."""
    by_config = ordered(rows(runs, "config"))
    titles, cells = table_cells(by_config, "config")
    caption = {
        "theory": "What theory forecasts",
        "propagate": "n networks, and what became of them on the first pass",
    }.get(command, "n networks, those that trained with a 95 % Wilson interval, all outcomes, layers of failure, "
                   f"median of the metric [quartiles]; {RULE}")  # fmt: skip
    if command == "propagate":  # nothing trains there: what is drawn is the share that survives
        survival = [
            row.cells | {to: row.cells[of] for to, of in zip(SHARE, SURVIVAL, strict=True)} for row in by_config
        ]
        drawn = chart([replace(row, cells=cells) for row, cells in zip(by_config, survival, strict=True)],
                      "share that survives")  # fmt: skip
    else:
        drawn = chart(by_config) if command != "theory" else None
    return tag(
        "section", tag("h2", title), table(page, titles, cells, caption, tall=True),
        figure(page, drawn.figure, drawn.alt, drawn.caption) if drawn is not None else None,
    )  # fmt: skip


def _circumstances(page: Page, runs: Sequence[Run]) -> Html:
    """Return what all runs share: config, command lines, versions."""
    every: list[Row] = rows([run for run in runs if run.config], "config")
    different = shown_columns(every)
    shared = {
        key: shown(row.cells.get(key)) for row in every[:1] for key in row.config
        if key not in different and row.cells.get(key) is not None
    }  # fmt: skip
    manifests = []
    for run in runs:
        try:
            manifests.append(read_object(str(run.path / "manifest.json")))
        except Damaged:
            continue
    lines = list(dict.fromkeys(filter(None, (command_line(manifest.get("command_line")) for manifest in manifests))))
    more = [f"... and {len(lines) - COMMANDS} more"] if len(lines) > COMMANDS else []
    return tag(
        "section", tag("h2", "Circumstances"),
        preformatted("\n".join([*lines[:COMMANDS], *more])) if lines else None,
        folded("Config that all share", facts(page, shared)) if shared else None,
        [folded("Versions", about_versions(page, manifest)) for manifest in manifests[:1]],
    )  # fmt: skip
