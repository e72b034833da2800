"""What orthogonal weights make of a layer: its inputs, turned at random as one, at O(n B^2) a layer instead of O(n^3).

Q Haar orthogonal keeps lengths and angles, so the law of Q H depends on H through H^T H alone: with any root R of that,
Q H = U R, U uniform among d x r matrices of orthonormal columns (the Stiefel manifold; for one input the sphere). With
G of d x r normal numbers, r <= d, U = G (G^T G)^(-1/2) or any other root of G^T G that follows from G^T G alone. Of a
map to fewer units than it has inputs the layer is the first rows of that.
"""

import numpy as np
import torch

from repu_lab.theory.angles import Floats


def sphere(chains: int, units: int, dimension: int, generator: np.random.Generator) -> Floats:
    """Return the first `units` of `dimension` coordinates of points on the sphere |x|^2 = dimension: (.., units, 1)."""
    x = generator.standard_normal((chains, dimension, 1))
    x *= np.sqrt(dimension / np.einsum("mib,mib->mb", x, x))[:, None, :]
    return x[:, :units]


def frames(chains: int, units: int, dimension: int, count: int, generator: np.random.Generator) -> Floats:
    """Return `units` rows of sqrt(d) U, U uniform of d x count orthonormal columns, d = dimension: (.., units, count).

    By Cholesky's root where the columns are few, whose error is eps times the square of G's condition number; else by
    the QR of G with the signs of R's diagonal taken out.
    """
    if count == 1:
        return sphere(chains, units, dimension, generator)
    G = torch.from_numpy(generator.standard_normal((chains, dimension, count)))
    if 2 * count <= dimension:
        root = torch.linalg.cholesky(G.mT @ G / dimension)
        return torch.linalg.solve_triangular(root.mT, G[:, :units], upper=True, left=False).numpy()
    Q, R = torch.linalg.qr(G)
    Q *= dimension**0.5 * R.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
    return Q[:, :units].numpy()
