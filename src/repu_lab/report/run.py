"""The page of one run: forecast beside measurement, outcomes, depth profiles, losses, config."""

import math
from collections.abc import Mapping
from typing import Any

from repu_lab.catalogue.rows import rows
from repu_lab.catalogue.scanning import RESULT_FILES, Member, Run
from repu_lab.catalogue.summary import summarise, where
from repu_lab.catalogue.text import measured, shown
from repu_lab.configs.files import Damaged, read_text
from repu_lab.networks.quantiles import RULE, median
from repu_lab.networks.quantities import over_depth
from repu_lab.report.markup import Content, Html, join, tag
from repu_lab.report.page import Page
from repu_lab.report.parts import badge, command_line, facts, figure, folded, preformatted, stored_figure, table, when
from repu_lab.report.stored import Profile, Statistics, theory_of_events, theory_of_rows
from repu_lab.runs.reading import read_object

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
    manifest = _object(run, "manifest.json")
    result = _object(run, RESULT_FILES.get(run.command, "result.json")) if run.members else {}
    log = _log(run)
    page.add(
        tag("header", tag("h1", heading),
            tag("p", badge(run.state), " ", tag("span", run.path.resolve().name, class_="quiet small")),
            tag("p", run.note, class_="small") if run.note else None)
    )  # fmt: skip
    page.add(_verdict(result, log), "verdict")
    page.add(_outcomes(page, run), "outcomes")
    page.add(_pictures(page, run, result, heading), "pictures")
    page.add(_failure(run), "traceback")
    page.add(
        tag("section", tag("h2", "Config"), facts(page, {key: shown(value) for key, value in run.config.items()}))
        if run.config else Html(), "config",
    )  # fmt: skip
    page.add(_circumstances(page, manifest, log), "circumstances")
    return page


def title(run: Run) -> str:
    """Return a run in a few words."""
    config = run.config
    inner = [f"{key.partition('.')[2]}={shown(value)}" for key, value in config.items()
             if key.startswith("activation.") and not key.endswith("_target_")]  # fmt: skip
    name = shown(config.get("activation")) + (f"({', '.join(inner)})" if inner else "")
    sizes = [f"{key} {shown(config[key])}" for key in ("depth", "width") if key in config]
    return " ".join(filter(None, [run.command.capitalize() or "Run", ", ".join(filter(None, [name, *sizes]))]))


def about_versions(page: Page, manifest: Mapping[str, Any]) -> Html:
    """Return versions and machine of a manifest."""
    versions = manifest.get("versions")
    values: dict[str, Content] = (
        {str(k): shown_any(v) for k, v in versions.items()} if isinstance(versions, dict) else {}
    )
    names = {"git_commit": "commit", "device": "device", "threads": "threads", "machine": "machine"}
    values |= {title: shown_any(manifest.get(name)) for name, title in names.items()}
    values |= {name: when(manifest.get(name)) for name in ("start", "end")}
    return facts(page, values)


def shown_any(value: object) -> str:
    """Return any JSON value as text."""
    return shown(value) if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _verdict(result: Mapping[str, Any], log: str) -> Html:
    """Return forecast and measurement side by side, and what theory advised."""
    verdict = result.get("verdict")
    forecast, _, measured = str(verdict).partition(" | measured: ") if isinstance(verdict, str) else ("", "", "")
    forecast = forecast.removeprefix("forecast: ")
    advice = [line.partition(":")[2].strip() for line in log.splitlines() if line.startswith(("start:", "advice:"))]
    told = result.get("text")
    sides = [("theory forecasts", forecast), ("measured", measured)]
    cards = [
        tag("div", tag("p", label, class_="label"), tag("p", said, class_="said")) for label, said in sides if said
    ]
    return tag(
        "section",
        tag("div", *cards, class_="sides") if cards else None,
        [tag("p", line) for line in advice] if advice and not isinstance(told, str) else None,
        preformatted(told, wrap=True) if isinstance(told, str) else None,
    )


def _outcomes(page: Page, run: Run) -> Html:
    """Return the outcomes, counted, and the networks one by one."""
    if not run.members or run.command == "theory":
        return Html()
    groups: dict[str, list[Member]] = {}
    for member in run.members:
        groups.setdefault(member.outcome, []).append(member)
    metric_name = next((member.metric_name for member in run.members if member.metric_name), None)
    metric = metric_name or "metric"
    titles = ["outcome", "networks", "layer (networks)", f"median {metric}", "median loss"]
    cells = []
    for outcome, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        found = summarise(members)
        steps = median([member.step for member in members], math.inf)
        middle = measured(found.quartiles[1]) if metric_name else None
        cells.append([outcome, found.n, where(found.layers), middle, found.loss, steps])
    titles.append("median step")
    kept = [i for i in range(len(titles)) if any(row[i] not in (None, "") for row in cells)]
    caption = f"Medians: {RULE}." if metric_name and len(run.members) > 1 else ""
    counts = table(page, [titles[i] for i in kept], [[row[i] for i in kept] for row in cells], caption)
    each = Html()
    if len(run.members) > 1 and run.command == "train":
        names = ["seed", "outcome", "layer", "step", "loss", "metric", "excursion_step", "excursion_size"]
        names += sorted({name for member in run.members for name in member.measures})
        every = [
            [measured(row.cells.get(name)) if name == "metric" else row.cells.get(name) for name in names]
            for row in rows([run], "member")
        ]
        shown_names = [name.replace("metric", metric).replace("_", " ") for name in names]
        each = folded("Every network", table(page, shown_names, every, tall=True))
    return tag("section", tag("h2", "Outcomes"), counts, each)


