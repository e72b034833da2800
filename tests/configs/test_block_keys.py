"""How a kind of layer is typed: one run has one name, old names stay, and what cannot be is said in one line."""

import pytest

from repu_lab import blocks
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError, result_fields
from repu_lab.configs.schema import NORMS
from repu_lab.runs.building import build_block

SMALL = ("depth=6", "width=32", "members=3", "steps=20", "threads=1")


def job(*overrides: str, command: str = "train"):
    return compose_jobs(command, [*SMALL, *overrides] if command == "train" else list(overrides))[0]


def test_runs_of_earlier_versions_keep_their_folders():
    """Names as version 0.1 gave them, before there were blocks and shifts."""
    assert job("activation=repu").folder.name == "train-repu_p2-depth6-width32-critical-e1f283bb"
    named = job("activation=tanh", "residual=true")
    assert named.folder.name == "train-tanh-depth6-width32-critical-bc5b6f43"
    assert "block" not in result_fields(named.config)


@pytest.mark.parametrize(
    "same",
    [
        ("residual=true", "block=residual"),
        ("block=residual block.branch=1", "residual=true block.norm=none"),
        ("activation=repu activation.shift=0", "activation=repu"),
        ("block=residual block.branch=2", "residual=true block.branch=2.0"),
    ],
)
def test_one_run_has_one_name(same):
    first, second = (job(*text.split()) for text in same)
    assert first.folder == second.folder and result_fields(first.config) == result_fields(second.config)


def test_every_setting_is_another_run_and_another_block():
    lines = [
        "",
        "block=residual",
        "block.norm=rms",
        "block.norm=layer",
        "block.norm=layer_after",
        "block.scalar=true",
        "residual=true block.norm=rms",
        "block=residual block.branch=auto",
        "block=residual block.branch=rezero",
        "block=residual block.branch=0.5",
    ]
    jobs = [job(*line.split()) for line in lines]
    assert len({each.folder for each in jobs}) == len({build_block(each.config) for each in jobs}) == len(lines)
    assert build_block(jobs[7].config).branch == 6**-0.5
    assert build_block(jobs[8].config).learned and build_block(jobs[8].config).branch == 0
    assert set(NORMS) == set(blocks.NORMS)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("block.branch=auto", "belongs to block=residual; add that or leave it out"),
        ("block=residual depth=1", "depth=1 has no map between hidden layers; take depth=2 or more"),
        ("residual=true block.branch=auto depth=1", "take depth=2 or more"),
        ("block.scalar=true block.norm=rms", "leave one of the two out"),
        ("block.scalar=true optimizer.weight_decay=0.1", "would shrink the scales"),
        ("block.norm=batch", "must be one of none, rms, layer, layer_after"),
        ("block=residual block.branch=-1", "must be auto, rezero or a finite number above 0"),
        ("block=residual block.branch=fast", "must be auto, rezero or a finite number above 0"),
        ("block=skip", "plain, residual"),
        ("block.nrm=rms", "norm"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(line, says):
    with pytest.raises(ConfigError) as error:
        job(*line.split())
    assert says in str(error.value) and "\n" not in str(error.value)
