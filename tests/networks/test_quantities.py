"""Another quantity is another entry of QUANTITIES: files, tags, tables, pictures and pages follow it, old runs stay."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from repu_lab.networks.quantities import QUANTITIES, by_shape, over_depth
from repu_lab.report.stored import Statistics

# A participation ratio, (mean z^2)^2 / mean z^4: what one would add who asks whether few units carry the signal.
ADDED = """
import sys
from repu_lab.networks import quantities
panel = quantities.Panel("how many units carry it?", "participation", room=1.0, share=True)
quantities.QUANTITIES += (quantities.Quantity(
    name="participation", axes=quantities.INPUT, unit="1", formula="(E z²)² / E z⁴", meaning="share of units at work",
    of=lambda layers: layers.unit.square().mean(-1).square() / layers.unit.square().square().mean(-1),
    title="participation", short="participation", label="participation", colour="#555555", panel=panel, theory=False,
),)
"""
LAB = "import sys; from repu_lab.cli import main; sys.exit(main())"
WATCHED = """
import torch
from repu_lab import watch
network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
with watch(network, folder=sys.argv[1]) as look:
    network(torch.ones(3, 4)).sum().backward()
    look.step()
"""
SIZES = ["depth=4", "width=16", "members=3", "probe=8", "task=digits"]


def lab(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_quantity_is_one_entry(tmp_path: Path) -> None:
    trained, passed = tmp_path / "train", tmp_path / "propagate"
    lab(ADDED + LAB, "train", *SIZES, "steps=8", "batch_size=16", f"hydra.run.dir={trained}")
    with np.load(trained / "statistics.npz") as table:
        values = table["participation"]
        assert json.loads(str(table["axes"]))["participation"] == ["step", "layer", "member", "input"]
        assert values.shape == (7, 5, 3, 8) and (values > 1 / 16).all() and (values <= 1).all()
        steps = table["step"].tolist()
    events = EventAccumulator(str(trained)).Reload()
    curve = {event.step: event.value for event in events.Scalars("z_participation/depth_0.29")}
    expected = {step: np.median(row) for step, row in zip(steps, values[:, 1].reshape(len(steps), -1), strict=True)}
    assert curve.keys() == expected.keys()
    np.testing.assert_allclose(list(curve.values()), [expected[step] for step in curve], rtol=1e-6)
    profile = [event.value for event in events.Scalars("z_profile_participation/step_000008")]
    np.testing.assert_allclose(profile, np.median(values[-1].reshape(5, -1), axis=1), rtol=1e-6)
    printed = lab(ADDED + LAB, "propagate", *SIZES, "activation=repu", "initialization=he", f"hydra.run.dir={passed}")
    rows = json.loads((passed / "result.json").read_text())["layers"]
    assert "participation" in printed and all(0 < row["participation"] <= 1 for row in rows)
    lab(ADDED + LAB, "report", str(trained))
    assert "participation against the layer" in (trained / "report.html").read_text()


def test_a_network_that_is_watched_has_no_value_of_it(tmp_path: Path) -> None:
    lab(ADDED + WATCHED, str(tmp_path))
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"]
    assert "z_log10_K/depth_0.00" in tags and not any("participation" in tag for tag in tags)


def test_a_reader_takes_what_a_file_holds(tmp_path: Path) -> None:
    """A file of a version that measured less, or something more."""
    folder = tmp_path / "run"
    lab(LAB, "train", *SIZES, "steps=2", f"hydra.run.dir={folder}")
    whole = Statistics(folder).profiles()
    with np.load(folder / "statistics.npz") as table:
        arrays = {name: table[name] for name in table.files if name != "correlation"}
    np.savez(folder / "statistics.npz", **arrays, unheard_of=np.zeros(3))
    (folder / "manifest.json").unlink()  # it has the hash of the whole file
    fewer = Statistics(folder).profiles()
    assert whole[0].keys() - fewer[0].keys() == {"correlation"}
    assert all(np.array_equal(whole[2][name], fewer[2][name], equal_nan=True) for name in fewer[2])


def test_quantities_have_what_is_said_of_them() -> None:
    names = [quantity.name for quantity in QUANTITIES]
    assert len(set(names)) == len(names) == sum(map(len, by_shape()))
    assert all(len({(quantity.axes, quantity.output) for quantity in group}) == 1 for group in by_shape())
    for quantity in over_depth():
        assert all((quantity.title, quantity.short, quantity.label)) and quantity.colour.startswith("#")
