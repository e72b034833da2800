"""initialization.weights as it is typed: names of runs, groups, and errors."""

import json

import pytest

from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError, result_fields
from repu_lab.configs.schema import WEIGHTS
from repu_lab.runs.building import build, build_group, make_population
from repu_lab.runs.forecasting import forecast_run
from repu_lab.sweeps.group import make_group, shape, train_group
from repu_lab.theory import law

SMALL = ("activation=tanh", "depth=6", "width=32", "members=3", "steps=20", "threads=1")


def job(*overrides: str, command: str = "train"):
    return compose_jobs(command, [*SMALL, *overrides] if command == "train" else list(overrides))[0]


def test_only_other_weights_have_another_name():
    usual, typed, orthogonal, centred = (
        job(*([f"initialization.weights={kind}"] if kind else [])) for kind in ("", *WEIGHTS)
    )
    assert usual.folder == typed.folder
    assert usual.folder.name == "train-tanh-depth6-width32-critical-2e281ac7"
    assert len({usual.folder, orthogonal.folder, centred.folder}) == 3
    assert "-critical-orthogonal-" in orthogonal.folder.name
    assert result_fields(usual.config)["initialization"].keys() == {"name", "c_w", "c_b", "k1"}
    assert WEIGHTS == law.WEIGHTS


def test_orthogonal_and_gaussian_networks_train_side_by_side_and_centred_ones_apart():
    usual, orthogonal, centred = (job(f"initialization.weights={kind}").config for kind in WEIGHTS)
    assert shape(usual) == shape(orthogonal) != shape(centred)
    both = make_population(build_group([usual, orthogonal]))
    alone = build(orthogonal).population()
    assert (both.theta[3:] == alone.theta).all() and not (both.theta[:3] == alone.theta).all(1).any()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("initialization.weights=ortho", "must be one of gaussian, orthogonal, centred, did you mean orthogonal"),
        ("initialization=pytorch initialization.weights=centred", "pytorch draws every weight uniformly"),
        ("initialization.weights=centred width=1", "take width=2 or more"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(typed, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(job(*typed.split()).config)
    assert "\n" not in str(error.value) and str(error.value).startswith("initialization.weights=")


def test_each_job_of_a_group_is_forecast_by_its_own_weights(tmp_path, monkeypatch):
    """MRePU near its edge: gaussian networks run away where orthogonal ones do not."""
    monkeypatch.chdir(tmp_path)
    edge = ["activation=mrepu", "initialization=custom", "initialization.c_w=1", "initialization.k1=0.01"]
    small = ["depth=25", "width=16", "steps=0", "batch_size=8", "probe=4", "statistics=false", "threads=1"]
    jobs = [
        compose_jobs("train", [*edge, *small, f"initialization.weights={kind}"])[0]
        for kind in ("gaussian", "orthogonal")
    ]
    train_group(make_group("train", jobs, tmp_path / "sweep"), lambda share: None)
    forecasts = [json.loads((job.folder / "result.json").read_text())["forecast"] for job in jobs]
    alone = [forecast_run(build(job.config)).probabilities for job in jobs]
    for forecast, wanted in zip(forecasts, alone, strict=True):
        assert forecast["probability"] == round(wanted[forecast["fate"]], 4)
    assert alone[0]["explodes"] > alone[1]["explodes"] + 0.05
