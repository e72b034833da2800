"""Importing without collecting: the collector is then as it was, and what was made is not looked through again."""

import gc

import pytest

from repu_lab.configs.importing import uncollected


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_rests_meanwhile_and_is_then_as_it_was(collecting):
    before, frozen, made = gc.isenabled(), gc.get_freeze_count(), []
    try:
        (gc.enable if collecting else gc.disable)()
        with pytest.raises(ImportError), uncollected():
            assert not gc.isenabled()
            made += [[] for _ in range(1000)]
            raise ImportError
        assert gc.isenabled() == collecting
        assert gc.get_freeze_count() >= frozen + len(made)
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()
