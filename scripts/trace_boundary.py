"""Where a network turns from failing to working along one axis, by bisection over populations, beside theory.

    scripts/trace_boundary.py c_w 0.01 100 --survives
        activation=repu depth=8 initialization=custom initialization.c_w=1 initialization.k1=1
    scripts/trace_boundary.py c_w 1 100 --learns --precision 0.03 activation=mrepu activation.p=1 depth=20 width=64
        initialization=custom initialization.c_w=1 initialization.k1=5e-4 optimizer.lr=1e-4 batch_size=32

The first asks at which C_W half of the RePU networks overflow on the first pass, the second at which C_W half of the
MRePU networks cease to learn. Overrides are those of `repu-lab train`; the axis is one of c_w, c_b, k1, lr, width.
"""

import argparse
import math
import shlex
import sys
import time
from pathlib import Path

from repu_lab.boundaries.bisection import Boundary
from repu_lab.boundaries.boundary import (
    AXES,
    LEARNT,
    SURVIVED,
    TRAINED,
    theory_boundary,
    trace_boundary,
    typed_at,
)
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.schema import TrainConfig

SURE = math.log(0.95 / 0.05)  # spreads from the boundary at which 95 % of the networks succeed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axis", choices=AXES)
    parser.add_argument("low", type=float)
    parser.add_argument("high", type=float)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--survives", action="store_true", help="ask for a finite first pass, not for training")
    parser.add_argument("--learns", action="store_true", help="ask for learning, not for the task's criterion")
    parser.add_argument("--precision", type=float, default=0.02, help="half width of the 95 %% interval, as a share")
    parser.add_argument("--members", type=int, default=32, help="networks trained side by side, a round")
    parser.add_argument("--picture", type=Path, help="write a picture to this file")
    arguments = parser.parse_intermixed_args()
    try:
        follow(arguments)
    except ValueError as error:  # a mistake in an override, or no boundary in the range: one line that says so
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def follow(arguments: argparse.Namespace) -> None:
    """Trace the boundary and print it."""
    (job,) = compose_jobs("train", arguments.overrides)
    what, succeeds = "train", TRAINED
    if arguments.survives:
        what, succeeds = "survive the first pass", SURVIVED
    elif arguments.learns:
        what, succeeds = "learn", LEARNT
    where = (job.config, arguments.axis, arguments.low, arguments.high)
    start = time.perf_counter()

    def watch(networks: int, low: float, high: float) -> None:
        seconds = time.perf_counter() - start
        print(f"{seconds:5.0f} s, {networks} networks: {low:.4g} to {high:.4g}", file=sys.stderr, flush=True)

    traced = trace_boundary(
        *where, succeeds=succeeds, precision=arguments.precision, members=arguments.members, watch=watch
    )
    seconds = time.perf_counter() - start
    theory = theory_boundary(*where, succeeds=succeeds)
    side = "above" if traced.rising else "below"
    print(f"half of the networks {what} at {arguments.axis} = {traced}; they do {side} it")
    print("theory, first pass: " + ("none in the range" if theory is None else f"{theory:.4g}"))
    print(
        f"cost: {traced.networks} networks in {seconds:.0f} s; an even grid with an interval as narrow needs "
        f"{traced.grid_networks}, {traced.grid_networks / traced.networks:.1f} times as many"
    )
    print(f"next: {next_command(traced, job.config, arguments, what)}")
    if arguments.picture:
        from repu_lab.figures import boundary
        from repu_lab.runs.building import build

        config = job.config
        heading = f"{build(config).activation.described}, depth {config.depth}"
        heading += f", width {config.width}" * (arguments.axis != "width")
        figure = boundary(
            traced.values,
            traced.successes,
            value=traced.value,
            low=traced.low,
            high=traced.high,
            spread=traced.spread,
            rising=traced.rising,
            theory=theory,
            axis=arguments.axis,
            heading=heading,
            succeed=what,
        )
        figure.savefig(arguments.picture, dpi=200)


def next_command(traced: Boundary, config: TrainConfig, arguments: argparse.Namespace, what: str) -> str:
    """Return the command that trains on the side of the boundary that works."""
    value = traced.value * math.exp(SURE * traced.spread * (1 if traced.rising else -1))
    changed = typed_at(config, arguments.axis, value)
    keys = {text.partition("=")[0] for text in changed}
    kept = [text for text in arguments.overrides if text.partition("=")[0] not in keys]
    there = f"by the fitted curve 95 % of them {what} at {arguments.axis} = {value:.4g}"
    return f"{there}: {shlex.join(['repu-lab', 'train', *kept, *changed])}"


if __name__ == "__main__":
    main()
