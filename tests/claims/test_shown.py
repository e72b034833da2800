"""Pictures of claims on made-up runs: intervals as in the tables, of networks that share data; a panel for all data."""

from typing import Any

import numpy as np
import pytest
from made_up_lab import Keys, MadeUp
from matplotlib.axes import Axes
from test_claim_figures import drawn_intervals

from repu_lab.claims.approximation import learning
from repu_lab.claims.beyond import spline
from repu_lab.claims.lab import Trained
from repu_lab.claims.physics import burgers
from repu_lab.claims.statistics import median_interval
from repu_lab.claims.vision import images


class Scattered(MadeUp):
    """A lab whose networks differ in their errors, by activation, division and number, and have learning curves."""

    def __init__(self, scale: str):
        def member(keys: Keys, number: int) -> dict[str, Any]:
            error = 0.3 + len(keys["activation"]) / 100 + int(keys["data_seed"]) % 10 / 50 + number / 70
            measures = {"relative_l2": error, "relative_h1": 0.9 * error}
            return {"outcome": "trained", "metric": 1 - error, "validation_metric": 1 - error, "measures": measures}

        super().__init__(member, scale)

    def made_up(self, job: tuple[str, ...]) -> Trained:
        run = super().made_up(job)
        metric = np.full((3, len(run.members)), 0.5)
        run.__dict__["statistics"] = {"step": np.arange(3), "test_metric": metric}
        return run


def spans(axes: Axes) -> set[tuple[float, ...]]:
    """Return both ends of every line of two points, a median's interval."""
    ends = [np.asarray(line.get_xdata(), float).tolist() for line in axes.lines]
    return {tuple(pair) for pair in ends if len(pair) == 2 and pair[0] < pair[1]}


def cells(rows: Any, first: int, last: int) -> set[tuple[float, ...]]:
    return {tuple(row[first:last]) for row in rows}


def test_every_set_of_images_has_a_panel(monkeypatch):
    """Where MNIST, Fashion-MNIST and CIFAR-10 can all be had there are six."""
    monkeypatch.setattr(images, "unavailable", lambda dataset: None)
    figure = images.examine(Scattered("full")).pictures[0].figure
    assert [axes.get_title("left")[3:].replace("\n", " ") for axes in figure.axes] == [
        "digits", "mnist", "fashion_mnist", "cifar10", "digits, orthogonal weights", "digits, residual",
    ]  # fmt: skip
    assert [bool(axes.get_ylabel()) for axes in figure.axes] == [True, False, False] * 2


def test_errors_of_functions_and_derivatives():
    evidence = learning.examine_functions(Scattered("full"))
    rows = evidence.tables[-1].rows
    listed = cells(rows, 8, 11) | cells(rows, 11, 14)
    assert drawn_intervals(evidence.pictures[0].figure) == {tuple(np.round(each, 9).tolist()) for each in listed}


def test_errors_of_burgers_solutions(monkeypatch):
    """Two networks on each of five divisions: an interval of (1 + .5)^.5 times the width of ten independent ones."""
    monkeypatch.setattr(burgers, "_solution_pictures", lambda *_: [])
    evidence = burgers.examine(Scattered("full"))
    rows, picture = evidence.tables[0].rows, evidence.pictures[0]
    (tanh,) = (row for row in rows if row[0] == "tanh")
    errors = [0.34 + division / 50 + number / 70 for division in range(5) for number in range(2)]
    alone = median_interval(errors)
    assert tanh[3:6] == pytest.approx([alone.estimate + 1.5**0.5 * (end - alone.estimate) for end in alone])
    assert picture.name == "errors" and spans(picture.figure.axes[0]) == cells(rows, 4, 6)


def test_accuracies_of_splines():
    evidence = spline.examine(Scattered("smoke"))
    (counted,) = (table for table in evidence.tables if table.columns[:3] == ("case", "depth", "activation")
                  and "accuracy" in table.columns)  # fmt: skip
    shallower = [row for row in counted.rows if row[:2] == ["XOR", 20]]
    assert spans(evidence.pictures[0].figure.axes[2]) == cells(shallower, 9, 11)
