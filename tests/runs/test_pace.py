"""What a run says of its time, and of its weights."""

import io

import pytest
from tqdm import tqdm

from repu_lab.networks.initialization import he, pytorch, uniform_depth, xavier
from repu_lab.runs.pace import Pace
from repu_lab.runs.words import duration, memory, start, time_taken, weights


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def said(seconds_a_step: float, steps: int, *, first: float = 0.0, terminal: bool = False, done: int = 0) -> list[str]:
    """Return what a run of steps of one length says, whose first step takes `first` longer."""
    lines: list[str] = []
    clock, bar = Clock(), tqdm(total=steps, file=io.StringIO(), disable=True)
    pace = Pace(bar, steps, (3 * 2**30, 2**20), lines.append, terminal=terminal, clock=clock)
    pace.update(done)
    clock.now += first
    for step in range(done, steps):
        clock.now += seconds_a_step
        pace.update()
        pace.set_postfix_str(f"loss {step}")
    return lines


def test_a_long_run_says_once_what_it_costs_and_then_a_line_a_minute():
    lines = said(0.5, 1000, first=40)
    # Six steps after the first one, which is no measure, 993 are left.
    assert lines[0] == "cost:     about 8.3 min to go, 3 GiB of memory, 1 MiB a checkpoint"
    assert len(lines) == 1 + 8 and all(line.startswith("step:") for line in lines[1:])
    assert lines[1] == "step:     127 of 1000, loss 125, about 7.3 min to go"


def test_a_short_run_says_nothing():
    assert said(0.05, 1000) == []  # 50 s
    assert said(0.05, 10_000, done=9500) == []  # what a checkpoint has done is done


def test_a_terminal_has_a_bar_instead_of_a_line_a_minute():
    assert [line.split(":")[0] for line in said(0.5, 1000, terminal=True)] == ["cost"]


def test_steps_of_many_minutes_are_told_after_the_second():
    assert said(600, 4)[0].startswith("cost:     about 20 min to go")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.03, "0.03 s"), (75, "75 s"), (240, "4 min"), (9000, "2.5 h"), (400_000, "4.6 days")]
)
def test_times_are_in_the_unit_of_a_person(seconds, text):
    assert duration(seconds) == text


def test_bytes_are_in_the_unit_of_a_person():
    assert (memory(30 * 2**20), memory(1.5 * 2**30)) == ("30 MiB", "1.5 GiB")


def test_a_run_without_a_step_has_no_speed():
    result = {"seconds": 0.05, "steps": 0, "steps_per_second": 0.0, "statistics_share": 0.7}
    assert time_taken(result) == "0.05 s, no step was taken"
    assert time_taken({**result, "seconds": 30.0, "steps": 10, "steps_per_second": 0.3, "statistics_share": 0.04}) == (
        "30 s for 10 steps, 3.3 s each"
    )
    assert time_taken({**result, "seconds": 2.0, "steps": 100, "steps_per_second": 50.0}).endswith(
        "; measuring the layers took 70% of it"
    )


def test_variances_are_told_as_the_standard_deviations_that_one_sets():
    # GELU's critical point: sqrt(0.172922) = 0.4158
    text = "standard deviation sqrt(1.983/fan_in), that of biases 0.4158 (C_W=1.983, C_b=0.1729)"
    assert weights(1.98305825744, 0.172922390756) == text
    assert start(he([4, 8, 8, 2])) == "weights:  standard deviation sqrt(2/fan_in), no biases (C_W=2, C_b=0)"
    assert start(pytorch([4, 8, 2])).startswith("weights:  uniform standard deviation sqrt(0.3333/fan_in)")
    by_layer = "standard deviation from sqrt(1/fan_in) to sqrt(1.6/fan_in), as xavier has them (C_W by layer)"
    assert start(xavier([4, 8, 8, 2])) == f"weights:  {by_layer}"
    rule = uniform_depth("critical", [4, 8, 2], C_W=2.0, C_b=0.0, k1=0.5, note="because")
    assert start(rule).splitlines() == [
        "start:    because",
        "weights:  standard deviation sqrt(2/fan_in), no biases (C_W=2, C_b=0); sqrt(0.5/fan_in) in the first layer",
    ]
