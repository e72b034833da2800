"""The page of one run: forecast beside measurement, outcomes, depth profiles, losses, config."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from repu_lab.catalogue.rows import rows
from repu_lab.catalogue.scanning import Member, Run, result_files
from repu_lab.catalogue.summary import summarise, where
from repu_lab.catalogue.values import measured, shown
from repu_lab.configs.code import with_tailor
from repu_lab.configs.files import Damaged, read_text
from repu_lab.figures.style import RANGES
from repu_lab.networks.quantiles import RULE, median
from repu_lab.networks.quantities import over_depth
from repu_lab.report.page import Page, template
from repu_lab.report.pictures import drawn, stored
from repu_lab.report.stored import LOSSES, Profile, Statistics, theory_of_events, theory_of_rows
from repu_lab.report.tables import facts, table
from repu_lab.report.words import command_line, read_or_empty, shown_any, when

LOG_LIMIT = 1 << 20
LOG_SHOWN = 20_000  # characters
MOST_PROFILES = 6  # steps on one picture
PICTURES = {  # what `theory` writes
    "kernel": "Kernel by layer: theory at infinite width, and quantiles of networks of this width.",
    "susceptibilities": "Susceptibilities chi_parallel and chi_perp against K.",
    "phase_diagram": "Fate over the plane of bias and weight variance.",
}


def run_page(run: Run) -> Page:
    """Return the page of a run, finished or not."""
    heading = title(run)
    page = Page(heading)
    sections = template("run")
    manifest = read_or_empty(run.path / "manifest.json")
    result = read_or_empty(run.path / result_files().get(run.command, "result.json")) if run.members else {}
    log = _log(run)
    page.add(sections.header(heading, run.state, run.path.resolve().name, run.note))
    page.add(_verdict(result, log), "verdict")
    page.add(_outcomes(page, run), "outcomes")
    for picture_heading, pictures in _pictures(page, run, result, heading):
        page.add(sections.titled(picture_heading, pictures), "pictures")
    if run.state == "failed":
        page.add(sections.traceback(_traceback(run)), "traceback")
    if run.config:
        page.add(sections.titled("Config", facts(page, run.config)), "config")
    line = command_line(manifest.get("command_line"))
    page.add(sections.circumstances(line, versions(page, manifest), log[-LOG_SHOWN:]), "circumstances")
    return page


def title(run: Run) -> str:
    """Return a run in a few words."""
    config = run.config
    inner = [
        f"{key.partition('.')[2]}={shown(value)}"
        for key, value in config.items()
        if key.startswith("activation.") and not key.endswith("_target_")
    ]
    name = shown(config.get("activation")) + (f"({', '.join(inner)})" if inner else "")
    name = with_tailor(name, config.get("tailor"))
    sizes = [f"{key} {shown(config[key])}" for key in ("depth", "width") if key in config]
    return " ".join(filter(None, [run.command.capitalize() or "Run", ", ".join(filter(None, [name, *sizes]))]))


def versions(page: Page, manifest: Mapping[str, Any]) -> Markup:
    """Return versions and machine of a manifest."""
    known = manifest.get("versions")
    values = {str(name): shown_any(version) for name, version in known.items()} if isinstance(known, dict) else {}
    names = {"git_commit": "commit", "device": "device", "threads": "threads", "machine": "machine"}
    values |= {title: shown_any(manifest.get(name)) for name, title in names.items()}
    values |= {name: when(manifest.get(name)) for name in ("start", "end")}
    return facts(page, values)


def _verdict(result: Mapping[str, Any], log: str) -> Markup:
    """Return forecast and measurement side by side, and what theory advised."""
    verdict, text = (word if isinstance(word := result.get(key), str) else "" for key in ("verdict", "text"))
    forecast, _, outcome = verdict.partition(" | measured: ")
    sides = [("theory forecasts", forecast.removeprefix("forecast: ")), ("measured", outcome)]
    advice = [
        line.partition(":")[2].strip() for line in log.splitlines() if line.startswith(("start:", "tailor:", "advice:"))
    ]
    return template("run").verdict([side for side in sides if side[1]], [] if text else advice, text)


def _outcomes(page: Page, run: Run) -> Markup:
    """Return the outcomes, counted, and the networks one by one."""
    if not run.members or run.command == "theory":
        return Markup()
    groups: dict[str, list[Member]] = {}
    for member in run.members:
        groups.setdefault(member.outcome, []).append(member)
    metric_name = next((member.metric_name for member in run.members if member.metric_name), None)
    metric = metric_name or "metric"
    titles = ["outcome", "networks", "layer (networks)", f"median {metric}", "median loss", "median step"]
    cells = []
    for outcome, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        summary = summarise(members)
        steps = median([member.step for member in members], math.inf)
        middle = measured(summary.quartiles[1]) if metric_name else None
        cells.append([outcome, summary.n, where(summary.layers), middle, summary.loss, steps])
    kept = [i for i in range(len(titles)) if any(row[i] not in (None, "") for row in cells)]
    caption = f"Medians: {RULE}." if metric_name and len(run.members) > 1 else ""
    counts = table(page, [titles[i] for i in kept], [[row[i] for i in kept] for row in cells], caption)
    several = len(run.members) > 1 and run.command == "train"
    return template("run").outcomes(counts, _networks(page, run, metric) if several else "")


def _networks(page: Page, run: Run, metric: str) -> Markup:
    """Return a row a network, without the columns in which none has a value."""
    names = ["seed", "outcome", "layer", "step", "loss", "metric", "excursion_step", "excursion_size"]
    names += sorted({name for member in run.members for name in member.measures})
    networks = rows([run], "member")
    names = [name for name in names if any(row.cells.get(name) is not None for row in networks) or name == "metric"]
    titles = [name.replace("metric", metric).replace("_", " ") for name in names]
    cells = [{**row.cells, "metric": measured(row.cells.get("metric"))} for row in networks]
    return table(page, titles, [[row.get(name) for name in names] for row in cells])


def _pictures(page: Page, run: Run, result: Mapping[str, Any], heading: str) -> Iterator[tuple[str, Markup]]:
    """Yield headings of sections and the run's figures, made again from what it measured."""
    if run.command == "theory":
        there = {name: caption for name, caption in PICTURES.items() if (run.path / f"{name}.png").exists()}
        if there:
            pictures = [stored(page, run.path, name, caption, caption) for name, caption in there.items()]
            yield "Theory", Markup().join(pictures)
        return
    try:
        statistics = Statistics(run.path)
        profiles = statistics.profiles()
        theory = theory_of_rows(result.get("layers")) or theory_of_events(run.path)
        if profiles:
            yield "Layer by layer", _profile(page, run, profiles, theory, heading)
        losses = statistics.losses()
        if run.command == "train" and len(losses) == len(LOSSES) and len(statistics.steps) > 1:
            yield "Training", _losses(page, run, statistics.steps, losses)
    except Damaged as damage:
        if run.state not in ("running", "interrupted", "failed"):
            yield "Layer by layer", template("pieces").damaged(damage)
    except ValueError as error:  # numbers that no axis can hold
        yield "Layer by layer", template("pieces").damaged(f"not drawn: {error}")
    if (run.path / "solution.png").exists():
        caption = "The solution that the median network has learnt, beside the reference."
        yield "Solution", stored(page, run.path, "solution", caption, caption)


