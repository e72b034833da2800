"""Command lines of every kind: all keys, groups and options, with what breaks parsers, shells, file systems, floats."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from repu_lab.configs.command import job_command
from repu_lab.configs.composition import Job
from repu_lab.configs.groups import conf_dir
from repu_lab.runs.job import check_job, run_job
from repu_lab.sweeps.launching import slots

NETWORK = ["depth=1", "width=4", "initialization=he"]
# What makes a command small, and what comes last: 10^9 steps are a valid wish, and a plan starts another process.
SMALL = {
    "train": [*NETWORK, "steps=1", "batch_size=8", "probe=4", "statistics=false"],
    "propagate": [*NETWORK, "members=1", "probe=4", "activation=relu"],
    "theory": [*NETWORK, "activation=relu"],
}
SWEEP = ["-m"]
LAST = {"train": ["steps=1", "plan=false"], "propagate": ["plan=false"], "theory": ["plan=false"]}

# No whole number between 4 and 10^6: a network of 100,000 layers is a valid wish too, but no quick one.
NUMBERS = ["0", "-0", "1", "2", "3", "-1", "+1", "007", "1_0", "0x10", "1e0", "1e1", "2.5", ".5", "5.", "-2.5", "0.1"]
NUMBERS += ["1e-3", "1e-320", "1e-400", "1e308", "-1e308", "1e999", "-1e999", "nan", "-nan", "inf", "-inf", "1j"]
NUMBERS += ["0.9999999999999999", "2147483648", "9223372036854775808", "-9223372036854775809"]
WORDS = ["true", "false", "True", "yes", "null", "None", "???", "auto", "all", "x2", "cpu", "cuda", "cuda:99", "mps"]
WORDS += ["float16", "bfloat16", "trained", "exploded", "_", "-", "--", "~", "*", "%s", "%n", "{0}", "\\", "\\\\'", "'"]
PATHS = ["..", "../x", "../../etc/passwd", "/etc/passwd", "/dev/null/x", "/proc/self/x", "a/../../b", "file:///etc"]
TEXTS = ["", " ", "a b", "two\nlines", "\r", "\t", "\x00", "\x1b[31mred", "\x9b2J", "\u202etxt", "ünïcödé", "雪", "😀"]
TEXTS += ["\udcff", "$(touch x)", "`touch x`", "; touch x", "| touch x", "> x", "~/x", "a#b", "!!python/name:os.system"]
TEXTS += [
    "${depth}",
    "${width}",
    "${oc.env:HOME}",
    "${oc.env:NOT_THERE}",
    "${oc.env:A,1}",
    "${hydra:runtime.cwd}",
    "${",
]
TEXTS += ["${nothing}", "${now:%Y}", "${oc.decode:'[1'}", "${oc.create:{a:1}}", "${activation}", "${seed}${seed}"]
NESTS = ["[]", "{}", "[1,2]", "{a: 1}", "{a: {b: [1, {c: null}]}}", "[[[[]]]]", "{_target_: os.system}", "[", "}", "("]
NESTS += ["'1'", "'a,b'", '"a"', "1,2", "1,1", "1,a", "a,b,", "1,", "range(1,3)", "range(3,1)", "range(0,1,0)"]
NESTS += ["range(0,1e9)", "range(0,nan)", "glob(*)", "glob(re*,exclude=relu)", "glob([)", "choice()", "choice(1,2)"]
NESTS += [
    "interval(0,1)",
    "sort(3,2)",
    "shuffle(1,2)",
    "str(1)",
    "int(2.5)",
    "int(a)",
    "float(x)",
    "tag(a,b)",
    "cast(1)",
]
LONG = ["9" * 400, "9" * 5000, "a" * 100_000, "[" * 3000, "{a:" * 500, "1," * 300, "'" * 999, "../" * 999, "x" * 300]
SHORT = ["1", "2", "3", "0.5", "null", "true"]
VALUES = st.one_of(
    *map(st.sampled_from, (SHORT, NUMBERS, NUMBERS, WORDS, PATHS, TEXTS, NESTS, LONG)),
    st.integers().map(str).filter(lambda text: not 4 < abs(int(text)) < 10**6),
    st.floats().map(repr),
    st.text(max_size=12),
)

HYDRAS = ["hydra.job.chdir=true", "hydra.output_subdir=.hydra", "hydra.mode=RUN", "hydra.verbose=true", "hydra=null"]
HYDRAS += ["hydra.job.name=x", "hydra.job.env_set={A: b}", "hydra.run={dir: x}", "hydra={}", "hydra.run.dir=1,2"]
HYDRAS += ["hydra.callbacks={x: {_target_: os.getcwd}}", "+hydra.callbacks.x._target_=os.getcwd", "hydra/launcher=none"]
HYDRAS += ["hydra.launcher._target_=os.getcwd", "hydra.launcher=null", "hydra.launcher.workers=x", "hydra/env=default"]
HYDRAS += ["hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size=2", "hydra.sweeper.params={depth: '1,2'}"]
HYDRAS += ["hydra.searchpath=[pkg://os]", "hydra.searchpath=3", "hydra/job_logging=default", "hydra/sweeper=basic"]
HYDRAS += ["hydra/launcher=slurm", "hydra/output=default", "hydra.runtime.output_dir=x", "hydra/launcher=basic"]
PLACES = ["/", "here", "..", ".", "", "../beside", "taken/../../b", "x" * 300, "$(touch x)", "ünï", "\x1b[31m", "a\nb"]
PLACES += ["\x00", "/dev/null", "/proc", "/proc/x", "taken", "taken/file", "${hydra:runtime.cwd}/in", "null", "???"]
PLACES += ["${oc.env:NOT_THERE}", "~"]
# Wishes that are valid for many values, where the arithmetic has to bear them.
CUSTOM = "initialization=custom initialization.c_w="
EXTREMES = [f"{CUSTOM}{{}}", f"{CUSTOM}1 initialization.c_b={{}}", f"{CUSTOM}1 initialization.k1={{}}", "members={}"]
EXTREMES += [f"dtype=float16 {CUSTOM}{{}}", "initialization=critical activation=tanh", "depth=3 seed={}", "probe={}"]
EXTREMES += [f"activation={name} activation.p={{}}" for name in ("repu", "mrepu", "monomial", "spline_repu")]
EXTREMES += ["activation=leaky_relu activation.slope={}", "activation=elu activation.alpha={}", "data_seed={}"]
TRAINING = ["optimizer.lr={}", "optimizer=adamw optimizer.weight_decay={}", "optimizer.clip={}", "optimizer.beta1={}"]
TRAINING += ["optimizer=sgd optimizer.momentum={}", "optimizer.beta2={}", "task=polynomial batch_size={}"]
TRAINING += ["statistics=true", "residual=true", "task=function", "checkpoint.every_seconds={}"]
OPTIONS = ["--cfg", "--resolve", "-p", "--package", "-x", "--help", "-", "--run", "--info", "@x"]


def launch_here(command: str, jobs: Sequence[Job], settings: Mapping[str, Any], most: int = 2) -> int:
    """Run the first jobs of a sweep in this process, as launching.launch would run all of them in workers."""
    if settings["where"] == "here":
        slots(settings)
    for job in jobs:
        check_job(job_command(command), job.config, job.folder)
    return max(run_job(job_command(command), job.config, job.folder) for job in jobs[:most])


def keys_of(schema: type, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a command."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        yield prefix + field.name
        if dataclasses.is_dataclass(hints[field.name]):
            yield from keys_of(typing.cast(type, hints[field.name]), f"{prefix}{field.name}.")


OF_ACTIVATIONS = ["activation.p", "activation.slope", "activation._target_", "activation.new", "activation.formula"]
KEYS = {command: [*keys_of(job_command(command).config), *OF_ACTIVATIONS] for command in SMALL}
FETCHED = ("mnist", "cifar10")  # over the network
GROUPS = {
    group: sorted(path.stem for path in (conf_dir() / group).glob("*.yaml") if path.stem not in FETCHED)
    for group in ("activation", "experiment", "initialization", "optimizer", "task")
}
KINDS = ["value"] * 6 + ["extreme"] * 4 + ["group"] * 2 + ["place"] * 2 + ["misspelt", "mark", "hydra", "raw"]


@st.composite
def overrides(draw: st.DrawFn, command: str) -> list[str]:
    """One override of a command, right or wrong, with those it needs."""
    kind = draw(st.sampled_from(KINDS))
    key = draw(st.sampled_from(KEYS[command]))
    if kind == "extreme":
        template = draw(st.sampled_from(EXTREMES + (TRAINING if command == "train" else [])))
        return template.format(draw(st.sampled_from(NUMBERS) | st.floats(min_value=0).map(repr))).split()
    if kind == "group":
        group = draw(st.sampled_from(sorted(GROUPS)))
        return [f"{group}={draw(st.sampled_from(GROUPS[group]) | VALUES)}"]
    if kind == "hydra":
        return [draw(st.sampled_from(HYDRAS))]
    if kind == "place":
        key = draw(st.sampled_from(["run.dir", "run.dir", "sweep.dir", "sweep.subdir"]))
        return [f"hydra.{key}={draw(st.sampled_from(PLACES if key == 'run.dir' else PLACES[1:]))}"]
    if kind == "raw":
        return [draw(VALUES)]
    if kind == "misspelt":
        at = draw(st.integers(0, len(key)))
        key = key[:at] + draw(st.sampled_from(["", "x", ".", "/", "@", "_", "[0]", " ", "\n", "é"])) + key[at + 1 :]
    mark = draw(st.sampled_from(["+", "++", "~", "~~"])) if kind == "mark" else ""
    return [f"{mark}{key}={draw(VALUES)}"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, what makes it small, and one to three overrides of any kind, perhaps an option."""
    command = draw(st.sampled_from(["train"] * 6 + ["propagate", "theory"]))
    small = SMALL[command] + (SWEEP if draw(st.integers(0, 3)) == 0 else [])
    drawn = [text for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))) for text in draw(overrides(command))]
    if draw(st.integers(0, 7)) == 0:
        drawn.append(draw(st.sampled_from(OPTIONS) | VALUES))
    return [command, *small, *drawn, *LAST[command]]
