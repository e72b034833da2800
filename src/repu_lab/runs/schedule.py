"""When networks are looked at, test split and layers: a pure function of the step, dense at first, geometric later."""

import math

from repu_lab.configs.schema import ALONG, ENDS


def measured_steps(last: int, looks: str = ALONG) -> list[int]:
    """Return the steps after which a run of `last` is looked at: 0, 1, 2, 3, 4, 6, 8, 11, 16, ...

    The powers of sqrt(2), rounded, and the last step: 21 looks in 1,000 steps, 41 in a million. At its ends: 0 and the
    last.
    """
    if looks == ENDS:
        return sorted({0, last})
    powers = (round(2 ** (i / 2)) for i in range(2 * last.bit_length() + 1))
    return sorted({step for step in (*range(5), *powers, last) if step <= last})


def is_measured(step: int, last: int, looks: str = ALONG) -> bool:
    """Whether a step is one of `measured_steps`."""
    if looks == ENDS:
        return step in (0, last)
    return step <= 4 or step == last or step == round(2 ** (round(2 * math.log2(step)) / 2))


def is_profiled(step: int, last: int) -> bool:
    """Whether a depth profile and histograms are drawn: after 0, 1, 8, 64, 512, ... updates and the last.

    All of these are measured steps; a chart with more curves than that cannot be read.
    """
    return step == 0 or step == last or (step & (step - 1) == 0 and (step.bit_length() - 1) % 3 == 0)
