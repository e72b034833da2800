"""A figure for a narrow screen: its panels below each other, so that its letters stay large enough to be read."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repu_lab.figures.style import NORMAL, legend

WIDTH = 4.2  # inches: on a phone's 380 pixels the smallest letters, of 7.5 points, are 9.4 pixels high
FOR_PHONES = ".narrow.svg"  # how the file of a narrow figure ends


def narrow(figure: Figure) -> bool:
    """Lay the panels of a figure in one column of WIDTH, with the labels that they shared; False if it stays as it is.

    It stays where it is no wider, and where panels are nested, have colour bars, or have no title of their own but that
    of their column.
    """
    width, height = figure.get_size_inches()
    panels = [axes for axes in figure.axes if axes.axison and axes.get_visible()]
    places = [axes.get_subplotspec() for axes in panels]
    grids = {place.get_gridspec() for place in places if place is not None}
    titled = all(axes.get_title("left") or axes.get_title() for axes in panels)
    if width <= WIDTH or len(grids) != 1 or None in places or (len(panels) > 1 and not titled):
        return False
    (grid,) = grids
    for axes in set(figure.axes) - set(panels):
        axes.remove()
    column = figure.add_gridspec(len(panels), 1)
    for i, axes in enumerate(panels):
        axes.set_subplotspec(column[i])
        _label(axes, panels[0], panels[-1])
    figure.set_size_inches(WIDTH, len(panels) * height / grid.nrows)
    for wide in list(figure.legends):
        names, title = [text.get_text() for text in wide.get_texts()], wide.get_title().get_text()
        drawn = {
            name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        handles = [drawn.get(name, handle) for name, handle in zip(names, wide.legend_handles, strict=True)]
        wide.remove()
        close = {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 0.8, "borderpad": 0, "borderaxespad": 0}
        legend(figure, handles, names, loc="outside upper left", ncols=2, title=title or None, **close)
    return True


def _label(axes: Axes, first: Axes, last: Axes) -> None:
    axes.tick_params(labelleft=True, labelbottom=True)
    axes.set_xlabel(axes.get_xlabel() or last.get_xlabel(), fontsize=NORMAL)
    axes.set_ylabel(axes.get_ylabel() or first.get_ylabel(), fontsize=NORMAL)
