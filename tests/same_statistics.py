"""What is measured in networks, compared quantity by quantity: measured another way, or by theory."""

import numpy as np

from repu_lab.networks.statistics import LayerStatistics
from repu_lab.theory import KernelLayers

NAMES = (
    "log10_K", "correlation", "log10_chi_parallel", "log10_chi_perp", "log10_gradient", "dead", "log10_max_abs",
    "excess_kurtosis", "mean", "nan",
)  # fmt: skip


def assert_same_statistics(logs: LayerStatistics, plain: LayerStatistics) -> None:
    for name in NAMES:
        np.testing.assert_allclose(getattr(logs, name), getattr(plain, name), rtol=1e-9, atol=1e-9, err_msg=name)


def assert_as_in_wide_networks(
    stats: LayerStatistics, theory: KernelLayers, correlation: np.ndarray, width: int
) -> None:
    """Within 4.5 standard errors of the mean over networks, and 4 depth / width that infinite width leaves out."""
    for measured, wanted in (
        (stats.log10_K[:-1], theory.log10_K[:-1]),
        (stats.log10_chi_perp, theory.log10_chi_perp[:-1]),
        (10**stats.log10_chi_parallel, theory.chi_parallel[:-1]),
        (stats.correlation[:-1], correlation[:-1]),
    ):
        mean_LM = measured.mean(-1)
        error_L = mean_LM.std(1) / mean_LM.shape[1] ** 0.5
        allowed = 4.5 * error_L + 4 * (len(theory.K) - 1) / width + 1e-12
        np.testing.assert_array_less(np.abs(mean_LM.mean(1) - wanted), allowed)
