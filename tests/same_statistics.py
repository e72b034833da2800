"""Two ways of measuring a network, compared quantity by quantity."""

import numpy as np

from repu_lab.networks.statistics import LayerStatistics

NAMES = (
    "log10_K", "correlation", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "dead", "log10_max_abs",
    "excess_kurtosis", "mean", "nan",
)  # fmt: skip


def assert_same_statistics(logs: LayerStatistics, plain: LayerStatistics) -> None:
    for name in NAMES:
        np.testing.assert_allclose(getattr(logs, name), getattr(plain, name), rtol=1e-9, atol=1e-9, err_msg=name)
