"""How steps are done: choosing between a captured graph and plain steps, with stand-ins, and chunks of members."""

from dataclasses import replace

import pytest
import torch

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError, config_hash
from repu_lab.configs.schema import EQUATIONS
from repu_lab.networks.derivatives import jets
from repu_lab.runs import building, memory, stepping
from repu_lab.runs.building import build
from repu_lab.runs.graphs import equal_bits
from repu_lab.runs.job import run_job
from repu_lab.runs.memory import member_bytes, members_at_once
from repu_lab.runs.state import State
from repu_lab.runs.stepping import CAPTURED, PLAIN, WORTH, stepper, train_step


def everything(state):
    return [tensor.clone() for tensor in stepping._changing(state)]


def equal(a, b):
    return all(map(equal_bits, a, b))


def agreeing(state, task, batch_size):
    """A graph is bound to tensors of its own: warmed up on the state, as a real one."""
    step = stepping._plain(state, task, batch_size)
    step(0)
    return step


def raising(state, task, batch_size):
    agreeing(state, task, batch_size)
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def differing(state, task, batch_size):
    def step(number):
        stepping._plain(state, task, batch_size)(number)
        with torch.no_grad():
            theta = state.population.theta
            theta[-1, -1] = torch.nextafter(theta[-1, -1], theta.new_tensor(torch.inf))  # the last bit of one weight

    return step


def forgetful(state, task, batch_size):
    """Right weights, but the losses of one step are not recorded."""

    def step(number):
        train_step(state.population, state.optimizer, task, task.batch(number, batch_size), state.progress.alive)

    return step


@pytest.mark.parametrize(
    ("capture", "why"),
    [
        (agreeing, ""),
        (raising, "steps:    one kernel at a time, not as one graph: operation not permitted when stream is capturing"),
        (differing, "steps:    one kernel at a time, not as one graph: it does not give the same bits"),
        (forgetful, "steps:    one kernel at a time, not as one graph: it does not give the same bits"),
    ],
)
def test_a_graph_is_used_if_it_gives_the_same_bits(experiment, capture, why):
    """Some of the networks explode, whose losses are NaN: equal bits, though not equal numbers."""
    built = experiment("activation=repu", "initialization=he", "depth=6", "members=8")
    state = State.start([built])
    assert 0 < int(state.progress.alive.sum()) < 8
    before = everything(state)
    step, line = stepper(state, built.task, 32, WORTH, capture)
    assert line.startswith(why) and "\n" not in line and bool(line) == bool(why)
    assert state.stepping == (PLAIN if why else CAPTURED)
    assert equal(before, everything(state)), "the trial left traces"
    other = State.start([built])
    plain = stepping._plain(other, built.task, 32)
    for number in range(5):
        step(number)
        plain(number)
    assert equal(everything(state), everything(other))


def test_a_state_goes_on_the_way_it_went(experiment):
    def never(*_):
        raise AssertionError("was not to be tried")

    state = State.start([built := experiment()])
    state.stepping = PLAIN
    assert stepper(state, built.task, 32, 10 * WORTH, never)[1] == ""
    assert State.restore([built], state.saved()).stepping == PLAIN
    state.stepping = CAPTURED
    assert stepper(state, built.task, 32, 1, agreeing)[1] == "" and state.stepping == CAPTURED
    new = State.start([built])
    assert stepper(new, built.task, 32, WORTH - 1, never)[1] == "" and new.stepping == PLAIN  # too few steps to pay


def test_without_a_gpu_steps_are_plain_and_the_manifest_says_so(run):
    _, folder = run()
    manifest = folder.manifest()
    assert manifest is not None and manifest["steps"] == PLAIN and manifest["chunk"] is None


@pytest.mark.parametrize("settings", [[], ["activation=repu", "depth=12", "initialization=he"], ["task=polynomial"]])
def test_members_that_pass_in_chunks_do_as_they_do_together(experiment, settings):
    """float64: a product of fewer members may be summed in another order."""
    built = experiment("dtype=float64", "members=5", "optimizer.clip=0.5", *settings)
    together, apart = State.start([built]), State.start([built])
    for step in range(6):
        batch = built.task.batch(step, 32)
        a = train_step(together.population, together.optimizer, built.task, batch, together.progress.alive)
        b = train_step(apart.population, apart.optimizer, built.task, batch, apart.progress.alive, 2)
        torch.testing.assert_close(a, b, rtol=1e-9, atol=0, equal_nan=True)
    assert torch.equal(together.progress.alive, apart.progress.alive)
    torch.testing.assert_close(together.population.theta, apart.population.theta, rtol=1e-9, atol=1e-12)


