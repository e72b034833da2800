"""A run goes on where it stopped, and ends with the bits of one that never stopped; the same command is idempotent."""

import json
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.networks import gauss_newton
from repu_lab.runs import stepping
from repu_lab.runs.checkpoint import Checkpoints, read, write
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.interruption import Interrupted
from repu_lab.runs.paths import CHECKPOINTS
from repu_lab.runs.refining import refine
from repu_lab.sweeps.group import make_group, train_group
from repu_lab.tasks.objectives import Regression
from repu_lab.tasks.residuals import BatchResiduals
from surviving import ADAM, KINDS, STEPS, manifest, same, signals_at, steps_kept, torture, train, typed


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder's name, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return Path("run")


def interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, step: int, *overrides: str) -> None:
    with monkeypatch.context() as patch:
        signals_at(patch, step)
        with pytest.raises(Interrupted) as interrupted:
            train(folder, *overrides)
    assert interrupted.value.code == 128 + signal.SIGTERM
    assert manifest(folder)["status"] == "interrupted"


# --- the bits of an unbroken run


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_interrupted_twice_ends_with_the_bits_of_an_unbroken_one(kind, run, unbroken, monkeypatch, capsys):
    interrupt(monkeypatch, run, 2, *KINDS[kind])
    assert steps_kept(run)[-1] == 3
    interrupt(monkeypatch, run, 5, *KINDS[kind])
    assert steps_kept(run)[-1] == 9  # the checkpoint after the step during which the signal came
    assert train(run, *KINDS[kind]) == 0
    assert same(unbroken(kind), run)
    assert "resumed:  from the checkpoint at step 9" in capsys.readouterr().out
    assert len(manifest(run)["resumed"]) == 2


def test_the_kinds_are_what_they_are_called(unbroken):
    outcomes = {kind: json.loads((unbroken(kind) / "result.json").read_text()) for kind in KINDS}
    diverged = outcomes["three of four diverge"]
    assert diverged["outcomes"]["diverged"] == 3 and diverged["steps"] == STEPS
    assert len({member["step"] for member in diverged["members"]}) > 1  # not all at once
    assert outcomes["two of four explode at once"]["outcomes"]["exploded"] == 2
    assert outcomes["ends early"]["steps"] == 16
    dtypes = {"sgd with momentum, float64": torch.float64, "AdamW, bfloat16": torch.bfloat16}
    for kind, dtype in dtypes.items():
        assert torch.load(unbroken(kind) / "weights.pt", weights_only=True)["theta"].dtype == dtype
    for kind in (kind for kind in KINDS if "Gauss-Newton" in kind):
        assert "refined:  Gauss-Newton" in (unbroken(kind) / "run.log").read_text()


def test_a_failed_run_goes_on_when_it_is_typed_again(run, unbroken, monkeypatch, capsys):
    original = stepping.train_step

    def broken(*arguments):
        if steps_kept(run)[-1:] == [7]:
            raise RuntimeError("the power of a neighbour's kettle")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stepping, "train_step", broken)
        assert train(run, *ADAM) == 1
    assert manifest(run)["status"] == "failed" and "kettle" in (run / "traceback.txt").read_text()
    assert "failed: RuntimeError: the power of a neighbour's kettle" in capsys.readouterr().out
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run) and not (run / "traceback.txt").exists()


def test_a_folder_copied_elsewhere_goes_on_there(run, unbroken, monkeypatch):
    interrupt(monkeypatch, run, 10, *ADAM)
    shutil.copytree(run, "elsewhere/it's a copy")
    shutil.rmtree(run)
    assert typed('resume="elsewhere/it\'s a copy"', "checkpoint.every_seconds=0") == 0
    assert same(unbroken("adam"), Path("elsewhere/it's a copy")) and not run.exists()


def test_the_same_command_gives_the_same_bits_and_the_manifest_what_they_depend_on(run, unbroken):
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)
    stored = manifest(run)
    assert (stored["device"], stored["threads"]) == ("cpu", torch.get_num_threads())
    assert stored["versions"].keys() >= {"repu-lab", "python", "torch", "numpy", "scipy"} and stored["machine"]
    assert (
        "git_commit" in stored and stored["config_hash"] == json.loads((run / "result.json").read_text())["config_hash"]
    )


def test_another_machine_is_told(run, monkeypatch, capsys):
    interrupt(monkeypatch, run, 10, *ADAM)
    there = manifest(run)
    (run / "manifest.json").write_text(json.dumps(there | {"threads": 64}))
    assert train(run, *ADAM) == 0
    assert "goes on elsewhere (threads was 64, is 1)" in capsys.readouterr().out


