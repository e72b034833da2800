"""An activation and a kind of layer are added as CONTRIBUTING says, in a copy of the lab that does it word by word."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import repu_lab

ROOT = Path(repu_lab.__file__).parents[2]
SOFTSIGN = '''

class Softsign(Activation):
    """z / (1 + |z|)."""

    kinks = (0.0,)

    def forward(self, z: Tensor) -> Tensor:
        return z / (1 + z.abs())

    def derivative(self, z: Tensor) -> Tensor:
        return (1 + z.abs()).square().reciprocal()

    def second_derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, -2.0, 2.0) / (1 + z.abs()) ** 3
'''
Typed = Callable[..., dict]


def insert(file: Path, before: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, new + before), encoding="utf-8")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """Return a function that runs a command of a copy of the lab that has both, and returns its result."""
    lab, here = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("here")
    shutil.copytree(ROOT / "src", lab / "src")
    shutil.copytree(ROOT / "conf", lab / "conf")
    source = lab / "src/repu_lab"
    with (source / "activations/smooth.py").open("a", encoding="utf-8") as file:
        file.write(SOFTSIGN)
    insert(source / "activations/__init__.py", "    Tanh,\n)", "    Softsign,\n")
    insert(source / "activations/__init__.py", '    "spline_repu":', '    "softsign": Softsign,\n')
    conf = "# z / (1 + |z|)\nname: softsign\n_target_: repu_lab.activations.Softsign\n"
    (lab / "conf/activation/softsign.yaml").write_text(conf, encoding="utf-8")
    cooled = (ROOT / "tests/made_up_block.py").read_text(encoding="utf-8").partition("@dataclass")[2]
    cooled = cooled.replace("Scaled(tensor(self.t, dtype=float64))", "Over(self.t)").replace("log(", "np.log(")
    over = (
        "class Over(nn.Module):\n    def __init__(self, t):\n        super().__init__()\n        self.t = t\n\n"
        "    def forward(self, x):\n        return x / self.t\n\n\n"
    )
    maps = source / "blocks/maps.py"
    insert(maps, "# What `block.norm` names", f"{over}@dataclass{cooled}\n")
    insert(maps, '    "rms": (RMS, SAME),', '    "cooled": (COOLED, SAME),\n')
    insert(source / "configs/schema.py", '"rms", "layer", "layer_after")', '"cooled", ')

    def run(command: str, *overrides: str) -> dict:
        folder = here / str(len(list(here.iterdir())))
        line = [sys.executable, "-m", "repu_lab", command, *overrides, f"hydra.run.dir={folder}"]
        environment = os.environ | {"PYTHONPATH": str(lab / "src")}
        done = subprocess.run(line, capture_output=True, text=True, cwd=here, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        name = "theory.json" if command == "theory" else "result.json"
        return json.loads((folder / name).read_text(encoding="utf-8"))

    return run


def test_an_added_activation_is_what_the_same_function_of_torch_is(typed: Typed) -> None:
    """K, the gradient and the fate by theory, and what networks measure, as of a class of one's own."""
    own = ["activation=custom", "activation._target_=torch.nn.Softsign"]
    of_torch, added = (typed("theory", *kind, "depth=5") for kind in (own, ["activation=softsign"]))
    for name in ("log10_K", "log10_gradient", "log10_ntk", "correlation"):
        values = [[layer[name] for layer in result["layers"]] for result in (of_torch, added)]
        np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-9)
    assert of_torch["critical_points"] and added["fate"] == of_torch["fate"]
    sizes = ["task=digits", "depth=4", "width=32", "members=4", "initialization=he", "dtype=float64"]
    of_torch, added = (typed("propagate", *kind, *sizes) for kind in (own, ["activation=softsign"]))
    for name in ("log10_K", "log10_gradient", "log10_chi_perp"):
        values = [
            [layer[name] for layer in result["layers"] if layer[name] is not None] for result in (of_torch, added)
        ]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-12)


def test_an_added_block_is_measured_forecast_and_trained(typed: Typed) -> None:
    """RePU_2 of z / sqrt(3), C_W = 6: K' = 6 (3/2) (K/3)^2 = K^2, which 32 networks of width 128 keep near 1."""
    sizes = ["task=digits", "depth=3", "width=128", "members=32", "block.norm=cooled", "dtype=float64"]
    start = ["activation=repu", "initialization=custom", "initialization.c_w=6", "initialization.k1=1"]
    for row in typed("propagate", *sizes, *start)["layers"]:
        assert abs(row["log10_K"] - row["log10_K_theory"]) < 0.15  # the median of 32 networks, of which each has .2
        assert row["log10_chi_perp"] is None or abs(row["log10_chi_perp"] - row["log10_chi_perp_theory"]) < 0.15
    trained = typed("train", *sizes, "activation=tanh", "initialization=he", "steps=30", "members=4")
    assert trained["outcomes"] == {"trained": 4} and trained["forecast"]["fate"] == "survives"
