"""The next command that a failed run names: it is typed here, and the run that it makes fares better."""

import json
import shlex

import pytest

from repu_lab.cli import main
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs, composer
from repu_lab.configs.configfile import unfold
from repu_lab.runs import analysis
from repu_lab.runs.advice import next_command, next_of_jobs
from repu_lab.runs.building import build
from repu_lab.runs.forecasting import forecast_run
from repu_lab.runs.job import run_job
from repu_lab.runs.paths import where_to_look

SMALL = ("width=32", "members=4", "steps=150", "batch_size=64", "statistics=false", "threads=1")
FAILURES = {
    "exploded": ("activation=repu", "depth=20"),
    "exploded, orthogonal": ("activation=repu", "depth=20", "initialization.weights=orthogonal"),
    "exploded, k1 too large": ("activation=mrepu", "depth=20", "initialization=custom", "initialization.c_w=1"),
    "vanished": ("activation=relu", "depth=60", "initialization=custom", "initialization.c_w=0.05"),
    "vanished in half precision": (
        "activation=tanh", "depth=20", "dtype=bfloat16", "initialization=custom", "initialization.c_w=0.5",
        "initialization.c_b=0.1",
    ),
    "diverged": ("activation=mrepu", "activation.p=2", "optimizer.lr=3e-3", "steps=40"),
    "diverged, scaled": ("activation=mrepu", "activation.scale=20", "optimizer.lr=0.1", "steps=40"),
    "1 of 8 diverged": ("activation=mrepu", "activation.p=2", "depth=6", "members=8", "optimizer.lr=1e-4", "steps=100"),
    "3 of 8 exploded": (
        "activation=mrepu", "depth=30", "members=8", "steps=20", "initialization=custom", "initialization.c_w=1",
        "initialization.k1=0.004",
    ),
    "stalled, too fast": ("activation=relu", "optimizer.lr=0.3", "steps=40"),
    "stalled, too slow": ("activation=relu", "optimizer.lr=1e-9", "steps=40"),
    "stalled, too soon": ("activation=gelu", "steps=2"),
    "stalled, inputs collapsed": ("activation=sigmoid", "depth=10", "initialization=lecun", "steps=40"),
}  # fmt: skip


def run(tmp_path, name: str, overrides: list[str]) -> dict:
    (job,) = compose_jobs("train", unfold("train", [*overrides, f"hydra.run.dir={tmp_path / name}"]))
    assert run_job(job_command("train"), job.config, job.folder) == 0
    return json.loads((tmp_path / name / "result.json").read_text())


@pytest.mark.parametrize("name", FAILURES)
def test_the_next_command_helps(tmp_path, capsys, name):
    before = run(tmp_path, "before", [*SMALL, *FAILURES[name]])
    outcomes = before["outcomes"]
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     ")]
    assert str(tmp_path) not in str(before)  # the same run in another folder has the same result
    what, _, command = next_line.partition(": repu-lab train ")
    if name == "diverged":
        assert "diverged at step" in what and "at rate 0.003" in what and "activation.scale=35" in command
    elif name in ("diverged, scaled", "stalled, too fast"):
        assert "at rate 0." in what and "the largest stable one is" in what and " optimizer.lr=" in command
    elif name in ("stalled, too slow", "stalled, too soon"):
        assert command.endswith(" optimizer.lr=auto" if name == "stalled, too slow" else " steps=1000")
    elif " of 8 " in name:
        assert what.startswith(f"next:     {name} at ") and " activation.scale=" in command
    elif name == "exploded, k1 too large":
        assert "activation.scale=" in command
    elif "stalled" not in name:
        assert f"next:     {name.split()[0].rstrip(',')} at layer" in what
    assert ("initialization.weights=orthogonal" in command) == ("orthogonal" in name)
    after = run(tmp_path, "after", shlex.split(command))
    good = ("trained", "learning")
    assert sum(after["outcomes"].get(kind, 0) for kind in good) > sum(outcomes.get(kind, 0) for kind in good)
    assert not after["outcomes"].keys() & {"exploded", "vanished", "diverged"}, (next_line, after["verdict"])


