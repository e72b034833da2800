"""Jobs are what Hydra and its sweeper would run, composed and checked beforehand."""

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from repu_lab.activations import ACTIVATIONS
from repu_lab.configs import config
from repu_lab.configs.composition import compose_jobs, composer
from repu_lab.configs.config import ConfigError
from repu_lab.configs.groups import conf_dir
from repu_lab.configs.text import nearest, printable

LINES = [
    [],
    ["depth=3"],
    ["activation=mrepu", "activation.p=3", "optimizer=sgd", "optimizer.momentum=0.9"],
    ["experiment=repu_vanishes", "depth=4"],
    ["experiment=repu_explodes", "activation=relu"],
    ["activation=custom", "activation._target_=a.B", "+activation.slope=2", "+activation.table={x: [1, 2]}"],
    ["width=${depth}", "depth=3", "depth=4"],
    ["++depth=3", "sweep='a, b'"],
]


def hydras(overrides: list[str]) -> object:
    config.register("train")
    with initialize_config_dir(str(conf_dir()), job_name="train", version_base="1.3"):
        return OmegaConf.to_container(compose("train", overrides=overrides), resolve=True)


@pytest.mark.parametrize("overrides", LINES, ids=" ".join)
def test_configs_are_hydras(overrides):
    with composer("train") as composing:
        ours = composing.compose([composing.parse(text) for text in overrides])
    assert OmegaConf.to_container(ours, resolve=True) == hydras(overrides)


@pytest.mark.parametrize(
    "line",
    [
        "depth=5,10 width=range(8,11) members=2",
        "activation=glob(re*) seed=choice(3,4)",
        "depth=1,2 depth=7",
        "depth=7 seed=1 depth=1,2",
        "experiment=repu_explodes,relu_trains depth=range(3,1,-1)",
        "optimizer.lr=0.1,auto",
    ],
)
def test_sweeps_are_the_basic_sweepers(line):
    overrides = line.split()
    jobs = compose_jobs("train", overrides, multirun=True)
    with composer("train") as composing:
        parsed = OverridesParser.create(composing.parser.config_loader).parse_overrides(overrides)
        (theirs,) = BasicSweeper.split_arguments(parsed, None)
    assert [list(job.overrides) for job in jobs] == theirs


def test_a_job_of_a_sweep_has_the_name_of_the_single_run():
    (single,) = compose_jobs("train", ["depth=5"])
    sweep = compose_jobs("train", ["depth=3,5"], multirun=True)
    assert sweep[1].folder.name == single.folder.name
    assert {job.folder.parent for job in sweep} == {sweep[0].sweep}
    assert sweep[1].config == single.config


def test_jobs_may_be_named_by_their_overrides_as_hydra_names_them():
    """Sorted, with = and commas, without Hydra's own; a single run likewise."""
    line = ["seed=1", "depth=3,5", "activation=relu", "hydra.sweep.subdir=${hydra:job.override_dirname}"]
    names = [job.folder.name for job in compose_jobs("train", line, multirun=True)]
    assert names == ["activation=relu,depth=3,seed=1", "activation=relu,depth=5,seed=1"]
    (job,) = compose_jobs("train", ["width=8", "depth=3", "hydra.run.dir=runs/${hydra.job.override_dirname}"])
    assert str(job.folder) == "runs/depth=3,width=8"


def test_folders_may_be_named_otherwise():
    (run,) = compose_jobs("train", ["hydra.run.dir=here/${depth}"])
    assert str(run.folder) == "here/10"
    jobs = compose_jobs("train", ["depth=3,5", "hydra.sweep.dir=there", "hydra.sweep.subdir=${hydra.job.num}"], True)
    assert [str(job.folder) for job in jobs] == ["there/0", "there/1"]


def test_jobs_that_would_share_a_folder_are_refused():
    with pytest.raises(ConfigError, match=r"hydra.sweep.subdir: jobs 1 and 2 of 2 would share .*/same; leave it out"):
        compose_jobs("train", ["depth=3,5", "hydra.sweep.subdir=same"], multirun=True)
    with pytest.raises(ConfigError, match="jobs 1 and 3 of 3 are the same run: depth=3"):
        compose_jobs("train", ["depth=3,5,3"], multirun=True)