def test_gauss_newton_killed_in_its_middle_goes_on_there_and_what_started_elsewhere_is_passed_over(
    run, unbroken, monkeypatch, capsys
):
    kind, long = "residual, Gauss-Newton at the end", ("task.newton_steps=30",)
    monkeypatch.setattr(gauss_newton, "CHUNK", 4)
    evaluated = 0

    def counted(original):
        def losses(*arguments):
            nonlocal evaluated
            evaluated += 1
            return original(*arguments)

        return losses

    monkeypatch.setattr(Regression, "losses", counted(Regression.losses))
    assert train(Path("straight"), *KINDS[kind], *long) == 0
    whole = evaluated
    original, saved = Checkpoints.save_part, 0

    def killed(self, name, state):
        nonlocal saved
        original(self, name, state)
        saved += 1
        if saved == 5:
            raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_part", killed)
        with pytest.raises(Interrupted):
            train(run, *KINDS[kind], *long)
    part = run / CHECKPOINTS / "newton.part"
    assert read(part)["state"]["step"] == 20
    for copy in ("damaged", "foreign"):
        shutil.copytree(run, copy)
    begun = part.read_bytes()
    evaluated = 0
    assert train(run, *KINDS[kind], *long) == 0
    assert evaluated < 0.75 * whole
    assert same(Path("straight"), run) and not part.exists()

    # From a damaged part, one that is no state of Gauss-Newton, and one of other weights, Gauss-Newton starts anew.
    (Path("damaged") / CHECKPOINTS / part.name).write_bytes(begun[:-1])
    assert train(Path("damaged"), *KINDS[kind], *long) == 0
    assert "newton.part is passed over" in capsys.readouterr().out
    assert same(Path("straight"), Path("damaged"))
    write(RunFolder("foreign"), f"{CHECKPOINTS}/{part.name}", {"start": 1})
    assert train(Path("foreign"), *KINDS[kind], *long) == 0
    assert same(Path("straight"), Path("foreign"))
    part.write_bytes(begun)
    assert typed(f"resume={run}", f"steps={STEPS + 2}") == 0
    assert train(Path("longer"), *KINDS[kind], *long, f"steps={STEPS + 2}") == 0
    assert same(Path("longer"), run)


def test_of_jobs_that_are_killed_in_gauss_newton_none_begins_it_anew(run, monkeypatch):
    """The jobs of a population have their results together, at its end."""
    monkeypatch.setattr(gauss_newton, "CHUNK", 4)
    overrides = [*torture.TINY, "members=1", "task=function", "task.newton_steps=12", "hydra.sweep.dir=sweep"]
    jobs = compose_jobs("train", [*overrides, "seed=0,1,2"], multirun=True)
    group = make_group("train", jobs, Path("sweep"))
    jacobian, save, steps = BatchResiduals.jacobian, Checkpoints.save_part, 0

    def counted(self, *arguments):
        nonlocal steps
        steps += 1
        return jacobian(self, *arguments)

    def killed(self, name, state):
        save(self, name, state)
        if (state["state"]["member"], state["state"]["step"]) == (2, 8):
            raise Interrupted(signal.SIGKILL)

    monkeypatch.setattr(BatchResiduals, "jacobian", counted)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_part", killed)
        with pytest.raises(Interrupted):
            train_group(group, lambda _: None)
    assert steps == 32
    train_group(group, lambda _: None)
    assert steps == 36 and not list(Path("sweep").rglob("*.part"))
    for seed, job in enumerate(jobs):
        assert train(Path(f"alone{seed}"), *overrides[:-1], f"seed={seed}") == 0
        weights = [torch.load(folder / "weights.pt")["theta"] for folder in (job.folder, Path(f"alone{seed}"))]
        torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-6)


def test_a_state_of_gauss_newton_of_other_weights_or_steps_is_passed_over(experiment, monkeypatch):
    """How long steps are depends on how many there are."""
    monkeypatch.setattr(gauss_newton, "CHUNK", 4)

    def refined(steps: int, begun=None, moved: float = 0.0):
        saved = []
        checkpoints = SimpleNamespace(
            part=lambda *_: deepcopy(begun),
            due=lambda _: True,
            say=lambda _: None,
            save_part=lambda _, state: saved.append(deepcopy(state)),
        )
        built = experiment("members=2", "task=function", "activation=tanh", f"task.newton_steps={steps}")
        population = built.population()
        with torch.no_grad():
            population.theta += moved
        return refine(built, population, torch.ones(2, dtype=torch.bool), cast(Checkpoints, checkpoints))[1], saved

    straight, (*_, own) = refined(16)
    _, (*_, shorter) = refined(8)
    _, (*_, elsewhere) = refined(16, moved=0.01)
    assert [begun["state"]["step"] for begun in (own, shorter, elsewhere)] == [16, 8, 16]
    for begun in (None, own, shorter, elsewhere):
        assert torch.equal(refined(16, begun)[0], straight)