@pytest.mark.parametrize("keys", [("activation=repu",), ("activation=mrepu", "initialization=he")])
def test_propagation_that_loses_the_signal_names_where_and_a_command_that_keeps_it(tmp_path, capsys, monkeypatch, keys):
    monkeypatch.chdir(tmp_path)
    assert main(["propagate", *keys, "depth=20", "width=32", "members=4", "hydra.run.dir=before"]) == 0
    result = json.loads((tmp_path / "before" / "result.json").read_text())
    assert [member["seed"] for member in result["members"]] == [0, 1, 2, 3]
    for member in result["members"]:
        assert (member["outcome"], 2 < member["layer"] < 15) == ("exploded", True)
        assert f" {member['layer']} (" in result["verdict"]
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     exploded at ")]
    assert (
        main(["propagate", *shlex.split(next_line.partition(": repu-lab propagate ")[2]), "hydra.run.dir=after"]) == 0
    )
    result = json.loads((tmp_path / "after" / "result.json").read_text())
    assert result["outcomes"] == {"survived": 4} and {member["layer"] for member in result["members"]} == {None}


def test_the_smallest_change_that_helps_is_named(tmp_path):
    """ReLU at C_W = 1e5 survives with other weights alone: no other kind of layer is asked for."""
    typed = ["activation=relu", "depth=20", "width=64", "initialization=custom", "initialization.c_w=1e5", "threads=1"]
    experiment = build(compose_jobs("train", typed)[0].config)
    record = {"outcome": "exploded", "layer": 7, "step": 0}
    said = next_command(experiment, forecast_run(experiment), [record], tmp_path / "config.yaml")
    command = f"repu-lab train config={tmp_path / 'config.yaml'} initialization=critical"
    assert said == f"exploded at layer 7; 100% would survive with critical weights: {command}"


def test_a_run_that_trains_names_none(tmp_path, capsys):
    run(tmp_path, "fine", [*SMALL, "activation=tanh", "depth=3"])
    assert "next:" not in capsys.readouterr().out


def test_a_sweep_names_one_for_its_commonest_failure(tmp_path, capsys, monkeypatch):
    """Two jobs explode and one would have to start nearer to 0; typed again the sweep says so again."""
    monkeypatch.chdir(tmp_path)
    typed = ["train", "-m", "sweep=s", *SMALL, "steps=10", "depth=20", "initialization.c_w=1"]
    typed += ["initialization=custom", "activation=relu,mrepu,repu", "initialization.k1=0.8"]
    assert main(typed) == 0
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     ")]
    what, _, command = next_line.partition(": repu-lab train ")
    assert what.startswith("next:     exploded in 2 of 3 jobs; of train-mrepu_p1") and "stretched 20 times" in what
    assert "activation.scale=20" in command
    assert not next(iter(tmp_path.rglob("s/*/result.json"))).read_text().count(str(tmp_path))
    after = run(tmp_path, "after", shlex.split(command))
    assert not after["outcomes"].keys() & {"exploded", "vanished", "diverged"}
    assert main(typed) == 0
    assert next_line in capsys.readouterr().out.splitlines()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to run in, and a small phase diagram."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analysis, "GRID", 6)
    return tmp_path


