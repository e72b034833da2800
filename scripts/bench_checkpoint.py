"""Size and time of a checkpoint: written as a run writes it, synced, read back and restored; every bit compared.

Usage: scripts/bench_checkpoint.py [--members 8] [--depth 50] [--width 1024] [--device cpu] [--folder DIR]
"""

import argparse
import hashlib
import resource
import shutil
import tempfile
import time
from pathlib import Path

import torch

from repu_lab.configs.composition import compose_jobs
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.checkpoint import SHARE, Checkpoints, Saved
from repu_lab.runs.folder import RunFolder
from repu_lab.runs.paths import CHECKPOINTS
from repu_lab.runs.state import State


def digest(state: State) -> str:
    """Return a hash of everything large in a state."""
    total = hashlib.sha256()
    for tensor in (state.population.theta.detach(), *state.optimizer.state.values()):
        total.update(tensor.cpu().numpy().reshape(-1).data)
    return total.hexdigest()


def trained(experiment: Experiment) -> State:
    """Return a state as after some steps: no tensor of it is constant, which a file system could store as a hole."""
    state = State.start([experiment])
    for tensor in state.optimizer.state.values():
        tensor.copy_(state.population.theta.detach() if tensor.ndim else torch.ones(()))
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", help="where the file is written and removed again; left out: the system's own")
    arguments = parser.parse_args()
    sizes = [f"{key}={getattr(arguments, key)}" for key in ("members", "depth", "width", "device")]
    (job,) = compose_jobs("train", ["activation=relu", "initialization=he", "batch_size=2", *sizes])
    experiment = build(job.config)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        free = shutil.disk_usage(folder).free
        state = trained(experiment)
        before = digest(state)
        checkpoints = Checkpoints(RunFolder(folder), 0.0, print)
        checkpoints.save(0, state.saved())
        (path,) = (Path(folder) / CHECKPOINTS).iterdir()
        size = path.stat().st_size
        del state
        start = time.monotonic()

        def restore(saved: Saved) -> State:
            return State.restore([experiment], saved)

        again = checkpoints.newest(experiment.device, restore)
        seconds = time.monotonic() - start
        assert again is not None and digest(again) == before, "the state came back changed"
    assert checkpoints.seconds is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{arguments.members} members, depth {arguments.depth}, width {arguments.width} on {arguments.device}: "
        f"{size / 1e9:.3f} GB ({free / 1e9:.0f} GB were free)\n"
        f"written and synced in {checkpoints.seconds:.2f} s ({size / 1e6 / checkpoints.seconds:.0f} MB/s), "
        f"read and restored in {seconds:.2f} s ({size / 1e6 / seconds:.0f} MB/s), every bit the same\n"
        f"peak memory {peak:.1f} GiB; one is due every {max(60, checkpoints.seconds / SHARE):.0f} s"
    )


if __name__ == "__main__":
    main()
