"""Runs side by side: what is drawn is what was given."""

from itertools import pairwise

import numpy as np

from repu_lab.figures.comparison import MOST, RunCurves, comparison


def test_curves_of_different_depth_share_an_axis_and_end_with_their_name():
    deep = RunCurves(
        "relu", 5, measured=np.array([0.0, -0.1, -0.2, -0.3, -0.4]), theory=np.array([0.0, 0.0, 0.0, 0.0, 0.0])
    )
    flat = RunCurves("repu", 5, measured=np.array([0.0, 3.0, np.inf]))  # not finite at its end: named where it was last
    (axes,) = comparison([deep, flat]).axes
    theory, points, exploding = axes.lines
    assert np.asarray(points.get_xdata()).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert np.asarray(points.get_ydata()).tolist() == [0.0, -0.1, -0.2, -0.3, -0.4]
    assert (points.get_linestyle(), points.get_marker()) == ("None", "o")
    assert (theory.get_linestyle(), np.asarray(theory.get_ydata()).tolist()) == ("-", [0.0] * 5)
    assert np.asarray(exploding.get_xdata()).tolist() == [0.0, 0.25, 0.5]
    assert np.isnan(np.asarray(exploding.get_ydata())[2])
    assert points.get_color() == theory.get_color() != exploding.get_color()
    assert {text.get_text() for text in axes.texts} == {"relu", "repu"}


def test_beside_a_curve_that_leaves_float32_the_others_are_still_told_apart():
    (axes,) = comparison([RunCurves("a", 3, np.array([0.0, 2.0, 4.0])), RunCurves("b", 3, np.zeros(3))]).axes
    assert axes.get_yscale() == "linear"
    (axes,) = comparison([RunCurves("a", 3, np.array([0.0, 4.0, 80.0])), RunCurves("b", 3, np.zeros(3))]).axes
    low, high = axes.get_ylim()
    place = axes.transScale.transform
    assert (place((0, 4))[1] - place((0, 0))[1]) / (place((0, high))[1] - place((0, low))[1]) > 0.2


def test_the_metric_is_the_median_with_a_network_without_a_number_as_the_worst():
    metric = np.array([[0.1, 0.1, 0.1], [0.9, np.nan, 0.5]])
    figure = comparison([RunCurves("a", 3, np.zeros(3), steps=[0, 100], metric=metric)], "accuracy")
    _, right = figure.axes
    (line,) = right.lines
    assert (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) == ([0, 100], [0.1, 0.5])
    assert right.get_ylabel() == "accuracy"


def test_the_names_of_as_many_curves_as_there_are_colours_have_room_within_the_panel():
    figure = comparison([RunCurves(f"run {i}", 3, np.array([0.0, 0.0, 1e-3 * i])) for i in range(MOST)])
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == MOST and axes.bbox.y0 <= boxes[0].y0 and boxes[-1].y1 <= axes.bbox.y1
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))
