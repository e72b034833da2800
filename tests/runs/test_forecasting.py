"""theory.json's contract; what `propagate` measures against what it draws beside it."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.networks.statistics import measure
from repu_lab.runs.building import build
from repu_lab.runs.forecasting import as_record, first_covariance, forecast_run, heading_of, theory_profile, with_rate
from repu_lab.runs.job import run_job
from repu_lab.tracking.digest import depth_profile

ACTIVATIONS = ("repu", "mrepu", "relu", "tanh", "gelu", "softplus")


def strict(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(), parse_constant=lambda constant: pytest.fail(f"{constant} in {path}"))


def ask(command: str, folder: Path, *overrides: str) -> dict[str, Any]:
    (job,) = compose_jobs(command, [f"hydra.run.dir={folder}", *overrides])
    assert run_job(job_command(command), job.config, job.folder) == 0
    return strict(folder / str(job_command(command).result))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_theory_json_holds_what_is_promised(tmp_path, name):
    answer = ask("theory", tmp_path, f"activation={name}", "depth=6", "width=16", "inputs=4")
    for point in answer["critical_points"]:
        assert {"K", "C_W", "C_b", "universality_class"} <= point.keys()
    classes = {
        "repu": [],
        "softplus": [],
        "relu": [(None, "scale-invariant")],
        "tanh": [(0.0, "K*=0 stable")],
        "mrepu": [(0.0, "K*=0 unstable")],
        "gelu": [(3.56155281281, "half-stable"), (0.0, "K*=0 unstable")],
    }
    points = [(point["K"], point["universality_class"]) for point in answer["critical_points"]]
    assert [kind for _, kind in points] == [kind for _, kind in classes[name]]
    for (K, _), (wanted, _) in zip(points, classes[name], strict=True):
        assert (K is None) == (wanted is None) and (K is None or abs(K - wanted) < 1e-10)
    a_1 = {"mrepu": 3.0, "tanh": -2.0, "relu": 0.0, "gelu": 6 / math.pi}
    assert answer["a_1"] == (pytest.approx(a_1[name], rel=1e-9, abs=1e-12) if name in a_1 else None)
    assert (answer["certificate"] is None) == bool(points)
    assert [row["layer"] for row in answer["layers"]] == list(range(1, 8))
    first = answer["layers"][0]
    assert {"log10_K", "chi_parallel", "chi_perp", "ntk"} <= first.keys()
    assert 10 ** first["log10_K"] == pytest.approx(answer["k1"], rel=1e-12) == pytest.approx(first["ntk"], rel=1e-12)
    assert answer["c_w"] > 0 and answer["c_b"] >= 0 and answer["fate"] in answer["probabilities"]
    assert set(answer["overflow_layer"]) == {"float16", "bfloat16", "float32", "float64"}
    assert all(set(entry) == {"K", "z"} for entry in answer["overflow_layer"].values())
    assert {f"{figure}.png" for figure in ("susceptibilities", "kernel", "phase_diagram")} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_theory_of_the_papers_repu(tmp_path):
    """C_W = K^1 = 1: K doubles its distance from K_* = 2/3 in the logarithm; the kernel recursion is K' = 3/2 K^2."""
    answer = ask(
        "theory", tmp_path, "activation=repu", "depth=20", "width=64", "initialization=custom", "initialization.c_w=1"
    )
    assert (answer["c_w"], answer["c_b"], answer["k1"], answer["a_1"]) == (1.0, 0.0, 1.0, None)
    assert answer["fate"] == "explodes" and answer["overflow_layer"]["float32"] == {"K": 9, "z": 10}
    K = 1.0
    for row in answer["layers"][:6]:
        assert 10 ** row["log10_K"] == pytest.approx(K, rel=1e-11)
        assert row["chi_parallel"] == pytest.approx(3 * K, rel=1e-11)
        assert row["chi_perp"] == pytest.approx(2 * K, rel=1e-11)
        K = 1.5 * K * K
    assert answer["layers"][-1]["log10_K"] == pytest.approx(math.log10(2 / 3) + 2.0**20 * math.log10(1.5), rel=1e-11)
    assert "marginal" not in answer["text"] and "repels" in answer["text"]