def _pictures(page: Page, run: Run, result: Mapping[str, Any], heading: str) -> Html:
    """Return the run's figures, made again from what it measured."""
    if run.command == "theory":
        pictures = [stored_figure(page, run.path, name, caption, caption) for name, caption in PICTURES.items()
                    if (run.path / f"{name}.png").exists()]  # fmt: skip
        return tag("section", tag("h2", "Theory"), pictures) if pictures else Html()
    try:
        statistics = Statistics(run.path)
        profiles = statistics.profiles()
        theory = theory_of_rows(result.get("layers")) or theory_of_events(run.path)
        parts = [_profile(page, run, profiles, theory, heading)]
        parts += [_losses(page, run, statistics), _solution(page, run)] if run.command == "train" else []
    except Damaged as damage:
        if run.state in ("running", "interrupted", "failed"):
            return Html()
        return tag("section", tag("h2", "Layer by layer"), tag("p", badge("damaged"), f" {damage}"))
    except ValueError as error:  # numbers that no axis can hold
        return tag("section", tag("h2", "Layer by layer"), tag("p", badge("damaged"), f" not drawn: {error}"))
    return join(*parts)


def _profile(page: Page, run: Run, profiles: dict[int, Profile], theory: Profile, heading: str) -> Html:
    if not profiles:
        return Html()
    from repu_lab.figures import signal_propagation

    steps = sorted(profiles)
    chosen = {steps[round(i * (len(steps) - 1) / (MOST_PROFILES - 1))] for i in range(MOST_PROFILES)}
    dtype = str(run.config.get("dtype"))
    known = dtype if dtype in ("float16", "bfloat16", "float32", "float64") else "float32"
    picture = signal_propagation({step: profiles[step] for step in sorted(chosen)}, theory, dtype=known)
    caption = "Measured, layer by layer: points are medians over networks and probe inputs, bands their 5 to 95 %. " + (
        "Lines are theory for the typical network of this width." if theory else "No theory was stored."
    )
    alt = (
        f"{heading}: {', '.join(quantity.title for quantity in over_depth())} against the layer at step "
        f"{', '.join(map(str, sorted(chosen)))}. " + _in_words(profiles[steps[0]])
    )
    return tag("section", tag("h2", "Layer by layer"), figure(page, picture, alt, caption))


def _in_words(profile: Profile) -> str:
    """Say where log10 K starts and ends."""
    median = profile["log10_K"][1]
    finite = [(layer, value) for layer, value in enumerate(median.tolist(), 1) if abs(value) < float("inf")]
    if not finite:
        return "No layer has a finite K."
    (first, start), (last, end) = finite[0], finite[-1]
    return f"The median of log10 K goes from {start:.3g} at layer {first} to {end:.3g} at layer {last}."


def _losses(page: Page, run: Run, statistics: Statistics) -> Html:
    found = statistics.losses()
    if len(found) < 3 or len(statistics.steps) < 2:
        return Html()
    from repu_lab.figures.losses import losses

    metric = next((member.metric_name for member in run.members if member.metric_name), "metric")
    picture = losses(statistics.steps, found["train_loss"], found["test_loss"], found["test_metric"], metric)
    caption = (
        f"Loss of the batch and of the test split, and {metric} on the test split, at the measured steps: medians and "
        f"5 to 95 % of the networks; {RULE}."
    )
    ends = {
        name: median(value[-1].tolist(), math.inf if name.endswith("loss") else -math.inf)
        for name, value in found.items()
    }
    alt = f"Loss and {metric} over {statistics.steps[-1]} steps; medians at the end: " + ", ".join(
        f"{name.replace('_', ' ')} {shown(value) or 'none'}" for name, value in ends.items()
    )
    return tag("section", tag("h2", "Training"), figure(page, picture, alt, caption))


def _solution(page: Page, run: Run) -> Html:
    if not (run.path / "solution.png").exists():
        return Html()
    caption = "The solution that the median network has learnt, beside the reference."
    return tag("section", tag("h2", "Solution"), stored_figure(page, run.path, "solution", caption, caption))


def _failure(run: Run) -> Html:
    if run.state != "failed":
        return Html()
    try:
        trace = read_text(str(run.path / "traceback.txt"), LOG_LIMIT)
    except Damaged as damage:
        trace = str(damage)
    return tag("section", tag("h2", "Traceback"), preformatted(trace[-LOG_SHOWN:]))


def _circumstances(page: Page, manifest: Mapping[str, Any], log: str) -> Html:
    line = command_line(manifest.get("command_line"))
    return tag(
        "section", tag("h2", "Circumstances"),
        preformatted(line) if line else None,
        about_versions(page, manifest) if manifest else None,
        folded("run.log", preformatted(log[-LOG_SHOWN:], wrap=True)) if log else None,
    )  # fmt: skip


def _object(run: Run, name: str) -> dict[str, Any]:
    try:
        return read_object(str(run.path / name))
    except Damaged:
        return {}


def _log(run: Run) -> str:
    try:
        return read_text(str(run.path / "run.log"), LOG_LIMIT)
    except Damaged:
        return ""
