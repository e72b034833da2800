"""The page of a sweep: configs with their forecast and what became of their networks, a picture of it, every run."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from markupsafe import Markup

from repu_lab.catalogue.printing import table_cells
from repu_lab.catalogue.rows import SHARE, SURVIVAL, Row, rows, shown_columns
from repu_lab.catalogue.scanning import STATES, Run, result_files
from repu_lab.catalogue.selection import ordered
from repu_lab.catalogue.summary import counted
from repu_lab.catalogue.values import shown
from repu_lab.networks.quantiles import RULE
from repu_lab.report.charts import Chart, chart, independent_keys
from repu_lab.report.page import Page, template
from repu_lab.report.pictures import drawn
from repu_lab.report.run import versions
from repu_lab.report.tables import address, facts, table
from repu_lab.report.words import command_line, plural, read_or_empty

NAMED = 4  # swept keys named in the heading
COMMANDS = 20  # different command lines shown
FIRST_PASS = "first pass "  # with which every forecast begins
CAPTIONS = {
    "train": "Forecast of the first pass; what became of n networks, those that trained with a 95 % Wilson interval; "
    f"median of the metric [quartiles]; layers of failure. In medians {RULE}.",
    "propagate": "n networks, and what became of them on the first pass",
    "theory": "What theory forecasts",
}
Link = Callable[..., Markup]  # from the folder of a run, and the words of the link, to a link there


def sweep_page(folder: Path, runs: Sequence[Run], beside: Path) -> Page:
    """Return the page of the runs below a folder, which will lie in the folder `beside`."""
    sections = template("sweep")
    keys = independent_keys(rows(runs, "config"))
    heading = f"Sweep over {', '.join(keys)}" if 0 < len(keys) <= NAMED else f"Sweep of {len(runs)} runs"
    page = Page(heading)
    states = Counter(run.state for run in runs)
    outcomes = Counter(member.outcome for run in runs for member in run.members)
    became = counted(dict(outcomes.most_common())) or "no results yet"
    summary = f"{plural(len(runs), 'run')}, {plural(outcomes.total(), 'network')}: {became}."
    page.add(sections.header(heading, folder.resolve().name, summary, STATES, states))
    by_folder = {run.folder: run for run in runs}
    link = partial(_link, by_folder, beside)
    commands = dict.fromkeys(run.command for run in runs)
    for command in commands:
        title = "Every config" + (f" of {command or 'an unknown command'}" if len(commands) > 1 else "")
        of_command = {name: run for name, run in by_folder.items() if run.command == command}
        page.add(sections.configs(title, *_configs(page, command, of_command, link)), title)
    if bad := unfinished(page, runs):
        page.add(bad, "runs without a result")
    if len(rows(runs, "config")) < len(runs):  # else each has stood above
        page.add(sections.runs(_runs(page, runs, link)), "all runs")
    page.add(_circumstances(page, runs), "circumstances")
    return page


def unfinished(page: Page, runs: Sequence[Run]) -> Markup:
    """Return the runs that are damaged, failed or were interrupted, and why; nothing where there are none."""
    badge = template("pieces").badge
    bad = [[badge(run.state), run.folder, run.note] for run in runs if run.note]
    return template("sweep").unfinished(table(page, ["state", "run", "why"], bad)) if bad else Markup()


def _configs(page: Page, command: str, runs: dict[str, Run], link: Link) -> tuple[Markup, Markup]:
    """Return the table by config of the runs of one command, and its picture."""
    by_config = ordered(rows(list(runs.values()), "config"))
    titles, cells = table_cells(by_config, "config")
    columns = dict(zip(titles, zip(*cells, strict=True), strict=True))
    swept = [key for key in shown_columns(by_config) if key in columns]
    places = [sorted(map(str, row.several["folder"])) for row in by_config]
    forecasts = [_forecast(runs[folders[0]]) for folders in places]
    columns = (
        {key: columns[key] for key in swept}
        | ({"forecast": forecasts} if any(forecasts) else {})
        | {title: column for title, column in columns.items() if title not in swept}
        | {"run": [link(names[0], "open") if len(names) == 1 else plural(len(names), "run") for names in places]}
    )
    caption = CAPTIONS.get(command, CAPTIONS["train"])
    listed = table(page, list(columns), list(zip(*columns.values(), strict=True)), caption)
    picture = _chart(by_config, command)
    return listed, Markup() if picture is None else drawn(page, picture.figure, picture.alt, picture.caption)


def _chart(by_config: Sequence[Row], command: str) -> Chart | None:
    if command == "theory":
        return None
    if command != "propagate":
        return chart(by_config)
    # Nothing trains there: what is drawn is the share that survives.
    survival = [row.cells | {to: row.cells[of] for to, of in zip(SHARE, SURVIVAL, strict=True)} for row in by_config]
    survivals = [replace(row, cells=cells) for row, cells in zip(by_config, survival, strict=True)]
    return chart(survivals, "share that survives")


def _runs(page: Page, runs: Sequence[Run], link: Link) -> Markup:
    """Return the table of all runs, as `repu-lab results --by run` shows it."""
    titles, cells = table_cells(ordered(rows(runs, "run")), "run")
    marked = {"state": template("pieces").badge, "folder": link}
    marked_cells = [[marked.get(title, str)(cell) for title, cell in zip(titles, row, strict=True)] for row in cells]
    return table(page, titles, marked_cells, f"Outcomes counted, layers of failure, median of the metric; {RULE}")


def _link(runs: dict[str, Run], beside: Path, folder: str, words: str = "") -> Markup:
    """Return a link to a run's page if there is one, else to its folder."""
    path = runs[folder].path
    page = "report.html" if (path / "report.html").is_file() else ""
    return template("pieces").link(words or folder, address(path, beside) + page)


def _forecast(run: Run) -> str:
    """Return what theory said of the first pass before the run, '' where nothing is known of it."""
    forecast = read_or_empty(run.path / result_files().get(run.command, "result.json")).get("forecast")
    summary = forecast.get("summary") if isinstance(forecast, dict) else None
    return summary.removeprefix(FIRST_PASS) if isinstance(summary, str) else ""


def _circumstances(page: Page, runs: Sequence[Run]) -> Markup:
    """Return what all runs share: config, command lines, versions."""
    every: list[Row] = rows([run for run in runs if run.config], "config")
    different = shown_columns(every)
    shared = {key: shown(row.cells.get(key)) for row in every[:1] for key in row.config if key not in different}
    manifests = [manifest for run in runs if (manifest := read_or_empty(run.path / "manifest.json"))]
    lines = list(dict.fromkeys(filter(None, (command_line(manifest.get("command_line")) for manifest in manifests))))
    more = [f"... and {len(lines) - COMMANDS} more"] if len(lines) > COMMANDS else []
    machine = versions(page, manifests[0]) if manifests else ""
    return template("sweep").circumstances("\n".join([*lines[:COMMANDS], *more]), facts(page, shared), machine)