def test_a_population_beyond_the_memory_passes_in_chunks(run, monkeypatch, tmp_path):
    def folder(name):
        return f"hydra.run.dir={tmp_path / name}"

    settings = ["members=6", "dtype=float64", "width=8", "batch_size=128", "probe=2"]
    (job,) = compose_jobs("train", ["depth=2", *settings])
    sizes = (64, 8, 8, 10)
    weights, activity = member_bytes(job.config, sizes)
    whole, _ = run(*settings, folder("whole"))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 6 * (weights + activity) - 1)
    chunked, where = run(*settings, folder("chunked"))
    manifest = where.manifest()
    assert manifest is not None and 1 <= manifest["chunk"] < 6
    assert "members at once, which pass in turn" in (where.path / "run.log").read_text()
    for a, b in zip(whole["members"], chunked["members"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-9) and a["outcome"] == b["outcome"]
    monkeypatch.setattr(memory, "free_bytes", lambda device: weights + activity)
    with pytest.raises(ConfigError, match=r"members=6: .* lower width, depth, members or batch_size"):
        build(job.config)
    monkeypatch.setattr(memory, "free_bytes", lambda device: weights)
    with pytest.raises(ConfigError, match=r"width=8: .* lower width, depth, members or batch_size"):
        members_at_once(job.config, sizes, torch.device("cpu"))


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_memory_of_an_equation_counts_the_derivatives_that_pass_through_its_layers(experiment, monkeypatch, name):
    seen = []

    def recorded(*arguments, **more):
        seen.append(jets(*arguments, **more)[0])
        return jets(*arguments, **more)

    monkeypatch.setattr("repu_lab.tasks.equations.jets", recorded)
    built = experiment(f"task={name}", "task.collocation=32", "activation=tanh")
    built.task.losses(built.population(), built.task.batch(0, 32))
    numbers = sum(each.numel() for each in seen[0]) / seen[0].z_MBN.numel()
    plain = replace(built.config, task=replace(built.config.task, name="function"))
    assert member_bytes(built.config, built.sizes)[1] == numbers * member_bytes(plain, built.sizes)[1]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_the_end_of_the_memory_names_the_keys_to_lower(error, monkeypatch, tmp_path, capsys):
    def no_memory(*_):
        raise error

    monkeypatch.setattr(stepping, "train_step", no_memory)
    (job,) = compose_jobs("train", ["depth=2", "width=16", "members=3", "steps=4", f"hydra.run.dir={tmp_path / 'run'}"])
    assert run_job(job_command("train"), job.config, job.folder) == 1
    message = "failed: MemoryError: cpu has no memory left; lower one of members=3, batch_size=128, width=16, depth=2"
    assert message in capsys.readouterr().out


def test_another_error_of_the_same_class_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), memory.keys_named(object(), torch.device("cpu")):
        raise RuntimeError("shapes cannot be multiplied")


def test_precision_belongs_to_cuda_and_names_only_the_runs_that_set_it(monkeypatch):
    (plain,) = compose_jobs("train", [])
    (tf32,) = compose_jobs("train", ["precision=tf32"])
    assert config_hash("train", plain.config) != config_hash("train", tf32.config)
    published = compose_jobs("train", ["activation=repu", "depth=50"])[0].folder.name
    assert published == "train-repu_p2-depth50-width128-critical-6937f863"  # as before there was such a key
    with pytest.raises(ConfigError, match=r"precision=tf32: is a number format of CUDA devices .* here they are cpu"):
        build(compose_jobs("train", ["precision=tf32", "device=cpu"])[0].config)
    set_to = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", set_to.append)
    building.set_precision(tf32.config, torch.device("cuda"))
    building.set_precision(plain.config, torch.device("cuda"))
    assert set_to == ["high", "highest"]
    with pytest.raises(ConfigError, match="cuda and bfloat16"):
        (both,) = compose_jobs("train", ["precision=tf32", "dtype=bfloat16"])
        building.set_precision(both.config, torch.device("cuda"))