def test_the_loss_that_gauss_newton_says_is_of_the_finite_networks_beside_one_that_is_not(experiment):
    built, lines = experiment("members=3", "task=function", "activation=tanh", "task.newton_steps=1"), []
    checkpoints = cast(Checkpoints, SimpleNamespace(part=lambda *_: None, due=lambda _: False, say=lines.append))
    population = built.population()
    with torch.no_grad():
        population.theta[1] = torch.nan
    task, theta_MP = refine(built, population, torch.ones(3, dtype=torch.bool), checkpoints)
    losses = [task.losses(population, task.train, rows)[[0, 2]].max() for rows in (population.theta.double(), theta_MP)]
    assert lines[-1].endswith("median training loss {:.3g} -> {:.3g}".format(*losses))


# --- further than it was meant to go


@pytest.mark.parametrize("kind", ["adam", "ends early"])
def test_an_extended_run_has_the_bits_of_one_trained_that_far_at_once(kind, run, unbroken, monkeypatch, capsys):
    assert train(run, *KINDS[kind], "steps=13") == 0
    assert json.loads((run / "result.json").read_text())["steps"] == 13
    with monkeypatch.context() as patch:
        signals_at(patch, 1)
        assert typed(f"resume={run}", f"steps={STEPS}") == 143
    assert manifest(run)["status"] == "interrupted"
    assert typed(f"resume={run}", f"steps={STEPS}") == 0
    assert same(unbroken(kind), run)
    assert "resumed:  from the checkpoint at step 15" in capsys.readouterr().out


def test_fewer_steps_than_are_done_are_refused_and_the_folder_stays_as_it_was(run, monkeypatch, capsys):
    interrupt(monkeypatch, run, 10, *ADAM)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert typed(f"resume={run}", "steps=10") == 2
    err = capsys.readouterr().err
    assert "steps=10" in err and "has done 11" in err and err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert typed(f"resume={run}", "steps=11") == 0
    shutil.rmtree(run / CHECKPOINTS)
    assert typed(f"resume={run}", "steps=10") == 2  # its result is there
    assert manifest(run)["status"] == "finished"


def test_an_extension_that_is_killed_between_config_and_manifest_goes_on(run, unbroken):
    assert train(run, *ADAM, "steps=13") == 0
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("steps: 13", f"steps: {STEPS}"))
    assert typed(f"resume={run}") == 0
    assert same(unbroken("adam"), run)


WRONG = {
    "no folder": (["resume=nowhere"], ["resume=nowhere", "No such file"]),
    "a file": (["resume=run/config.yaml"], ["is a file", "name the folder of a run"]),
    "an empty folder": (["resume=."], ["resume=.", "config.yaml is missing"]),
    "a sweep": (["-m", "resume=run", "steps=30,40"], ["leave out -m"]),
    "a config beside": (["resume=run", "config=run"], ["leave out config="]),
    "another config": (["resume=run", "depth=7", "steps=30"], ["depth is 2 there and 7 here", "only steps may differ"]),
    "other looks": (["resume=run", "looks=ends"], ["looks is left out there and ends here", "only steps may differ"]),
    "a forecast": (["resume=theory"], ["it is of repu-lab theory"]),
    "signal propagation": (["resume=propagate"], ["it is of repu-lab propagate"]),
}


def test_what_cannot_be_resumed_is_one_line(run, capsys):
    assert train(run, "activation=relu", "depth=2") == 0
    for command in ("theory", "propagate"):
        (Path(command)).mkdir()
        fields = {"depth": 2, "width": 8} | ({"inputs": 3} if command == "theory" else {"members": 1})
        (Path(command) / "config.yaml").write_text(json.dumps(fields))
        (Path(command) / "manifest.json").write_text(json.dumps({"command": command, "status": "finished"}))
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    for name, (arguments, needles) in WRONG.items():
        assert typed(*arguments) == 2, name
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and all(needle in err for needle in needles), err
    assert sorted(Path().rglob("*")) == before


