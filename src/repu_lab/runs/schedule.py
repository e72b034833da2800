"""When statistics are taken: a pure function of the step, dense at the start and geometric later."""

import math


def is_measured(step: int, last: int) -> bool:
    """Whether per-layer statistics are taken after `step` updates of a run of `last`: 0, 1, 2, 3, 4, 6, 8, 11, 16, ...

    The powers of sqrt(2), rounded, and the last step: 21 measurements in 1,000 steps, 41 in a million.
    """
    return step <= 4 or step == last or step == round(2 ** (round(2 * math.log2(step)) / 2))


def is_profiled(step: int, last: int) -> bool:
    """Whether a depth profile and histograms are drawn: after 0, 1, 8, 64, 512, ... updates and the last.

    All of these are measured steps; a chart with more curves than that cannot be read.
    """
    return step == 0 or step == last or (step & (step - 1) == 0 and (step.bit_length() - 1) % 3 == 0)
