"""Who errs less: comparisons of activations by the errors of their fresh networks, and what a champion is."""

from collections.abc import Mapping, Sequence

import numpy as np

from repu_lab.claims.base import Table
from repu_lab.claims.statistics import LEVEL, Array, Comparison, paired_test
from repu_lab.claims.verdicts import Verdict

Comparisons = Mapping[str, Mapping[str, Comparison]]  # champion -> rival


def decades(
    errors: Mapping[str, Array], champions: Sequence[str], rivals: Sequence[str], *, sharing: int = 1
) -> dict[str, dict[str, Comparison]]:
    """Compare log10 of each champion's errors with those of each rival, seed by seed.

    errors: name -> (seeds,) or (cases, seeds), of which the mean over the cases is compared. Networks of one seed start
    from the same first weights at every depth, and those of one case share its data: seeds alone are independent, and
    as many pairs as cases times seeds would make a p-value that is too small. sharing: how many of the seeds share a
    draw of the data, see `paired_test`.
    """
    log10 = {name: np.log10(np.atleast_2d(errors[name])).mean(0) for name in (*champions, *rivals)}
    return {
        name: {rival: paired_test(log10[name], log10[rival], sharing=sharing) for rival in rivals} for name in champions
    }


def champion(comparisons: Comparisons, *, ahead: int = 0) -> Verdict:
    """Say whether a champion, of several, has smaller errors than all rivals but `ahead` of them.

    Each win counts at level 5 % divided by the number of champions, which have as many chances to be supported; each
    loss at 5 % divided by the number of rivals, as many chances to be refuted. Supported if one champion wins as often
    as that takes, refuted if each loses more than `ahead` times, else inconclusive.
    """

    def count(rivals: Mapping[str, Comparison], sign: int, chances: int) -> int:
        sure = (c for c in rivals.values() if c.p_value < (1 - LEVEL) / chances)
        return sum(sign * c.difference.estimate > 0 for c in sure)

    if any(count(rivals, -1, len(comparisons)) >= len(rivals) - ahead for rivals in comparisons.values()):
        return Verdict.SUPPORTED
    lost = all(count(rivals, 1, len(rivals)) > ahead for rivals in comparisons.values())
    return Verdict.REFUTED if lost else Verdict.INCONCLUSIVE


def in_order(errors: Mapping[str, Array]) -> list[str]:
    """Return the names from the smallest to the largest median error."""
    return sorted(errors, key=lambda name: float(np.median(errors[name])))


def standing(errors: Mapping[str, Array]) -> str:
    """Return `GELU 0.012, tanh 0.03`: median errors, the smallest first."""
    return ", ".join(f"{name} {np.median(errors[name]):.2g}" for name in in_order(errors))


def ratio_table(comparisons: Comparisons, caption: str) -> Table:
    """Return a row for each champion and rival: the ratio of their errors with its interval, p-value and effect."""
    return Table(
        caption=f"{caption} Ratio: median over seeds, 95 % interval; effect: share of seeds for which the first "
        "one's error is the larger.",
        columns=("activation", "against", "ratio of errors", "low", "high", "p", "effect"),
        rows=[
            [name, rival, *(10.0**bound for bound in compared.difference), compared.p_value, compared.effect]
            for name, rivals in comparisons.items()
            for rival, compared in rivals.items()
        ],
    )
