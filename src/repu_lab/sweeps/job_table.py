"""The table at the end of a sweep, and what it is made of: the folders of the jobs."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from repu_lab.configs.command import EXIT_FAILED, job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError, config_hash
from repu_lab.configs.files import Damaged
from repu_lab.configs.text import escaped, printable
from repu_lab.networks.quantiles import median
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.reading import Contents, error_line

WHOLE = ("finished", "extended")  # states of jobs that a sweep leaves as they are
KEY = re.compile(r"\w*\w")  # the first word of an override is its key, or the group that this is in


def print_table(command: str, jobs: Sequence[Job]) -> int:
    """Print one line a job: what became of its members, what sets it apart, where it lies; return the exit code."""
    definition, columns = job_command(command), job_command(command).columns
    rows, networks, others, code = [], Counter[str](), Counter[str](), 0
    failures: dict[str, list[Job]] = {}
    for job, typed in zip(jobs, own_overrides(jobs), strict=True):
        manifest, result = held(command, job.folder)
        if manifest.get("status") != "finished" or result is None:
            status = manifest.get("status", "not started")
            status = "damaged" if status == "finished" or not isinstance(status, str) else status
            first, *cells = status, *[""] * (max(len(columns), 3) - 1)
            code = EXIT_FAILED
            others[status] += 1
            if status == "failed":
                failures.setdefault(error_line(job.folder), []).append(job)
        else:
            first, *cells = _outcomes(result) if definition.row is None else definition.row(result)
            networks.update(result.get("outcomes", {"done": 1}))
            code = code or definition.ending(job.config, result)[0]
        if (steps := extended(command, job, manifest)) is not None:
            first = f"extended to {steps} steps, {first}"
        rows.append((first, *cells, typed, job.folder.name))
    print(f"{len(jobs)} job{'s' * (len(jobs) != 1)} in {jobs[0].sweep}:")
    print_columns([(*columns, "", "folder"), *rows] if columns else rows)
    total = [f"{count} {name}" for name, count in networks.most_common()]
    total += [f"{count} job{'s' * (count != 1)} {name}" for name, count in others.most_common()]
    print(f"total: {', '.join(total)}")
    for error, failed in failures.items():
        print(f"failed: {printable(error)} (in {len(failed)}); see {failed[0].folder / 'traceback.txt'}")
    return code


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text, every column but the last as wide as its widest entry."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True) if width)
        print(escaped(("  " + "  ".join(cells)).rstrip()))


def own_overrides(jobs: Sequence[Job]) -> list[str]:
    """Return what sets each job apart from the others: overrides that not all share, of keys that decide its result."""
    aside = {"hydra"} | {key.name for key in fields(jobs[0].config) if not key.metadata["affects_result"]}
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [
        " ".join(text for text in job.overrides if text not in shared and KEY.findall(text)[0] not in aside)
        for job in jobs
    ]


def finished_result(command: str, job: Job) -> dict[str, Any] | None:
    """Return what a finished job left, None if there is none; ConfigError if its folder holds another run."""
    return RunFolder(job.folder).finished(command, job.config, job_command(command).result or "manifest.json")


def held(command: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the manifest in a job's folder, {} if there is none, and its result, None if it is missing or damaged."""
    contents, name = Contents(folder), job_command(command).result
    try:
        manifest = contents.manifest
    except Damaged:
        manifest = {}
    try:
        return manifest, contents.manifest if name is None else contents.json(name)
    except Damaged:
        return manifest, None


def job_state(command: str, job: Job) -> str:
    """Return finished, damaged, extended (see below), new, or as its manifest says; ConfigError for another run."""
    try:
        if finished_result(command, job) is not None:
            return "finished"
    except ConfigError:
        if extended(command, job, held(command, job.folder)[0]) is None:
            raise
        return "extended"
    status = str((RunFolder(job.folder).manifest() or {}).get("status", "new"))
    return "damaged" if status in WHOLE else status


def extended(command: str, job: Job, manifest: Mapping[str, Any]) -> int | None:
    """Return the steps to which `resume=DIR steps=N` took a job of a sweep, None if it has its own."""
    there = manifest.get("config_hash")
    if not job_command(command).populations or there in (None, config_hash(command, job.config)):
        return None
    try:
        steps = Contents(job.folder).config().get("steps")
    except Damaged:
        return None
    longer = isinstance(steps, int) and steps > job.config.steps
    return steps if longer and there == config_hash(command, replace(job.config, steps=steps)) else None


def error_of(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """Return the error of a job with this manifest, in one line, None if it finished."""
    return None if manifest.get("status") == "finished" else error_line(folder)


def median_metric(result: Mapping[str, Any]) -> float | None:
    """Return the median of the members' metric, None where there is none or it falls on a network without one."""
    return median([member.get("metric") for member in result.get("members", [])], -math.inf)


def _outcomes(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the outcomes, the median metric and the seconds in words."""
    outcomes = result.get("outcomes")
    if not isinstance(outcomes, dict):
        return "done", "", ""
    several = sum(outcomes.values()) > 1
    members, metric = result.get("members", []), median_metric(result)
    return (
        ", ".join(f"{outcome} {count}" if several else outcome for outcome, count in outcomes.items()),
        f"{members[0]['metric_name']} {'-' if metric is None else f'{metric:.3f}'}"
        if members and "metric_name" in members[0]
        else "",
        f"{result['seconds']:.1f} s" if "seconds" in result else "",
    )
