"""The size of a paper's columns, and how series and activations look: the same in every figure."""

from typing import Any

from repu_lab.figures.style import INK

COLUMN, PAGE = 3.4, 7.0  # inches
SERIES = ("#0072B2", "#D55E00", "#009E73", "#8F4B86", "#B37700", INK, "#56B4E9", "#777777")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
# Colour, marker, dash of each activation.
LOOKS: dict[str, tuple[str, str, Any]] = {
    "RePU 2": ("#D55E00", "o", DASHES[0]), "RePU 3": ("#D55E00", "D", DASHES[1]),
    "MRePU 1": ("#0072B2", "^", DASHES[0]), "MRePU 2": ("#0072B2", "v", DASHES[1]),
    "ReLU": (INK, "s", DASHES[0]), "GELU": ("#B37700", "P", DASHES[1]), "tanh": ("#009E73", "X", DASHES[0]),
    "MRePU 3": ("#0072B2", "<", DASHES[2]), "spline RePU 2": ("#8F4B86", "*", DASHES[0]),
    "spline RePU 3": ("#8F4B86", "p", DASHES[1]), "skew spline": ("#D55E00", "d", DASHES[0]),
    "wide spline": ("#0072B2", "h", DASHES[0]), "one-sided spline": ("#56B4E9", ">", DASHES[1]),
    "identity": ("#777777", "x", DASHES[2]), "RePU 2 of z + 4": ("#8F4B86", "D", DASHES[1]),
    "MRePU 1, dks": ("#56B4E9", "^", DASHES[0]), "MRePU 2, dks": ("#56B4E9", "v", DASHES[1]),
    "MRePU 2, tat": ("#56B4E9", ">", DASHES[2]), "RePU 2, shift": ("#D55E00", "o", DASHES[0]),
    "RePU 2, tat": ("#D55E00", "D", DASHES[1]),
}  # fmt: skip