def test_a_rate_of_1_and_of_1_0_is_one_run():
    whole, real = (compose_jobs("train", [f"optimizer.lr={rate}"])[0] for rate in ("1", "1.0"))
    assert whole.folder == real.folder and whole.config == real.config
    with pytest.raises(ConfigError, match="jobs 1 and 2 of 2 are the same run"):
        compose_jobs("train", ["optimizer.lr=1,1.0"], multirun=True)


def test_presets_of_ones_own(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\ndepth: 3\n")
    searchpath = f"hydra.searchpath=[file://{tmp_path}]"
    (job,) = compose_jobs("train", [searchpath, "experiment=mine"])
    assert job.config.depth == 3
    with pytest.raises(ConfigError, match="did you mean mine"):
        compose_jobs("train", [searchpath, "experiment=mien"])


@pytest.mark.parametrize(("command", "foreign"), [("theory", "task=digits"), ("propagate", "optimizer=sgd")])
def test_a_command_knows_its_own_groups_only(command, foreign):
    with pytest.raises(ConfigError, match="no such key"):
        compose_jobs(command, [foreign])
    assert compose_jobs(command, ["activation=relu"])[0].folder.name.startswith(f"{command}-relu")


def test_every_activation_has_its_config():
    options = {path.stem for path in (conf_dir() / "activation").glob("*.yaml")}
    assert options == {*ACTIVATIONS, "custom", "formula"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_configs_of_activations_hold_the_constructors_defaults(name):
    settings = dict(compose_jobs("train", [f"activation={name}"])[0].config.activation)
    assert settings.pop("name") == name
    target = ACTIVATIONS[name]
    assert settings.pop("_target_") == f"repu_lab.activations.{target.__name__}"
    assert repr(target(**settings)) == repr(target())


def test_lines_are_printable_and_short():
    assert printable("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert len(printable("x" * 10_000)) == 400


@pytest.mark.parametrize(
    ("word", "valid", "hint"),
    [
        ("dpth", ["depth", "width"], ", did you mean depth?"),
        ("lr", ["optimizer.lr", "depth"], ", did you mean optimizer.lr?"),
        ("zzz", ["depth", "width"], ""),
    ],
)
def test_nearest(word, valid, hint):
    assert nearest(word, valid) == hint


# Names of folders as version 0.1.0 made them: another one would run what has finished once more.
FOLDERS = {
    "train": "train-repu_p2-depth10-width128-critical-7a600097",
    "train activation=mrepu activation.p=3 optimizer=sgd optimizer.momentum=0.9 block=residual": (
        "train-mrepu_p3_scale1-depth10-width128-critical-b1229996"
    ),
    "train experiment=repu_vanishes block.norm=rms members=4": "train-repu_p2-depth20-width128-custom-a2f309a5",
    "train task=function optimizer.lr=1 precision=tf32 dtype=float64": (
        "train-repu_p2-depth10-width128-critical-56aa9fb8"
    ),
    "propagate activation=gelu depth=50": "propagate-gelu-depth50-width128-critical-a16d4fe0",
    "theory activation=formula activation.formula='z*relu(1+z)**2'": (
        "theory-formula_z_relu_1_z_2-depth10-width128-critical-c8a5b690"
    ),
    "reproduce scale=smoke": "reproduce-smoke",
}


@pytest.mark.parametrize("line", FOLDERS)
def test_folders_keep_their_names(line):
    command, *overrides = line.split()
    (job,) = compose_jobs(command, overrides)
    assert job.folder.name == FOLDERS[line]


def test_sweeps_keep_their_names():
    jobs = compose_jobs("train", ["depth=3,5", "seed=1,2"], multirun=True)
    assert str(jobs[0].sweep) == "outputs/sweeps/depth_3_5_seed_1_2-b1487796"
    assert [job.folder.name[-8:] for job in jobs] == ["fa053f33", "0b7a09f3", "6fa5a92a", "81be8e9d"]
