"""A figure for a narrow screen: fewer panels beside each other, so that letters stay large enough to be read."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase, SubplotSpec

from repu_lab.figures.style import NORMAL, legend

WIDTH = 4.2  # inches: on a phone's 380 pixels the smallest letters, of 7.5 points, are 9.4 pixels high
FOR_PHONES = ".narrow.svg"  # how the file of a narrow figure ends


def narrow(figure: Figure) -> bool:
    """Lay out a wide figure in WIDTH, as many panels in a row as nearly keep their width; False if it is no wider.

    A panel without a title stays below the one whose title it shares. The first panel of a row and the last below a
    title bear the labels that they shared with others.
    """
    width, height = figure.get_size_inches()
    if width <= WIDTH:
        return False
    grids: dict[GridSpecBase, list[Axes]] = {}
    for axes in figure.axes:
        if (place := axes.get_subplotspec()) and axes.axison and axes.get_visible():
            grids.setdefault(place.get_gridspec(), []).append(axes)
        elif axes.get_label() != "<colorbar>":
            axes.remove()
    heights = {(grid, _place(axes).rowspan.start): _height(axes) for grid, panels in grids.items() for axes in panels}
    columns = {grid: max(1, int(WIDTH / width * grid.ncols)) for grid in grids}
    rows = [(row, columns[grid]) for grid, panels in grids.items() for row in _rows(panels, columns[grid])]
    ratios = [_height(row[0]) for row, _ in rows]
    figure.set_size_inches(WIDTH, height * sum(ratios) / sum(heights.values()))
    across = math.lcm(*columns.values())
    column = figure.add_gridspec(len(rows), across, height_ratios=ratios)
    for i, (row, parts) in enumerate(rows):
        for j, axes in enumerate(row):
            axes.set_subplotspec(column[i, j * across // parts : (j + 1) * across // parts])
    for wide in list(figure.legends):
        names, title = [text.get_text() for text in wide.get_texts()], wide.get_title().get_text()
        drawn = {
            name: handle for axes in figure.axes for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        handles = [drawn.get(name, handle) for name, handle in zip(names, wide.legend_handles, strict=True)]
        wide.remove()
        close = {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 0.8, "borderpad": 0, "borderaxespad": 0}
        legend(figure, handles, names, loc="outside upper left", ncols=2, title=title or None, **close)
    return True


def _rows(panels: Sequence[Axes], columns: int) -> Iterator[list[Axes]]:
    """Yield the panels of a grid in rows of so many, stacks of one title together, and label them."""
    stacks: list[list[Axes]] = []
    for axes in panels:
        above = [stack for stack in stacks if _place(stack[0]).colspan == _place(axes).colspan]
        if above and not (axes.get_title("left") or axes.get_title()):
            above[-1].append(axes)
        else:
            stacks.append([axes])
    for i in range(0, len(stacks), columns):
        for level in zip_longest(*stacks[i : i + columns]):
            row = [axes for axes in level if axes]
            beside = [axes for axes in panels if _place(axes).rowspan == _place(row[0]).rowspan]
            up_to_it = reversed(beside[: beside.index(row[0]) + 1])
            row[0].tick_params(labelleft=True)
            row[0].set_ylabel(_shared(axes.get_ylabel() for axes in up_to_it), fontsize=NORMAL)
            yield row
        for *_, lowest in stacks[i : i + columns]:
            lowest.tick_params(labelbottom=True)
            lowest.set_xlabel(_shared(axes.get_xlabel() for axes in (lowest, *reversed(panels))), fontsize=NORMAL)


def _shared(labels: Iterator[str]) -> str:
    return next(filter(None, labels), "")


def _height(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return _place(axes).get_position(figure).height


def _place(axes: Axes) -> SubplotSpec:
    place = axes.get_subplotspec()
    assert place is not None
    return place
