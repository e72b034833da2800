"""Looking at a population: a graph's look, with stand-ins for the graph, is the plain one or is not used."""

import pytest
import torch

from repu_lab.runs import observation
from repu_lab.runs.graphs import equal_bits
from repu_lab.runs.observation import Observer
from repu_lab.runs.state import State
from repu_lab.runs.stepping import CAPTURED, PLAIN


class Agreeing:
    """Looks again at each replay, and counts them."""

    def __init__(self, work, _device):
        self.first, self.work, self.replays = work(), work, 0

    def replay(self):
        self.replays += 1
        return self.work()


class Differing(Agreeing):
    def replay(self):
        seen = self.work()
        seen.layers.log10_K[0, 0, 0] += 1e-9
        return seen


class Raising:
    def __init__(self, *_):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.fixture
def observer(monkeypatch):
    """Return a function that makes one whose graphs are stand-ins, and the list of what it says."""

    def make(built, state, graph):
        said = []
        monkeypatch.setattr(observation, "Graph", graph)
        return Observer(built, state, said.append), said

    return make


def move(state):
    with torch.no_grad():
        state.population.theta.mul_(1.5)


@pytest.mark.parametrize("settings", [[], ["activation=repu", "depth=12", "initialization=he"], ["task=polynomial"]])
def test_a_graphs_look_is_the_plain_one_and_always_counts_the_histogram(experiment, observer, settings):
    built = experiment("members=3", *settings)
    state = State.start([built])
    graphs, (sees, said) = [], observer(built, state, lambda *args: graphs.append(Agreeing(*args)) or graphs[-1])
    state.stepping = CAPTURED
    for histogram in (True, False, True, False):
        seen, plain = sees.all(histogram), sees.some([slice(0, 3)], True)
        assert all(map(equal_bits, seen.tensors(), plain.tensors()))
        assert seen.layers is not None and seen.layers.histogram is not None
        move(state)
    assert [graph.replays for graph in graphs] == [4] and not said  # tried at once and used again


@pytest.mark.parametrize(
    ("graph", "why"),
    [(Raising, "operation not permitted when stream is capturing"), (Differing, "it does not give the same bits")],
)
def test_a_graph_that_fails_is_said_once_and_not_tried_again(experiment, observer, graph, why):
    built = experiment()
    state = State.start([built])
    sees, said = observer(built, state, graph)
    state.stepping = CAPTURED
    for _ in range(3):
        seen, plain = sees.all(True), sees.some([slice(0, 1)], True)
        assert all(map(equal_bits, seen.tensors(), plain.tensors()))
        move(state)
    assert len(said) == 1 and said[0].startswith(f"looks:    one kernel at a time, not as one graph: {why}")
    assert "\n" not in said[0]


def test_plain_steps_take_plain_looks(experiment, observer):
    built = experiment()
    state = State.start([built])
    sees, said = observer(built, state, Raising)
    for state.stepping in (None, PLAIN):
        assert sees.all(False).layers is not None
    assert not said
