"""From runs to the rows of a table: one a network, a run, or a config."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from repu_lab.catalogue.scanning import Member, Run
from repu_lab.catalogue.summary import Summary, counted, summarise, where
from repu_lab.catalogue.values import Scalar
from repu_lab.configs.command import job_commands
from repu_lab.configs.config import left_out
from repu_lab.networks.quantiles import median

BY = ("member", "run", "config")
# Configs that agree in all but these are one config: the same law, other networks.
SEEDS = ("seed", "members")
# Columns of a share and its interval: of the networks that trained, or that survived where none is trained.
SHARE = ("share", "share_low", "share_high")
SURVIVAL = ("survival", "survival_low", "survival_high")


@dataclass(frozen=True, slots=True)
class Row:
    """A row: a value for each column. Where it stands for several networks, `several` has their single values."""

    cells: dict[str, Scalar]
    config: frozenset[str]  # the columns that are keys of the config
    measures: frozenset[str] = frozenset()  # the columns that the task measures beside its metric
    several: dict[str, frozenset[Scalar]] = field(default_factory=dict)

    def values(self, column: str) -> Iterable[Scalar]:
        """Return every value that a column stands for."""
        return self.several.get(column) or (self.cells.get(column),)


def rows(runs: Sequence[Run], by: str = "member") -> list[Row]:
    """Return a row for each network ("member"), run, or config of the runs, in the order of the runs.

    A run without a result, or with a damaged one, has a row too: its state and a note say why. By config, the same
    network (config and seed) found in several folders counts once. A key that one row has is in all rows whose config
    leaves it out at its default, with that.
    """
    if by == "member":
        table = [_member_row(run, member) for run in runs for member in run.members or [None]]
    elif by == "run":
        table = [_run_row(run) for run in runs]
    else:
        table = [_config_row(group) for group in by_config(runs)]
    present = frozenset(key for row in table for key in row.config)
    return [_completed(row, present) for row in table]


def by_config(runs: Iterable[Run]) -> list[list[Run]]:
    """Return the runs in groups that differ at most in seed and members; one without a config stands alone."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        law = frozenset((key, value) for key, value in run.config.items() if key not in SEEDS and value is not None)
        groups.setdefault((run.command, law) if run.config else run.folder, []).append(run)
    return list(groups.values())


def distinct_members(runs: Iterable[Run]) -> list[Member]:
    """Return the networks of runs of one config; those of the same seed are the same network, and counted once."""
    known: set[int | float] = set()
    distinct = []
    for run in runs:
        fresh = [member for member in run.members if member.seed is None or member.seed not in known]
        known.update(member.seed for member in fresh if member.seed is not None)
        distinct += fresh
    return distinct


def shown_columns(table: Sequence[Row]) -> list[str]:
    """Return the keys of the config in which the rows that have them differ, in the config's order."""
    fullest = sorted(table, key=lambda row: len(row.config), reverse=True)  # which has the most keys in their order
    keys = dict.fromkeys(key for row in fullest for key in row.cells if key in row.config)
    return [key for key in keys if len({row.cells[key] for row in table if key in row.config}) > 1]


def metric_name(table: Sequence[Row]) -> str:
    """Return what the metric is called, `metric` if rows disagree."""
    names = {name for row in table for name in [row.cells.get("metric_name")] if isinstance(name, str)}
    return names.pop() if len(names) == 1 else "metric"


def _completed(row: Row, present: frozenset[str]) -> Row:
    missing = present - row.config if row.config else frozenset()
    usual = {key: value for key, value in _usual(str(row.cells["command"])).items() if key in missing}
    return replace(row, cells=row.cells | usual, config=row.config.union(usual)) if usual else row


@cache
def _usual(command: str) -> dict[str, Scalar]:
    known = job_commands().get(command)
    return {} if known is None else dict(left_out(known.config))


def _member_row(run: Run, member: Member | None) -> Row:
    cells = _of_run(run)
    if member is None:
        nothing = dict.fromkeys(Member._fields[:-1]) | {"seed": run.config.get("seed")}
        return Row(cells | nothing, frozenset(run.config))
    *values, measures = member
    known = dict(zip(Member._fields, values, strict=False))
    return Row({**measures, **cells, **known}, frozenset(run.config), frozenset(measures))


def _run_row(run: Run) -> Row:
    summary = summarise(run.members)
    cells = _of_run(run) | _summary_cells(summary, run) | {"seconds": run.seconds}
    medians = _medians(run.members)
    return Row({**medians, **cells}, frozenset(run.config), frozenset(medians), _several([run], run.members))


def _config_row(group: Sequence[Run]) -> Row:
    members = distinct_members(group)
    first = group[0]
    config = {key: value for key, value in first.config.items() if key not in SEEDS}
    pending = [run for run in group if not run.members]
    cells: dict[str, Scalar] = {"command": first.command, **config, "runs": len(group), "without_result": len(pending)}
    cells |= _summary_cells(summarise(members), first)
    medians = _medians(members)
    return Row({**medians, **cells}, frozenset(config), frozenset(medians), _several(group, members))


def _of_run(run: Run) -> dict[str, Scalar]:
    cells_of_run = {"folder": run.folder, "command": run.command, "state": run.state, "note": run.note or None}
    # A key of a config that is called like one of these cannot be written by the lab: the folder's own word stands.
    return {**run.config, **cells_of_run}


def _summary_cells(summary: Summary, run: Run) -> dict[str, Scalar]:
    low, high = summary.interval or (None, None)
    cells: dict[str, Scalar] = {
        "n": summary.n,
        "trained": summary.good,
        "share": summary.share,
        "share_low": low,
        "share_high": high,
        "outcome": counted(summary.outcomes) or None,
        "layer": where(summary.layers) or None,
        "loss": summary.loss,
        "metric": summary.quartiles[1],
        "metric_q25": summary.quartiles[0],
        "metric_q75": summary.quartiles[2],
        "validation_metric": summary.validation_metric,
        "metric_name": next((member.metric_name for member in run.members), None),
    }
    undefined: tuple[str, ...] = () if run.command == "train" else ("trained", *SHARE)
    if run.command == "propagate":
        cells |= zip(SURVIVAL, (summary.share, low, high), strict=True)
    if run.command == "theory":  # its answer is no network
        undefined += ("n",)
    return cells | dict.fromkeys(undefined)


def _medians(members: Sequence[Member]) -> dict[str, Scalar]:
    """Return the median of each measure; a network without one ranks as the worst."""
    names = dict.fromkeys(name for member in members for name in member.measures)
    return {name: median([member.measures.get(name) for member in members], math.inf) for name in names}


def _several(runs: Sequence[Run], members: Sequence[Member]) -> dict[str, frozenset[Scalar]]:
    of_runs = {name: frozenset(getattr(run, name) for run in runs) for name in ("folder", "state", "note")}
    return of_runs | {name: frozenset(getattr(m, name) for m in members) for name in ("outcome", "layer", "seed")}