def test_a_marginal_fixed_point_is_not_called_unstable(tmp_path):
    text = ask("theory", tmp_path, "activation=tanh", "depth=3", "width=16")["text"]
    assert "attracts" in text and "K=0: chi_parallel=1, chi_perp=1, marginal" in text


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_measured_medians_lie_where_the_sampled_law_puts_them(tmp_path, name):
    """Layer by layer, the median of log10 K within four standard errors of theory's, inside the measured 5..95 %.

    K measured is the mean of z^2 over n units: the variance S^l that theory samples, times a chi-square of n degrees.
    The inputs of one network move together, so there are as many independent values as members.
    """
    members, width, depth = 40, 256, 8
    sizes = (f"depth={depth}", f"width={width}", f"members={members}", "probe=8")
    ask("propagate", tmp_path, f"activation={name}", *sizes)
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["layer"]) for row in rows] == list(range(1, depth + 2))
    for row in rows[: depth - 1]:
        # Standard deviation of log10 K over networks, from theory's own 5..95 % range and the chi-square; the median of
        # 40 networks has 1.25 / sqrt(40) of it.
        spread = (float(row["log10_K_theory_q95"]) - float(row["log10_K_theory_q05"])) / 3.29
        spread = math.hypot(spread, math.sqrt(2 / width) / math.log(10))
        bound = 4 * 1.25 * spread / math.sqrt(members)
        assert abs(float(row["log10_K"]) - float(row["log10_K_theory"])) < bound, row["layer"]
        assert float(row["log10_K_q05"]) < float(row["log10_K_theory"]) < float(row["log10_K_q95"])


def test_gradient_of_tanh_grows_as_theory_says(tmp_path):
    """Backwards by chi_perp a layer, and by chi_perp C / n over the last map from n = 256 to C = 10 units."""
    members = 40
    result = ask(
        "propagate",
        tmp_path,
        "activation=tanh",
        "depth=10",
        "width=256",
        f"members={members}",
        "probe=8",
        "initialization=custom",
        "initialization.c_w=1.5",
        "initialization.c_b=0.05",
    )
    layers = result["layers"]
    assert layers[-1]["log10_gradient"] == layers[-1]["log10_gradient_theory"]
    for row in layers[:-1]:
        spread = (row["log10_gradient_q95"] - row["log10_gradient_q05"]) / 3.29
        bound = 4 * 1.25 * spread / math.sqrt(members)
        assert bound < 0.5 and abs(row["log10_gradient"] - row["log10_gradient_theory"]) < bound, row["layer"]


def test_repu_is_followed_in_logarithms_to_layer_200(tmp_path):
    """log10 |log10 K| grows by log10 2 a layer, on both sides of K_*."""
    result = ask(
        "propagate",
        tmp_path,
        "activation=repu",
        "depth=200",
        "width=64",
        "members=4",
        "probe=4",
        "initialization=custom",
        "initialization.c_w=1",
    )
    assert result["log_domain"] and result["outcomes"] == {"exploded": 4}
    size = np.log10(np.abs([row["log10_K"] for row in result["layers"][30:]]))
    assert np.allclose(np.diff(size), math.log10(2), atol=1e-6)
    assert result["layers"][-1]["log10_K"] > 1e50
    assert result["layers"][-1]["log10_K_theory"] > 1e50


def test_forecast_of_a_run_is_that_of_its_batch_and_its_data(experiment):
    run = experiment("activation=tanh", "initialization=custom", "initialization.c_w=1.5", "initialization.c_b=0.1")
    expected = forecast_run(run)
    law = expected.law
    assert (expected.inputs, law.depth, law.width, law.dtype) == (32, 2, 16, "float32")
    assert law.k1 == pytest.approx(1.6, rel=1e-6)
    x = run.task.batch(0, 32).x.double()
    pairs = sorted(1 - (0.1 + 1.5 * (a * b).mean().item()) / 1.6 for a, b in zip(x[::2], x[1::2], strict=True))
    assert 1 - expected.correlation[0] == pytest.approx(pairs[7], rel=1e-3)  # the lower median of 16
    covariance = first_covariance(run.rule, x)
    assert covariance.shape == (32, 32) and np.diagonal(covariance) == pytest.approx(1.6, rel=1e-6)
    assert json.loads(json.dumps(as_record(expected), allow_nan=False))["fate"] == expected.fate