def test_a_job_that_trained_in_a_group_is_not_resumed_alone(run, monkeypatch, capsys):
    interrupt(monkeypatch, run, 3, *ADAM)
    (run / "manifest.json").write_text(json.dumps(manifest(run) | {"group": {"name": "x", "jobs": 3}}))
    assert typed(f"resume={run}") == 2
    assert "together with the other jobs of its sweep" in capsys.readouterr().err


# --- the same command in the same folder


def test_a_finished_run_gives_its_stored_result_without_torch(run):
    assert train(run, *ADAM) == 0
    arguments = ["train", *torture.TINY, *ADAM, f"hydra.run.dir={run}"]
    code = f"import sys; from repu_lab.cli import main; sys.exit(main({arguments}) or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"stored result of {manifest(run)['end']} (commit ") and "measured: " in done.stdout


def test_a_finished_run_that_failed_says_the_next_command_again_and_one_that_trains_does_not(run, capsys):
    def next_of(depth: int) -> list[str]:
        folder = run.with_name(f"depth{depth}")
        assert train(folder, "activation=repu", "steps=0", "batch_size=32", f"depth={depth}", "width=16") == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:")]

    first = next_of(20)
    assert len(first) == 1 and "block=residual" in first[0]
    assert next_of(20) == first
    assert next_of(2) == next_of(2) == []


def test_rerun_starts_afresh_and_keeps_the_old_folder_aside(run, unbroken):
    assert train(run, *ADAM) == 0
    assert train(run, *ADAM, "rerun=true") == 0
    assert same(run, run.with_name("run.1")) and same(unbroken("adam"), run)
    assert "resumed" not in manifest(run)


def test_another_config_and_a_run_in_progress_are_refused(run, capsys):
    assert train(run, *ADAM) == 0
    with pytest.raises(ConfigError, match=r"depth is 3 there and 4 here, seed is 0 there and 1 here; choose another"):
        train(run, *ADAM, "depth=4", "seed=1")
    with RunFolder(run).lock(), pytest.raises(ConfigError, match=r"in use by another run \(process \d+ on .+\)"):
        train(run, *ADAM, "rerun=true")
    assert not run.with_name("run.1").exists() and manifest(run)["status"] == "finished"


def test_the_manifest_tells_what_was_typed(run, monkeypatch):
    interrupt(monkeypatch, run, 3, *ADAM)
    assert typed(f"resume={run}", "steps=30") == 0
    assert manifest(run)["command_line"][1:] == ["train", f"resume={run}", "steps=30"]
    assert typed("config=run", "steps=2", "hydra.run.dir=other") == 0
    assert manifest(Path("other"))["command_line"][1:] == ["train", "config=run", "steps=2", "hydra.run.dir=other"]


def test_a_damaged_manifest_does_not_open_a_folder_to_another_run(run, unbroken, monkeypatch):
    interrupt(monkeypatch, run, 10, *ADAM)
    (run / "manifest.json").write_text('{"status": "inter')
    with pytest.raises(ConfigError, match="depth is 3 there and 4 here"):
        train(run, *ADAM, "depth=4")
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)


# --- checkpoints that are not this run's


def forge(folder: Path, **changes) -> None:
    """Put a checkpoint into the folder with the right identity and checksum, but other content."""
    newest = sorted((folder / CHECKPOINTS).glob("*.ckpt"))[-1]
    write(RunFolder(folder), f"{CHECKPOINTS}/step_{int(newest.stem[-10:]) + 1:010d}.ckpt", read(newest) | changes)


FORGED = {
    "a smaller theta, that would be broadcast": {"theta": torch.zeros(1, 1)},
    "another dtype": {"theta": torch.zeros(4, 314, dtype=torch.float64)},
    "no optimizer": {"optimizer": {}},
    "no numbers": {"progress": None},
    "events of other runs": {"events": [0, 0]},
    "events that are not there": {"events": [10**9]},
    "another run": {"identity": ["0123456789abcdef"]},
    "tables of another form": {"tables": [{"steps": 3}]},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED)
def test_a_checkpoint_of_other_content_is_passed_over(changes, run, unbroken, monkeypatch, capsys):
    interrupt(monkeypatch, run, 10, *ADAM)
    forge(run, **changes)
    assert train(run, *ADAM) == 0
    assert same(unbroken("adam"), run)
    out = capsys.readouterr().out
    assert "checkpoint step_0000000012.ckpt is passed over" in out and "from the checkpoint at step 11" in out
    assert (run / CHECKPOINTS / "step_0000000012.ckpt.damaged").exists()
