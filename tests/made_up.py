"""Run folders made up for tests, as the lab writes them."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

CONFIG: dict[str, Any] = {
    "activation": {"name": "repu", "_target_": "repu_lab.activations.RePU", "p": 2.0},
    "depth": 5, "width": 64, "initialization": {"name": "critical", "c_w": None}, "seed": 0, "members": 2,
    "optimizer": {"name": "adam", "lr": "auto"},
}  # fmt: skip


def record(seed: int, outcome: str = "trained", **more: Any) -> dict[str, Any]:
    return {"seed": seed, "outcome": outcome, "metric": 0.9, "metric_name": "accuracy", "layer": None} | more


def write_run(
    folder: Path,
    members: Sequence[dict[str, Any]] = (),
    *,
    status: str = "finished",
    command: str = "train",
    **config: Any,
) -> Path:
    """Write a run's folder as the lab does."""
    folder.mkdir(parents=True)
    members = members or [record(0), record(1, "exploded", layer=9)]
    (folder / "manifest.json").write_text(json.dumps({"status": status, "command": command}))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | config, sort_keys=False))
    (folder / "result.json").write_text(json.dumps({"members": members, "seconds": 1.5}))
    with zipfile.ZipFile(folder / "statistics.npz", "w") as archive:
        archive.writestr("step.npy", b"numbers")
    return folder


def write_sweep(folder: Path) -> Path:
    """Write two activations at three depths; RePU's networks explode from depth 10 on."""
    for name in ("repu", "mrepu"):
        for depth in (5, 10, 20):
            bad = name == "repu" and depth >= 10
            members = [record(i, "exploded" if bad else "trained", layer=9 + i if bad else None) for i in range(2)]
            activation = {"name": name, "_target_": "repu_lab.activations.X", "p": 2.0}
            write_run(folder / f"{name}-{depth}", members, activation=activation, depth=depth)
    return folder
