"""The key `tailor`: which run it names, what it builds, prints and stores, and what is refused in one line."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from repu_lab import MRePU, load_population, tailor
from repu_lab.activations import Activation, Tailored
from repu_lab.catalogue.rows import rows, shown_columns
from repu_lab.catalogue.scanning import scan
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError, result_fields
from repu_lab.configs.configfile import unfold
from repu_lab.configs.schema import TAILORS
from repu_lab.report.comparing import name_of
from repu_lab.report.run import title
from repu_lab.runs.building import build
from repu_lab.runs.job import run_job
from repu_lab.theory.tailoring import KINDS

SMALL = ("depth=6", "width=32", "members=3", "steps=20", "threads=1", "probe=8")


def job(*overrides: str):
    return compose_jobs("train", [*SMALL, *overrides])[0]


def work(folder: Path, *overrides: str, command: str = "train") -> dict:
    (made,) = compose_jobs(command, [f"hydra.run.dir={folder}", *overrides])
    assert run_job(job_command(command), made.config, made.folder) == 0
    return json.loads((folder / str(job_command(command).result)).read_text())


def test_the_key_is_part_of_a_runs_name_where_it_is_set():
    plain, none = job("activation=mrepu"), job("activation=mrepu", "tailor=none")
    assert plain.folder == none.folder and "tailor" not in result_fields(plain.config)
    lines = ["", "tailor=shift", "tailor=dks", "tailor=tat", "tailor=dks tailor.zeta=2", "tailor=tat tailor.tau=1"]
    jobs = [job("activation=softplus", *line.split()) for line in lines]
    assert len({each.folder for each in jobs}) == len(lines)
    assert jobs[2].folder.name.startswith("train-softplus-dks-depth6-width32-critical-")
    assert set(TAILORS) == {"none", *KINDS}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("activation=identity tailor=dks", "tailor=dks: Identity cannot be tailored, since it is linear"),
        ("activation=mrepu tailor=tat", "tailor=tat: the slope of MRePU jumps .* choose shift or dks"),
        ("activation=tanh tailor=dsk", "did you mean dks.; valid options: dks, none, shift, tat"),
        ("activation=tanh tailor.zeta=2", "tailor.zeta=2.0: belongs to tailor=shift or dks, but here it is none"),
        ("activation=tanh tailor=tat tailor.zeta=2", "belongs to tailor=shift or dks, but here it is tat"),
        ("activation=tanh tailor=dks tailor.tau=2", "belongs to tailor=tat, but here it is dks"),
        ("activation=tanh tailor=dks tailor.zeta=1", "tailor.zeta=1.0 must be a number above 1"),
        ("activation=tanh tailor=tat tailor.eta=0.5", "tailor.eta=0.5: is not asked of Tanh, but tau is"),
        ("activation=relu tailor=tat tailor.tau=0.5", "tailor.tau=0.5: is not asked of ReLU, but eta is"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(line: str, message: str):
    with pytest.raises(ConfigError, match=message) as error:
        build(job(*line.split()).config)
    assert "\n" not in str(error.value)


def test_a_run_prints_and_stores_the_numbers_and_gives_its_networks_back(tmp_path: Path, capsys):
    line = ("activation=mrepu", "tailor=dks", *SMALL)
    result = work(tmp_path / "run", *line)
    made = tailor(MRePU(1), 6)
    assert result["tailor"] == {"activation": "MRePU(p=1), DKS at depth 6", **made.numbers(), "notes": []}
    out = capsys.readouterr().out
    assert f"tailor:   gamma (s(alpha u + beta) + delta), alpha={made.alpha:.6g}, beta={made.beta:.6g}" in out
    assert "start:    MRePU(p=1), DKS at depth 6, is made for K=1" in out
    assert "weights:  standard deviation sqrt(1/fan_in), no biases (C_W=1, C_b=0)\n" in out
    activation = load_population(tmp_path / "run").activation
    u = torch.linspace(-3, 3, 50)
    assert torch.equal(activation(u), made(u))
    (run,) = scan(tmp_path)
    assert name_of(run) == "mrepu, tailor=dks"
    assert title(run) == "Train mrepu(p=1, scale=1), tailor=dks, depth 6, width 32"
    work(tmp_path / "again", *unfold("train", [f"config={tmp_path / 'run' / 'config.yaml'}"]))
    first, second = (torch.load(tmp_path / name / "weights.pt")["theta"] for name in ("run", "again"))
    assert torch.equal(first, second)


def test_other_commands_know_it(tmp_path: Path):
    answer = work(tmp_path / "theory", "activation=repu", "tailor=tat", "depth=20", command="theory")
    assert answer["activation"] == "RePU(p=2), TAT at depth 20"
    assert (answer["c_w"], answer["c_b"], answer["k1"]) == (1, 0, 1)
    assert answer["tailor"]["beta"] == pytest.approx(-1.068901, abs=1e-6)
    assert "C''(1) = 0.015 cannot be met, it is 2.20724" in answer["text"]
    # The analysis, which knows nothing of the solution, finds the same point.
    assert answer["critical_points"][0]["universality_class"] == "half-stable"
    assert answer["critical_points"][0]["K"] == pytest.approx(1, abs=1e-6)
    small = ("depth=4", "width=16", "members=2", "probe=8", "threads=1")
    measured = work(tmp_path / "propagate", "activation=gelu", "tailor=dks", *small, command="propagate")
    assert measured["tailor"]["chi_perp"] == pytest.approx(1.5**0.25)
    work(tmp_path / "plain", "activation=gelu", *small, command="propagate")
    runs = [run for run in scan(tmp_path) if run.command == "propagate"]
    assert shown_columns(rows(runs, "run")) == ["tailor"]


class Bent(nn.Module):
    """An activation with a parameter that learns."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.3))

    def forward(self, z):
        return torch.where(z > 0, z, self.slope * z.expm1())


def test_parameters_of_the_activation_learn_inside_the_maps():
    made = tailor(Bent(), 10)  # pyright: ignore[reportArgumentType]
    assert isinstance(made, Tailored) and isinstance(made.base, Activation)
    made.requires_grad_()
    made(torch.linspace(-2, 2, 20, dtype=torch.float64)).square().sum().backward()
    (parameter,) = made.parameters()
    assert parameter.grad is not None and parameter.grad != 0


def test_formulas_and_own_activations_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text(
        "import torch\n\ndef act(z, a=1.0):\n    return torch.atan(a * z) + z.clamp(min=0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = ("activation=custom", "activation._target_=mine.act", "+activation.a=2")
    for line in (own, ("activation=formula", "activation.formula='z * relu(1 + z)**2'")):
        built = build(job(*line, "tailor=dks").config)
        assert isinstance(built.activation, Tailored)
        assert built.activation.known["chi_parallel"] == pytest.approx(1, abs=1e-8)
        assert built.rule.C_W[1:] == (1.0,) * 6
        z = built.population()(built.task.test.x)
        assert z.isfinite().all()