LOST = {
    "explodes": ("activation=repu", "depth=50", "with skips around normalised layers"),
    "explodes, orthogonal": ("activation=mrepu", "initialization=he", "initialization.weights=orthogonal", "stretched"),
    "vanishes": ("activation=sigmoid", "depth=50", "skips around"),
    "vanishes in half precision": ("activation=relu", "dtype=float16", "initialization=custom", "initialization.c_w=.1",
                                   "in float32"),
    "collapses correlations": ("activation=softplus", "depth=50", "initialization=he", "skips around"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_theory_of_a_lost_signal_names_a_command_that_keeps_it(folder, capsys, name):
    """Typed, it says that the signal survives, and then names the command that trains."""
    *keys, words = LOST[name]
    assert main(["theory", *keys, "inputs=16", "hydra.run.dir=before"]) == 0
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     ")]
    what, _, command = next_line.partition(": repu-lab theory ")
    assert what.startswith(f"next:     {name.split(',')[0].split(' in ')[0]}") and words in what
    assert ("initialization.weights=orthogonal" in command) == ("orthogonal" in name)
    assert main(["theory", *shlex.split(command), "hydra.run.dir=after"]) == 0
    assert json.loads((folder / "after" / "theory.json").read_text())["fate"] == "survives"
    next_line = capsys.readouterr().out.splitlines()[-2]
    assert next_line == "next:     its signal gets through; whether it trains: repu-lab train config=after/config.yaml"
    (job,) = compose_jobs("train", unfold("train", ["config=after/config.yaml"]))
    assert (
        job.config.depth == int(dict(key.split("=") for key in keys).get("depth", 10)) and job.config.batch_size == 128
    )


def test_a_first_pass_that_is_kept_names_the_training_of_one_network(folder, capsys):
    assert main(["propagate", "activation=relu", "depth=3", "width=32", "hydra.run.dir=kept"]) == 0
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     ")]
    command = shlex.split(next_line.partition(": repu-lab train ")[2])
    (job,) = compose_jobs("train", unfold("train", command))
    assert (job.config.activation["name"], job.config.depth, job.config.members) == ("relu", 3, 1)


@pytest.mark.parametrize(("command", "failure"), [("theory", "explodes"), ("propagate", "exploded")])
def test_sweeps_of_other_commands_name_one_too(folder, capsys, command, failure):
    typed = [command, "-m", "sweep=s", "activation=relu,repu", "depth=20", "width=32"]
    assert main(typed) == 0
    (next_line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:     ")]
    assert next_line.startswith(f"next:     {failure} in 1 of 2 jobs; of {command}-repu_p2-depth20")
    assert f": repu-lab {command} config=outputs/sweeps/s/{command}-repu_p2" in next_line


def test_a_failure_that_no_change_helps_says_so(tmp_path):
    """At depth 1 and steps that suffice nothing is left to try."""
    experiment = build(compose_jobs("train", [*SMALL, "activation=relu", "depth=1", "steps=1000"])[0].config)
    record = {"outcome": "stalled", "layer": None, "step": 1000}
    said = next_command(experiment, forecast_run(experiment), [record], tmp_path / "config.yaml")
    assert said is not None and said.endswith("; no change that was tried is forecast to help")


def test_a_stall_of_deep_plain_layers_asks_for_skips(tmp_path):
    experiment = build(compose_jobs("train", [*SMALL, "activation=tanh", "depth=20", "steps=1000"])[0].config)
    record = {"outcome": "stalled", "layer": None, "step": 1000}
    said = next_command(experiment, forecast_run(experiment), [record], tmp_path / "config.yaml")
    assert said is not None and "gets through, try skips around normalised layers: repu-lab train" in said


@pytest.mark.parametrize("name", ["plain-1.2_x", "two words", "depth=5,lr=0.1", "run (1)", "ünï", "a'b", "$HOME"])
def test_the_next_command_names_a_folder_of_any_name_as_the_shell_and_hydra_read_it(tmp_path, name):
    (job,) = compose_jobs("train", ["activation=gelu", "depth=2", "steps=2"])
    path = tmp_path / name / "config.yaml"
    line = next_command(build(job.config), None, [{"outcome": "stalled", "layer": None, "step": 2}], path)
    assert line is not None
    _, _, command = line.partition(": repu-lab train ")
    config, steps = shlex.split(command)
    with composer("train") as composing:
        assert composing.parse(config).value() == str(path) and steps == "steps=1000"
    assert (config == f"config={path}") == (name in ("plain-1.2_x", "two words"))
    assert shlex.split(where_to_look(path.parent).partition(", then")[0])[-1] == str(path.parent)


def test_a_sweep_without_failures_names_none():
    assert next_of_jobs(compose_jobs("train", ["sweep=s", *SMALL, "seed=0,1"], multirun=True)) is None