def test_profile_has_the_shapes_of_what_was_measured(experiment):
    run = experiment("activation=relu", "members=3", "depth=4")
    stats = measure(run.population(), run.task.test.x[:8], lambda z_MBC: z_MBC.sum((-1, -2)) / 8)
    measured = depth_profile(stats)
    profile = theory_profile(run, forecast_run(run), measured)
    for name in ("log10_K", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "correlation"):
        assert profile[name].shape == measured[name].shape[1:], name
    # ReLU at C_W = 2: chi_perp = 1 at every K; the last map has 16 inputs and 10 outputs.
    gradient = profile["log10_gradient"]
    assert gradient[-1] == measured["log10_gradient"][1, -1]
    assert np.allclose(gradient[:-1] - gradient[-1], math.log10(10 / 16))


def test_the_verdict_says_of_what_it_is_and_what_the_rate_does(experiment):
    """MRePU p=2, 10 layers of 64: largest stable rate 7.5e-4, of which auto takes a twelfth; for SGD none is known."""
    mrepu = ("activation=mrepu", "activation.p=2", "depth=10", "width=64")
    words = {
        "auto": "of such networks 2% diverge in training at rate 6.2e-05, below 0.00075, the largest stable one",
        "2e-5": "of such networks up to 2% diverge in training at rate 2e-05",
        "2e-4": "training may fail: rate 0.0002 is more than 1/12 of 0.00075, the largest stable one",
        "5e-4": "training may fail: rate 0.0005 is near 0.00075, the largest stable one",
        "3e-3": "training fails: rate 0.003 is above 0.00075, the largest stable one",
    }
    for lr, ending in words.items():
        assert forecast_run(experiment(*mrepu, f"optimizer.lr={lr}")).summary() == f"first pass survives; {ending}"
    residual = forecast_run(experiment("activation=repu", "residual=true", "depth=20", "width=128"))
    assert residual.stable_rate == 0  # 5 of 8 such networks diverged, at step 3
    assert residual.summary().endswith(
        "; training may fail at any rate: networks of large K start at the edge of blowing up"
    )
    tanh = experiment("activation=tanh", "depth=3")
    assert forecast_run(tanh).summary() == "first pass survives; training is stable at rate 0.002"
    assert forecast_run(experiment("activation=tanh", "optimizer=sgd")).summary() == "first pass survives"
    # A twin's forecast is taken over with the run's own rate.
    first = forecast_run(experiment(*mrepu))
    other = with_rate(first, experiment(*mrepu, "optimizer.lr=3e-3"))
    assert other.rate == 3e-3 and other.stable_rate == first.stable_rate and other.probabilities is first.probabilities


def test_a_residual_run_has_a_forecast_and_its_profile(experiment):
    """Identity: K and gradients grow by 1 + C_W a layer up to the last hidden one."""
    run = experiment(
        "activation=identity",
        "residual=true",
        "depth=6",
        "width=256",
        "members=40",
        "initialization=custom",
        "initialization.c_w=0.3",
    )
    expected = forecast_run(run)
    assert expected.fate == "survives"
    stats = measure(run.population(), run.task.test.x[:8], lambda z_MBC: z_MBC.sum((-1, -2)) / 8)
    profile = theory_profile(run, expected, depth_profile(stats))
    assert np.allclose(10 ** profile["log10_chi_perp"][:5], 1.3)
    assert np.allclose(10 ** profile["log10_chi_perp"][5], 0.3)
    measured = np.median(stats.log10_K, axis=(1, 2))
    assert np.abs(measured[:-1] - profile["log10_K"][:-1]).max() < 0.1  # sd .04 a layer at this width, 40 networks
    exploding = experiment("activation=repu", "residual=true", "depth=30", "initialization=he")
    assert forecast_run(exploding).fate == "explodes"


@pytest.mark.parametrize(
    ("activation", "initialization", "why"),
    [
        (
            "repu",
            "critical",
            "8: C_W=0.6667, C_b=0, k1=1\nRePU has no critical point; C_W=0.6667 keeps K=1 at infinite width",
        ),
        ("gelu", "critical", "k1=3.562\nGELU is critical at K=3.562 (attracts from above, repels below)"),
        ("repu", "he", "repu(p=2), depth 3, width 8, he: C_W=2, C_b=0, k1=2"),
    ],
)
def test_the_head_of_a_picture_calls_nothing_critical_that_is_not(activation, initialization, why):
    overrides = [f"activation={activation}", f"initialization={initialization}", "depth=3", "width=8"]
    (job,) = compose_jobs("propagate", overrides)
    assert heading_of(build(job.config)).endswith(why)
