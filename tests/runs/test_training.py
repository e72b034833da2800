"""Every outcome is reached by a network made for it; a member trains as it would alone; results are strict JSON."""

import json
import math

import numpy as np
import pytest
import torch

from repu_lab.runs.building import load_population
from repu_lab.runs.outcome import Progress
from repu_lab.runs.schedule import is_measured, is_profiled
from repu_lab.runs.state import State
from repu_lab.runs.stepping import train_step

OUTCOMES = {
    "exploded": ("activation=repu", "depth=20", "initialization=he"),
    "vanished": ("experiment=repu_vanishes", "depth=20"),
    "vanished, gradient only": ("activation=erf", "depth=8", "initialization=custom", "initialization.c_w=1e9"),
    "diverged, not finite": ("activation=relu", "initialization=he", "optimizer=sgd", "optimizer.lr=1e30", "steps=4"),
    "diverged, large": ("activation=relu", "initialization=he", "optimizer.lr=100"),
    "trained": ("activation=relu", "initialization=he", "width=64", "steps=150"),
    "trained, regression": ("activation=tanh", "task=polynomial", "task.target=x", "width=64", "steps=150"),
    "learning": ("activation=relu", "initialization=he", "width=64", "steps=12"),
    "stalled": ("activation=relu", "initialization=he", "optimizer.lr=0"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_outcome_is_reached(run, name):
    result, _ = run("members=2", *OUTCOMES[name])
    wanted = name.split(",")[0]
    assert result["outcomes"] == {wanted: 2}, result["members"]
    for i, member in enumerate(result["members"]):
        assert member["seed"] == i and member["metric_name"] in ("accuracy", "r2")
        if wanted == "exploded":
            assert (member["step"], member["loss"]) == (0, None) and 6 <= member["layer"] <= 9
        if wanted == "vanished":
            assert member["step"] == 0 and member["layer"] >= 1
        if name == "diverged, not finite":
            assert 0 < member["step"] < 4 and member["layer"] >= 1
        if name == "diverged, large":
            assert member["layer"] is None and member["loss"] > 10 * math.log(10)
        if wanted in ("trained", "learning"):
            assert member["layer"] is None and 0 <= member["step"] <= result["steps"]
    if wanted == "exploded":  # nothing is left to train
        assert result["steps"] == 0 and "not trained, since no network is finite" in result["verdict"]
        assert all(member["metric"] is None for member in result["members"])
    else:
        assert result["steps"] > 0 and "not trained" not in result["verdict"]


def test_a_rise_that_comes_back_is_an_excursion_and_no_outcome(run):
    """MRePU at depth 20 passes ten times its first loss within a few steps and recovers."""
    result, _ = run(
        "activation=mrepu",
        "depth=20",
        "width=128",
        "members=4",
        "steps=60",
        "batch_size=128",
        "optimizer.lr=5e-4",
        "initialization=custom",
        "initialization.c_w=1",
        "initialization.k1=0.003",
    )
    risen = [member for member in result["members"] if member["excursion_step"] is not None]
    assert len(risen) >= 2
    for member in risen:
        assert member["outcome"] in ("learning", "trained")
        assert 1 <= member["excursion_step"] <= 10 and member["excursion_size"] > 10


def test_headline_repu_explodes_at_layers_8_to_10(run):
    """Theory: one input overflows float32 at layers 9 (K) and 10 (z); the largest of a batch does so a layer sooner."""
    result, _ = run(
        "activation=repu",
        "depth=50",
        "initialization=custom",
        "initialization.c_w=1",
        "width=256",
        "members=32",
        "batch_size=128",
        "statistics=false",
    )
    layers = [member["layer"] for member in result["members"] if member["outcome"] == "exploded"]
    assert sum(8 <= layer <= 10 for layer in layers) >= 30


def test_trained_networks_can_be_loaded_and_taken_away(run, experiment):
    result, folder = run("activation=relu", "members=2", "width=64", "steps=60")
    task = experiment("members=2").task
    population = load_population(folder.path)
    for i, member in enumerate(result["members"]):
        evaluation = task.evaluate(population.member(i)(task.test.x)[None])
        assert evaluation.metric.item() == pytest.approx(member["metric"], abs=2 / 240)


def test_members_lose_as_they_would_alone(experiment):
    """50 steps in float64: each member's losses equal those of a run of one with its seed, to 1e-5."""
    steps, settings = 50, ("activation=gelu", "initialization=he", "dtype=float64", "depth=4", "seed=5")

    def losses(*overrides: str) -> torch.Tensor:
        built = experiment(*settings, *overrides)
        state = State.start([built])
        rows = [
            train_step(state.population, state.optimizer, built.task, built.task.batch(step, 32), state.progress.alive)
            for step in range(steps)
        ]
        return torch.stack(rows)

    together = losses("members=3")
    for i in range(3):
        alone = losses(f"seed={5 + i}")
        torch.testing.assert_close(together[:, i], alone[:, 0], rtol=1e-5, atol=0)


def test_one_members_death_leaves_the_others_bit_for_bit(experiment):
    def final(poison: bool) -> torch.Tensor:
        built = experiment("activation=relu", "initialization=he", "members=3")
        state = State.start([built])
        for step in range(10):
            if poison and step == 4:
                with torch.no_grad():
                    state.population.theta[1, 0] = torch.inf
            batch = built.task.batch(step, 32)
            state.progress.record_loss(
                step, train_step(state.population, state.optimizer, built.task, batch, state.progress.alive)
            )
        if poison:
            assert state.progress.alive.tolist() == [True, False, True]
            assert state.progress.updates.tolist() == [10, 4, 10]
        return state.population.theta.detach()

    healthy, poisoned = final(False), final(True)
    assert torch.equal(healthy[[0, 2]], poisoned[[0, 2]])


def test_result_and_folder_keep_their_contract(run):
    result, folder = run("activation=repu", "initialization=he", "depth=9", "members=2")
    text = (folder.path / "result.json").read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in result.json"))
    assert {"outcomes", "members", "steps", "seconds", "steps_per_second", "config_hash"} <= result.keys()
    manifest = folder.manifest()
    assert manifest is not None
    assert manifest["status"] == "finished" and manifest["end"] >= manifest["start"]
    assert manifest["config_hash"] == result["config_hash"] and manifest["versions"]["torch"] == torch.__version__
    assert "measured: exploded" in (folder.path / "run.log").read_text()
    with np.load(folder.path / "statistics.npz") as file:
        table = dict(file)
    axes = json.loads(str(table["axes"]))
    sizes = {
        "step": len(table["step"]),
        "profiled_step": len(table["profiled_step"]),
        "layer": 10,
        "member": 2,
        "input": 8,
        "pair": 4,
        "bin": len(table["histogram_edges"]) - 1,
    }
    for name, names in axes.items():
        hidden_only = name in ("log10_chi_parallel", "log10_chi_perp", "dead")
        wanted = tuple(sizes[axis] - (axis == "layer" and hidden_only) for axis in names)
        assert table[name].shape == wanted, name


def test_the_schedule_is_dense_at_the_start_geometric_later_and_ends_with_the_run():
    measured = [step for step in range(1001) if is_measured(step, 1000)]
    assert measured[:8] == [0, 1, 2, 3, 4, 6, 8, 11] and measured[-1] == 1000 and len(measured) == 21
    profiled = [step for step in range(1001) if is_profiled(step, 1000)]
    assert profiled == [0, 1, 8, 64, 512, 1000]
    assert all(is_measured(step, 10**6) for step in range(10**4) if is_profiled(step, 10**6))


def test_looks_change_nothing_but_what_is_seen_on_the_way(run):
    """The weights are the same bits; what is written of the two ends, too."""
    keys = ("activation=relu", "initialization=he", "width=64", "steps=40", "members=2")
    along, folder = run(*keys)
    ends, seldom = run(*keys, "looks=ends", to="seldom")
    assert torch.equal(*(torch.load(each.path / "weights.pt")["theta"] for each in (folder, seldom)))
    for one, other in zip(along["members"], ends["members"], strict=True):
        assert one["step"] < other["step"] == 40  # where it was first seen to learn
        assert one | {"step": 40} == other
    with np.load(folder.path / "statistics.npz") as file, np.load(seldom.path / "statistics.npz") as table:
        assert table["step"].tolist() == table["profiled_step"].tolist() == [0, 40]
        for name in ("log10_K", "test_metric", "train_loss"):
            np.testing.assert_array_equal(table[name], file[name][[0, -1]])


def test_progress_ignores_the_losses_of_frozen_members():
    progress = Progress.start(2, "cpu")
    progress.record_loss(0, torch.tensor([1.0, 1.0]))
    progress.alive[1] = False
    progress.record_loss(1, torch.tensor([20.0, math.nan]))
    assert progress.last_loss.tolist() == [20, 1] and progress.peak_loss.tolist() == [20, 1]
    assert progress.excursion_step.tolist() == [1, -1] and progress.updates.tolist() == [2, 1]