def _profile(page: Page, run: Run, profiles: dict[int, Profile], theory: Profile, heading: str) -> Markup:
    from repu_lab.figures import signal_propagation

    steps = sorted(profiles)
    chosen = sorted({steps[round(i * (len(steps) - 1) / (MOST_PROFILES - 1))] for i in range(MOST_PROFILES)})
    dtype = str(run.config.get("dtype"))
    dtype = dtype if dtype in RANGES else "float32"
    picture = signal_propagation({step: profiles[step] for step in chosen}, theory, dtype=dtype)
    caption = "Measured, layer by layer: points are medians over networks and probe inputs, bands their 5 to 95 %. " + (
        "Lines are theory for the typical network of this width." if theory else "No theory was stored."
    )
    what, at = ", ".join(quantity.title for quantity in over_depth()), ", ".join(map(str, chosen))
    alt = f"{heading}: {what} against the layer at step {at}. {_in_words(profiles[steps[0]])}"
    return drawn(page, picture, alt, caption)


def _in_words(profile: Profile) -> str:
    """Say where log10 K starts and ends."""
    median = profile["log10_K"][1]
    finite = [(layer, value) for layer, value in enumerate(median.tolist(), 1) if abs(value) < float("inf")]
    if not finite:
        return "No layer has a finite K."
    (first, start), (last, end) = finite[0], finite[-1]
    return f"The median of log10 K goes from {start:.3g} at layer {first} to {end:.3g} at layer {last}."


def _losses(page: Page, run: Run, steps: list[int], values: Profile) -> Markup:
    from repu_lab.figures.losses import losses

    metric = next((member.metric_name for member in run.members if member.metric_name), "metric")
    train_loss, test_loss, reached = (values[name] for name in LOSSES)
    picture = losses(steps, train_loss, test_loss, reached, metric)
    caption = (
        f"Loss of the batch and of the test split, and {metric} on the test split, at the measured steps: medians and "
        f"5 to 95 % of the networks; {RULE}."
    )
    ends = []
    for name, value in values.items():
        end = median(value[-1].tolist(), math.inf if name.endswith("loss") else -math.inf)
        ends.append(f"{name.replace('_', ' ')} {shown(end) or 'none'}")
    alt = f"Loss and {metric} over {steps[-1]} steps; medians at the end: {', '.join(ends)}"
    return drawn(page, picture, alt, caption)


def _traceback(run: Run) -> str:
    try:
        return read_text(str(run.path / "traceback.txt"), LOG_LIMIT)[-LOG_SHOWN:]
    except Damaged as damage:
        return str(damage)


def _log(run: Run) -> str:
    try:
        return read_text(str(run.path / "run.log"), LOG_LIMIT)
    except Damaged:
        return ""
