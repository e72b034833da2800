"""A batch of inputs as theory follows it: its covariance at the first layer, and the pairs that stand for it."""

import math
from dataclasses import dataclass

import numpy as np

from repu_lab.theory.angles import Floats
from repu_lab.theory.law import Law, check_positive

# Inputs followed together; the extremes of a larger batch are extrapolated from their spread.
MAX_INPUTS = 128
# Inputs whose K^1 agree within 10 %: images. Of others the largest are among those that are followed.
SAME_SIZE = 1.1


@dataclass(frozen=True)
class Pair:
    """Two inputs that stand for the batch: K^1 of the first, the second's over it, and their 1 - c.

    `excess`: log10 of the batch's mean square difference, relative to its size, over that of these two.
    """

    k1: float
    ratio: float
    distance: float
    excess: float = 0.0


@dataclass(frozen=True)
class Batch:
    """`count` inputs. `covariance` (B, B): of the first preactivations of at most MAX_INPUTS of them, the largest.

    `lead` decides what its gradients and the spread of its outputs are, `typical` what its correlations are; where that
    is close, `paired` (2m, 2m): the covariance of some pairs (0, 1), (2, 3), ..., the nearest first.
    """

    count: int
    covariance: Floats
    lead: Pair
    typical: Pair
    paired: Floats


def batch_of(law: Law, count: int, *, correlation: float | None = None, covariance: Floats | None = None) -> Batch:
    """Return a batch of `count` inputs, given the covariance of the first preactivations of all or some of it.

    Else all of K^1 = law.k1 and any two of one `correlation`; left out: C_b / k1, that of orthogonal inputs (centred
    data).
    """
    check_positive(inputs=count)
    if covariance is not None:
        pairs = largest_pair(covariance, law.k1), typical_pair(covariance, law.k1)
        return Batch(count, largest(covariance, MAX_INPUTS), *pairs, in_pairs(covariance))
    c = law.C_b[0] / law.k1 if correlation is None else correlation
    followed, pair = min(count, MAX_INPUTS), Pair(law.k1, 1.0, 1 - c)
    of_one_size = law.k1 * (np.eye(followed) * (1 - c) + c)
    return Batch(count, of_one_size, pair, pair, in_pairs(of_one_size))


def typical_pair(covariance: Floats, k1: float) -> Pair:
    """Return the pair with the lower median 1 - c of inputs (0, 1), (2, 3), ...; of several such that of median D.

    The smaller one is the first: of a second one of 1e-9 of its size, which the other order leads to where K grows
    fast, the difference to the first says no angle. Inputs of one size have that of `k1`.
    """
    S = np.diagonal(covariance)
    a, b = np.arange(0, len(S) - 1, 2), np.arange(1, len(S), 2)
    a, b = np.where(S[a] <= S[b], a, b), np.where(S[a] <= S[b], b, a)
    a, b = a[S[a] > 0], b[S[a] > 0]
    if not len(a):
        return Pair(k1, 1.0, 1 - float(covariance.min()) / k1)
    root = np.sqrt(S[a] * S[b])
    distance = np.clip(1 - covariance[a, b] / root, 0.0, 2.0)
    D = S[a] + S[b] - 2 * covariance[a, b]
    middle = np.lexsort((D / root, distance.round(12)))[(len(a) - 1) // 2]
    return _pair(covariance, int(a[middle]), int(b[middle]), k1)


def in_pairs(covariance: Floats) -> Floats:
    """Return the covariance of the pairs (0, 1), (2, 3), ... in which no input is zero, in the order of their 1 - c."""
    S = np.diagonal(covariance)
    a = np.arange(0, len(S) - 1, 2)
    a = a[(S[a] > 0) & (S[a + 1] > 0)]
    nearest = a[np.argsort(-covariance[a, a + 1] / (np.sqrt(S[a]) * np.sqrt(S[a + 1])), kind="stable")]
    kept = np.column_stack([nearest, nearest + 1]).ravel()
    return covariance[np.ix_(kept, kept)]


def largest_pair(covariance: Floats, k1: float) -> Pair:
    """Return the typical pair where all inputs have one size, else the largest and one of median difference to it.

    The largest decides what the batch's gradients and the spread of its outputs are where K grows fast.
    """
    S = np.diagonal(covariance)
    if S.max() < SAME_SIZE * S.min() or len(S) == 1:
        return typical_pair(covariance, k1)
    first = int(S.argmax())
    D = S[first] + S - 2 * covariance[first]
    others = np.delete(np.arange(len(S)), first)
    second = others[np.argsort(D[others], kind="stable")[(len(others) - 1) // 2]]
    return _pair(covariance, first, int(second), k1)


def largest(covariance: Floats, count: int) -> Floats:
    """Return the covariance of the `count` inputs of the largest K^1: of inputs that differ they decide."""
    kept = np.sort(np.argsort(-np.diagonal(covariance), kind="stable")[:count])
    return covariance[np.ix_(kept, kept)]


def _pair(covariance: Floats, a: int, b: int, k1: float) -> Pair:
    S = np.diagonal(covariance)
    distance = float(np.clip(1 - covariance[a, b] / math.sqrt(S[a] * S[b]), 0.0, 2.0)) if S[b] > 0 else 1.0
    mean = 2 * (S.mean() - covariance.mean()) * len(S) / (len(S) - 1) / S.mean()
    relative = max(S[a] + S[b] - 2 * covariance[a, b], 0.0) / S[a]
    excess = math.log10(mean / relative) if mean > 0 and relative > 0 else 0.0
    same = S.max() < SAME_SIZE * S.min()
    return Pair(k1 if same else float(S[a]), max(float(S[b] / S[a]), 1e-300), distance, excess)
