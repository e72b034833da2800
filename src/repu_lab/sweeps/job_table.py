"""The table at the end of a sweep, and what it is made of: the folders of the jobs."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from repu_lab.configs.composition import Job
from repu_lab.configs.config import ConfigError, config_hash
from repu_lab.configs.files import Damaged, read_bytes
from repu_lab.configs.mistakes import escaped, printable
from repu_lab.networks.quantiles import median
from repu_lab.runs.commands import RESULTS, meets
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.reading import Contents

FAILED, NOT_MET = 1, 3
ANSWER = ("forecast", "class", "C_W", "C_b", "K*", "a_1")  # of theory
WHOLE = ("finished", "extended")  # states of jobs that a sweep leaves as they are
TRACEBACK_LIMIT = 1 << 20  # bytes


def print_table(command: str, jobs: Sequence[Job]) -> int:
    """Print one line a job: what became of its members, what sets it apart, where it lies; return the exit code."""
    own = own_overrides(jobs)
    rows, networks, others, code = [], Counter[str](), Counter[str](), 0
    failures: dict[str, list[Job]] = {}
    for job, typed in zip(jobs, own, strict=True):
        folder = RunFolder(job.folder)
        manifest, result = folder.manifest() or {}, folder.read_json(RESULTS[command])
        steps = extended(command, job)
        more = [] if steps is None else [f"extended to {steps} steps"]
        if manifest.get("status") != "finished" or result is None:
            status = manifest.get("status", "not started")
            status = "damaged" if status == "finished" or not isinstance(status, str) else status
            became, numbers = [status], ("",) * (len(ANSWER) - 1 if command == "theory" else 2)
            code = FAILED
            others[status] += 1
            if status == "failed":
                failures.setdefault(error_of(folder) or "", []).append(job)
        else:
            became, numbers = _became(result) if command != "theory" else _answered(result)
            networks.update(result.get("outcomes", {"done": 1}))
            if command == "train" and not meets(job.config, result):
                code = code or NOT_MET
        rows.append((", ".join([*more, *became]), *numbers, typed, job.folder.name))
    print(f"{len(jobs)} job{'s' * (len(jobs) != 1)} in {jobs[0].sweep}:")
    print_columns([(*ANSWER, "", "folder"), *rows] if command == "theory" else rows)
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
    """Return what sets each job apart from the others: the overrides that not all share."""
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return [" ".join(override for override in job.overrides if override not in shared) for job in jobs]


def stored_result(command: str, job: Job) -> dict[str, Any] | None:
    """Return what a finished job left, None if there is none; ConfigError if its folder holds another run."""
    return RunFolder(job.folder).finished(command, job.config, RESULTS[command])


def job_state(command: str, job: Job) -> str:
    """Return finished, damaged, extended (see below), new, or as its manifest says; ConfigError for another run."""
    try:
        if stored_result(command, job) is not None:
            return "finished"
    except ConfigError:
        if extended(command, job) is None:
            raise
        return "extended"
    status = str((RunFolder(job.folder).manifest() or {}).get("status", "new"))
    return "damaged" if status in WHOLE else status


def extended(command: str, job: Job) -> int | None:
    """Return the steps to which `resume=DIR steps=N` took a job of a sweep, None if it has its own."""
    there = (RunFolder(job.folder).manifest() or {}).get("config_hash")
    if command != "train" or there in (None, config_hash(command, job.config)):
        return None
    try:
        steps = Contents(job.folder).config().get("steps")
    except Damaged:
        return None
    longer = isinstance(steps, int) and steps > job.config.steps
    return steps if longer and there == config_hash(command, replace(job.config, steps=steps)) else None


def error_of(folder: RunFolder) -> str | None:
    """Return the error of a job that failed, in one line, None if it finished."""
    if (folder.manifest() or {}).get("status") == "finished":
        return None
    try:
        lines = read_bytes(folder.path / "traceback.txt", TRACEBACK_LIMIT).decode(errors="replace").strip().splitlines()
    except Damaged:
        lines = []
    # A traceback of Python's says at its end what a dead process's says first.
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0]) if lines else "ended without a result"


def median_metric(result: Mapping[str, Any]) -> float | None:
    """Return the median of the members' metric, None where there is none or it falls on a network without one."""
    return median([member.get("metric") for member in result.get("members", [])], -math.inf)


def _answered(result: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """Return what theory says of an activation, the cells of ANSWER, four digits each."""
    points = result.get("critical_points") or []
    # That which initialization=critical takes, where there is one: the others stand in theory.json.
    point = next((p for p in points if p["C_W"] == result.get("c_w")), points[0] if points else {})
    numbers = (point.get("C_W"), point.get("C_b"), point.get("K"), result.get("a_1"))
    classes = ", ".join(dict.fromkeys(point["universality_class"] for point in points)) or "no critical point"
    cells = ["any" if number is None and i == 2 and points else _digits(number) for i, number in enumerate(numbers)]
    return [str(result.get("fate"))], (classes, *cells)


def _digits(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "-"


def _became(result: Mapping[str, Any]) -> tuple[list[str], tuple[str, str]]:
    """Return the outcomes, and the median metric and the seconds in words."""
    outcomes = result.get("outcomes")
    if not isinstance(outcomes, dict):
        return ["done"], ("", "")
    several = sum(outcomes.values()) > 1
    members, metric = result.get("members", []), median_metric(result)
    seconds = f"{result['seconds']:.1f} s" if "seconds" in result else ""
    return [f"{outcome} {count}" if several else outcome for outcome, count in outcomes.items()], (
        f"{members[0]['metric_name']} {'-' if metric is None else f'{metric:.3f}'}" if members else "",
        seconds,
    )
