"""What a run's folder has stored for pictures: profiles and losses in statistics.npz, theory in the event file."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repu_lab.configs.files import Damaged
from repu_lab.networks.quantities import NONFINITE, over_depth
from repu_lab.runs.reading import Contents
from repu_lab.tracking.digest import Profile, depth_profile
from repu_lab.tracking.events import EVENTS_NAME, record

GIBIBYTE = 1 << 30
EVENTS_LIMIT = 256 << 20
BY_DEPTH = tuple(quantity.name for quantity in over_depth())
LOSSES = ("train_loss", "test_loss", "test_metric")
DEEPEST = 100_001  # layers
HEADER, CHECKSUM = 8, 4  # bytes of a record's length and of each checksum


class Statistics:
    """The arrays of statistics.npz that pictures need; Damaged if the file cannot be what it should be."""

    def __init__(self, folder: Path):
        """Read the table of a run's folder."""
        names = (*BY_DEPTH, *NONFINITE, *LOSSES, "step", "profiled_step")
        try:
            with Contents(folder).stream("statistics.npz") as file:
                with zipfile.ZipFile(file) as archive:
                    wanted = [archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in archive.namelist()]
                    if sum(entry.file_size for entry in wanted) > GIBIBYTE:
                        raise Damaged("statistics.npz is too large to be drawn")
                file.seek(0)
                with np.load(file, allow_pickle=False) as table:
                    self.values: dict[str, NDArray[Any]] = {name: table[name] for name in names if name in table.files}
            self.steps = [int(step) for step in self.values["step"]]
        except Damaged:
            raise
        except Exception as error:  # zipfile and numpy have many ways to fail on a file that is cut or made up
            raise Damaged("statistics.npz is cut short or damaged") from error

    def profiles(self) -> dict[int, Profile]:
        """Return what is drawn against depth for each profiled step: quantiles over members and inputs."""
        if "log10_K" not in self.values:
            return {}
        measured = range(len(self.values["log10_K"]))
        profiled = {int(step) for step in self.values.get("profiled_step", ())}
        rows = [i for i in measured if self.steps[i] in profiled] or list(measured)[:1]
        try:
            return {self.steps[i]: depth_profile(self._at(i)) for i in rows}
        except Exception as error:  # arrays of shapes that do not belong together
            raise Damaged("statistics.npz holds arrays that do not fit together") from error

    def losses(self) -> dict[str, NDArray[np.float64]]:
        """Return train_loss, test_loss and test_metric, each (steps, members), as far as they are there."""
        curves = {name: np.asarray(self.values[name], np.float64) for name in LOSSES if name in self.values}
        return {name: value for name, value in curves.items() if value.ndim == 2 and len(value) == len(self.steps)}

    def _at(self, row: int) -> Any:
        """Return one step as the statistics of a pass: what the file has of them, as an older one may have fewer."""
        return SimpleNamespace(
            **{name: self.values[name][row] for name in (*BY_DEPTH, *NONFINITE) if name in self.values}
        )


def theory_of_events(folder: Path) -> Profile:
    """Return theory's profiles as training wrote them for TensorBoard, {} where there are none.

    log10_K_quantiles (5, layers) has rows for 5, 50 and 95 %, NaN for the others and where nothing was drawn.
    """
    points: dict[str, dict[int, float]] = {}
    for step, tag, value in _scalars(folder):
        quantity, _, curve = tag.removeprefix("z_").removeprefix("profile_").partition("/")  # older files have no z_
        if tag.startswith(("z_profile_", "profile_")) and curve in ("theory", "theory_q05", "theory_q95"):
            points.setdefault(quantity + curve.removeprefix("theory"), {})[step] = value
    profile = {name: _column(points[name]) for name in BY_DEPTH if name in points}
    if "log10_K_q05" in points and "log10_K_q95" in points:
        profile["log10_K_quantiles"] = _quantiles(*(_column(points[f"log10_K{q}"]) for q in ("_q05", "", "_q95")))
    return profile


def theory_of_rows(rows: object) -> Profile:
    """Return theory's profiles from the layers of a propagate run's result, {} where it has none."""
    if not (isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows)):
        return {}

    def column(name: str) -> NDArray[np.float64]:
        values = [row.get(name) for row in rows]
        return np.array([value if isinstance(value, (int, float)) else np.nan for value in values], np.float64)

    # What the output layer does not have ends before it.
    columns = {q.name: column(f"{q.name}_theory")[: None if q.output else -1] for q in over_depth()}
    profile = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    if "log10_K" in profile:
        edges = column("log10_K_theory_q05"), profile["log10_K"], column("log10_K_theory_q95")
        profile["log10_K_quantiles"] = _quantiles(*edges)
    return profile


def _scalars(folder: Path) -> Iterator[tuple[int, str, float]]:
    """Yield (step, tag, value) of the scalars of an event file that name theory, up to its first damaged record."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    try:
        content = Contents(folder).content(EVENTS_NAME, EVENTS_LIMIT)
    except Damaged:
        return
    place = 0
    while place + HEADER <= len(content):
        length = int.from_bytes(content[place : place + HEADER], "little")
        start = place + HEADER + CHECKSUM
        data = content[start : start + length]
        place = start + length + CHECKSUM
        if len(data) < length:
            return
        if b"/theory" not in data:
            continue
        if record(data) != content[start - HEADER - CHECKSUM : place]:
            return
        try:
            event = Event.FromString(data)
        except DecodeError:
            return
        if 1 <= event.step <= DEEPEST:
            yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)


def _column(points: Mapping[int, float]) -> NDArray[np.float64]:
    column = np.full(max(points), np.nan)
    for layer, value in points.items():
        column[layer - 1] = value
    return column


def _quantiles(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the 5, 50 and 95 % columns into the shape of theory's five quantiles."""
    table = np.full((5, max(map(len, columns))), np.nan)
    for row, column in zip((0, 2, 4), columns, strict=True):
        table[row, : len(column)] = column
    return table
