"""A number of a run is the same in result.json, the tables, the page, its pictures, TensorBoard and the claims."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from folders import Checked
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from repu_lab.catalogue import rows, scan
from repu_lab.catalogue.printing import as_table
from repu_lab.claims.lab import Trained
from repu_lab.claims.statistics import median_interval
from repu_lab.claims.trials import metrics
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.figures.losses import losses
from repu_lab.networks.quantiles import RULE
from repu_lab.report import page_of
from repu_lab.report.stored import Statistics
from repu_lab.runs.job import run_job
from repu_lab.sweeps.job_table import median_metric


def train(folder: Path, *overrides: str) -> Path:
    tiny = ["activation=repu", "depth=6", "width=16", "members=8", "steps=8", "batch_size=32", "probe=8"]
    tiny += ["initialization=custom", "optimizer.lr=1e-12"]
    (job,) = compose_jobs("train", [*tiny, *overrides, f"hydra.run.dir={folder}"])
    assert run_job(job_command("train"), job.config, job.folder) == 0
    return folder


def last_scalar(folder: Path, tag: str) -> float | None:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return events.Scalars(tag)[-1].value if tag in events.Tags()["scalars"] else None


def by_hand(values: list[float | None], worst: float) -> float:
    """The median of an even number with those without one as the worst: the mean of the middle two."""
    ordered = sorted(worst if value is None else value for value in values)
    half = len(ordered) // 2
    return (ordered[half - 1] + ordered[half]) / 2


def test_a_median_is_the_same_wherever_it_is_shown(tmp_path):
    """Eight networks, one without a loss and another without a metric: the median of all is not that of the others."""
    folder = train(tmp_path / "run", "initialization.c_w=1.8")
    result = json.loads((folder / "result.json").read_text())
    records = result["members"]
    assert sum(r["loss"] is None for r in records) == sum(r["metric"] is None for r in records) == 1
    loss, metric = by_hand([r["loss"] for r in records], math.inf), by_hand([r["metric"] for r in records], -math.inf)
    assert loss != pytest.approx(np.median([r["loss"] for r in records if r["loss"]]), rel=0.01)
    # tables
    (row,) = rows(scan(folder), "run")
    assert (row.cells["loss"], row.cells["metric"]) == (pytest.approx(loss), pytest.approx(metric))
    assert median_metric(result) == pytest.approx(metric)
    assert f"{metric:.4g} [" in as_table([row], "run")
    # TensorBoard, in float32
    assert last_scalar(folder, "test/loss") == pytest.approx(loss, rel=1e-6)
    assert last_scalar(folder, "test/log10_loss") == pytest.approx(math.log10(loss), rel=1e-6)
    assert last_scalar(folder, "test/metric") == pytest.approx(metric, rel=1e-6)
    # the page: its words, the picture's description and the picture
    page = Checked(page_of(folder))
    assert RULE in page.words
    assert f"test loss {loss:.4g}, test metric {metric:.4g}" in page_of(folder)
    statistics = Statistics(folder)
    stored = statistics.losses()
    figure = losses(statistics.steps, stored["train_loss"], stored["test_loss"], stored["test_metric"])
    drawn = [np.asarray(line.get_ydata(), np.float64)[-1] for axes in figure.axes for line in axes.lines]
    assert drawn[1:] == [pytest.approx(math.log10(loss)), pytest.approx(metric)]
    # the claims count a network without a metric as 0, the worst accuracy
    claimed = Trained(overrides=(), folder=folder, result=result)
    assert median_interval(metrics(claimed.members)).estimate == pytest.approx(metric)


def test_a_median_of_networks_that_were_not_trained_is_a_dash_wherever_it_is_shown(tmp_path):
    """Most of eight explode."""
    folder = train(tmp_path / "run", "initialization.c_w=2.5")
    result = json.loads((folder / "result.json").read_text())
    untrained = sum(record["metric"] is None for record in result["members"])
    assert 5 <= untrained < 8
    assert median_metric(result) is None
    table = as_table(rows(scan(folder), "run"), "run").splitlines()[1].split()
    members = as_table(rows(scan(folder), "member"), "member").splitlines()[1:]
    assert "-" in table and sum(" -  " in line for line in members) == untrained
    assert last_scalar(folder, "test/metric") is None and last_scalar(folder, "test/loss") is None
    assert "test loss none, test metric none" in page_of(folder)


@pytest.mark.parametrize("overrides", [("initialization.c_w=100",), ("initialization.c_w=1", "steps=0")])
def test_an_untrained_run_shows_no_metric(tmp_path, overrides):
    """Neither all exploded nor no steps: the HParams table takes the last value of a tag, so there may be none."""
    folder = train(tmp_path / "run", *overrides)
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 0 and all(record["metric"] is None for record in result["members"])
    assert last_scalar(folder, "test/metric") is None
    assert (" -  " in as_table(rows(scan(folder), "member"), "member")) and ">-<" in page_of(folder)


def test_float64_runs_store_float64_and_losses_beyond_float32_are_kept(tmp_path):
    double, single = (
        train(tmp_path / dtype, "initialization.c_w=1", f"dtype={dtype}", "steps=2") for dtype in ("float64", "float32")
    )
    for folder, wanted in ((double, np.float64), (single, np.float32)):
        with np.load(folder / "statistics.npz") as table:
            assert table["log10_K"].dtype == wanted and table["test_loss"].dtype == np.float64
