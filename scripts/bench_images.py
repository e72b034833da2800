"""How long a population of residual networks takes on all of Fashion-MNIST, and how good it is after three epochs.

Usage: scripts/bench_images.py [--members 16] [--depth 10] [--epochs 3] [--activation relu]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import build_task
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.job import run_job

BATCH = 128


def main() -> None:
    """Train them and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--activation", default="relu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        overrides = [
            "task=fashion_mnist",
            "width=128",
            f"depth={options.depth}",
            f"members={options.members}",
            "residual=true",
            f"activation={options.activation}",
            f"batch_size={BATCH}",
            "statistics=false",
            "threads=1",
            f"hydra.run.dir={place}/run",
        ]
        (job,) = compose_jobs("train", overrides)
        epoch = len(build_task(job.config).train) // BATCH
        job.config.steps = options.epochs * epoch
        assert run_job(job_command("train"), job.config, job.folder) == 0
        result = RunFolder(Path(job.folder)).read_json("result.json")
    assert result is not None
    seconds = result["seconds"] / options.epochs
    accuracy = [[member[key] for member in result["members"]] for key in ("metric", "validation_metric")]
    print(
        f"{options.members} networks of {options.depth} x 128, {options.activation}: {seconds:.0f} s an epoch of "
        f"{epoch} steps; after {options.epochs}: accuracy {np.median(accuracy[0]):.3f} ({min(accuracy[0]):.3f} to "
        f"{max(accuracy[0]):.3f}) on the test images, {np.median(accuracy[1]):.3f} on those to validate"
    )


if __name__ == "__main__":
    main()
