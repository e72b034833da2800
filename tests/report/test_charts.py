"""Pictures of sweeps and of losses, and what a run's folder has stored for them."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from repu_lab.catalogue import Damaged, Row
from repu_lab.figures.losses import losses
from repu_lab.figures.propagation import signal_propagation
from repu_lab.report.charts import chart, independent_keys, name_of
from repu_lab.report.page import Page
from repu_lab.report.pictures import drawn as picture_of
from repu_lab.report.stored import Statistics, theory_of_events, theory_of_rows
from repu_lab.tracking.events import EVENTS_NAME, EventFile
from repu_lab.tracking.tracker import Tracker


def row(share: float | None, **config: object) -> Row:
    """A share with an interval from half of it to half-way up to 1."""
    cells = {"share": share, "share_low": share and share / 2, "share_high": share and (1 + share) / 2, **config}
    return Row(cells, frozenset(config))  # type: ignore[arg-type]


def curves_of(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    curves = {}
    for bars in axes.containers:
        line = bars[0]
        curves[bars.get_label()] = (np.round(line.get_xdata()).tolist(), line.get_ydata().tolist())
    return curves


def intervals_of(figure: Figure, along: int) -> list[list[float]]:
    """Return where the intervals begin and end, series after series; along: 0 for x, 1 for y."""
    (axes,) = figure.axes
    lines = [bars[2][0] for bars in axes.containers]
    return [[segment[0][along], segment[1][along]] for line in lines for segment in line.get_segments()]


def test_one_number_swept_gives_curves():
    table = [row(d / 40, activation=a, depth=d, p=p) for a, p in (("repu", 2), ("tanh", None)) for d in (20, 5, 10)]
    assert independent_keys(table) == ["activation", "depth"]  # p follows from the activation
    drawn = chart(table)
    assert drawn is not None and "against depth" in drawn.caption
    assert curves_of(drawn.figure) == {name: ([0, 1, 2], [0.125, 0.25, 0.5]) for name in ("repu", "tanh")}
    assert intervals_of(drawn.figure, 1) == pytest.approx(
        np.array([[0.0625, 0.5625], [0.125, 0.625], [0.25, 0.75]] * 2)
    )
    assert "repu: share trained from 0.12 to 0.50" in drawn.alt


def test_two_numbers_swept_give_a_map():
    table = [row(d * c / 100, activation="repu", depth=d, c_w=c) for d in (5, 10, 20, 50) for c in (0.5, 1.0, 2.0)]
    drawn = chart([r for r in table if (r.cells["depth"], r.cells["c_w"]) != (10, 2.0)])
    assert drawn is not None
    (axes,) = (axes for axes in drawn.figure.axes if axes.get_visible())
    (mesh,) = (drawn for drawn in axes.collections if isinstance(drawn, QuadMesh))
    cells = np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan).reshape(3, 4)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "10", "20", "50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.5", "1", "2"]
    assert cells[0].tolist() == [0.025, 0.05, 0.1, 0.25] and np.isnan(cells).sum() == 1


def test_words_swept_give_bars_and_nothing_swept_gives_nothing():
    drawn = chart([row(share, activation=name) for name, share in (("repu", 0.25), ("tanh", 0.5))])
    assert drawn is not None and drawn.alt == "repu: 0.25; tanh: 0.50"
    (axes,) = drawn.figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    (bars,) = axes.containers
    drawn_at = dict(zip(np.asarray(bars[0].get_ydata()).tolist(), bars[0].get_xdata(), strict=True))
    assert {name: drawn_at[at] for name, at in zip(names, axes.get_yticks(), strict=True)} == {
        "repu": 0.25,
        "tanh": 0.5,
    }
    assert intervals_of(drawn.figure, 0) == pytest.approx(np.array([[0.125, 0.625], [0.25, 0.75]]))
    assert chart([row(0.5, activation="repu")]) is None
    assert chart([row(None, activation=name) for name in ("repu", "tanh")]) is None
    assert chart([row(0.5, activation=f"a{i}") for i in range(100)]) is None


def test_names_from_files_are_no_formulas():
    table = [row(0.5, activation=name) for name in ("$\\frac{", "a_b^c", "\x1b[2J", "字", "x" * 300)]
    drawn = chart(table)
    assert drawn is not None
    assert picture_of(Page(""), drawn.figure, drawn.alt).startswith("<figure")  # no letter or sign stops the drawing
    assert name_of(row(0.5, depth=5, activation="repu", lr=0.001), ["activation", "depth", "lr"]) == (
        "repu, depth=5, lr=0.001"
    )
    named = [name_of(row(0.5, activation="repu", norm=norm), ["activation", "norm"]) for norm in ("none", "rms")]
    assert named == ["repu", "repu, rms"]


def test_losses_are_medians_and_gaps():
    train = np.array([[1.0, 10.0, 100.0], [0.1, 1.0, np.nan], [np.nan, np.nan, 0.1]])
    figure = losses([0, 1, 10], train, train, np.array([[0.1, 0.2, 0.3]] * 3), "accuracy")
    left, right = figure.axes
    assert left.lines[0].get_ydata() == pytest.approx([1.0, 0.0, np.nan], nan_ok=True)
    assert right.lines[0].get_ydata() == pytest.approx([0.2] * 3)


# --- what a run has stored


def test_theory_is_read_back_from_the_event_file(tmp_path):
    theory = {
        "log10_K": np.array([0.0, -1.5, -40.0, -500.0]),
        "correlation": np.array([0.1, 0.2, 0.3, 0.4]),
        "log10_chi_perp": np.array([0.1, 0.2, 0.3]),
        "log10_K_quantiles": np.linspace(-3, 3, 20).reshape(5, 4),
    }
    with Tracker(tmp_path, depth=3, members=2) as tracker:
        tracker.theory(theory)
        tracker.scalars(1, {"train/active": 2.0})
    stored = theory_of_events(tmp_path)
    assert stored["log10_K"] == pytest.approx([0.0, -1.5, -40.0])  # layer 4 is beyond float32, and not drawn there
    assert stored["correlation"] == pytest.approx([0.1, 0.2, 0.3])
    assert stored["log10_K_quantiles"][0] == pytest.approx(theory["log10_K_quantiles"][0])
    assert stored["log10_K_quantiles"][4] == pytest.approx(theory["log10_K_quantiles"][4])
    content = (tmp_path / EVENTS_NAME).read_bytes()
    for damaged in (
        content[:-3],
        content[: len(content) // 2],
        b"",
        b"\xff" * 100,
        content[:60] + b"\0" + content[61:],
    ):
        (tmp_path / EVENTS_NAME).write_bytes(damaged)
        assert set(theory_of_events(tmp_path)) <= set(stored)


def test_theory_of_an_older_event_file_is_read_too(tmp_path):
    """Tags had no z in front."""
    file = EventFile(tmp_path / EVENTS_NAME)
    file.write((layer, [Summary.Value(tag="profile_log10_K/theory", simple_value=-layer)]) for layer in (1, 2))
    file.close()
    assert theory_of_events(tmp_path)["log10_K"].tolist() == [-1.0, -2.0]


def test_theory_of_a_result_and_of_none():
    rows = [{"log10_K_theory": -float(l), "log10_chi_perp_theory": 0.5, "log10_K_theory_q05": None} for l in range(3)]
    theory = theory_of_rows(rows)
    assert theory["log10_K"].tolist() == [0.0, -1.0, -2.0] and theory["log10_chi_perp"].tolist() == [0.5, 0.5]
    assert np.isnan(theory["log10_K_quantiles"][0]).all()
    assert theory_of_rows(None) == theory_of_rows([]) == theory_of_rows([1]) == theory_of_rows([{}]) == {}


def test_profiles_are_quantiles_of_the_stored_numbers(tmp_path: Path):
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(2, 4, 3, 8)) for name in ("log10_K", "log10_gradient", "correlation")}
    values |= {name: rng.normal(size=(2, 3, 3, 8)) for name in ("log10_chi_parallel", "log10_chi_perp")}
    counts = {name: np.zeros((2, 4, 3), int) for name in ("nan", "plus_inf", "minus_inf")}
    counts["nan"][1, 2, 0] = 5
    arrays = {"step": np.array([0, 7]), "profiled_step": np.array([7]), **values, **counts}
    np.savez(tmp_path / "statistics.npz", allow_pickle=False, **arrays)
    statistics = Statistics(tmp_path)
    assert list(statistics.profiles()) == [7]
    profile = statistics.profiles()[7]
    for name, table in values.items():
        assert profile[name] == pytest.approx(
            np.quantile(table[1].reshape(len(table[1]), -1), (0.05, 0.5, 0.95), axis=1)
        )
    assert profile["nonfinite"].tolist() == [0, 0, 5, 0]
    assert isinstance(signal_propagation(statistics.profiles()), Figure)


def test_statistics_that_cannot_be_read_are_damaged(tmp_path):
    with pytest.raises(Damaged, match="is missing"):
        Statistics(tmp_path)
    np.savez(tmp_path / "statistics.npz", step=np.array([json.dumps({})], dtype=object))
    with pytest.raises(Damaged, match="is cut short or damaged"):
        Statistics(tmp_path)
