"""The next command after a run or a sweep: a config with one change that theory expects to help, or training."""

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from repu_lab.activations import MRePU, SplineRePU
from repu_lab.activations.powers import LARGEST_MREPU_SCALE
from repu_lab.configs.command import job_commands
from repu_lab.configs.composition import Job
from repu_lab.configs.schema import (
    BlockConfig,
    InitializationConfig,
    PropagateConfig,
    TailorConfig,
    TheoryConfig,
    TrainConfig,
)
from repu_lab.configs.spelling import literal
from repu_lab.configs.untrusted import OWN_PACKAGE
from repu_lab.runs.analysis import Question
from repu_lab.runs.building import Experiment, build
from repu_lab.runs.folder import RunFolder
from repu_lab.theory.choosing import critical_initialization
from repu_lab.theory.forecast import LIKELY, NEAR, Forecast
from repu_lab.theory.rates import SAFE

FAILED = ("exploded", "vanished", "diverged", "stalled", "explodes", "vanishes", "collapses correlations")
# A rate that diverged without theory knowing a limit.
SLOWER = 10.0
PLAIN = re.compile(r"[\w./-][\w./ -]*", re.ASCII)  # a path that Hydra's grammar takes without quotes
NONE = "no change that was tried is forecast to help"

Topic = Experiment | Question
Config = TrainConfig | PropagateConfig | TheoryConfig
Change = tuple[str, list[str], Config]  # in words, as it is typed, and the config it makes


def say_next(topic: Topic, expected: Forecast | None, records: Sequence[Mapping[str, Any]], folder: RunFolder) -> None:
    """Print the next command after a run, and note it in the manifest for when the run is typed again.

    Not in the result: jobs that train together store what each would alone, and 256 of them are given no advice.
    """
    advice = next_command(topic, expected, records, folder.path / "config.yaml")
    folder.notes["next"] = advice and f"next:     {advice}"
    if advice:
        folder.log(f"next:     {advice}")


def next_command(
    topic: Topic, expected: Forecast | None, records: Sequence[Mapping[str, Any]], config_file: Path
) -> str | None:
    """Return how many networks failed and where, and the command that may change that; None if all of them trained.

    Of several failures the commonest that a change is known for. After divergence a larger scale of the argument, where
    there is one, else a smaller rate; that too after a stall near the largest stable one; after another stall a larger
    rate, more steps or skips. After explosion, vanishing or a stall under a first pass that loses its signal: the first
    of another number format, a larger scale, the critical initialization, a smaller k1, skips, normalised ones,
    spline_repu whose forecast is that at least LIKELY of the networks survive, and more than now. Each try costs a
    forecast. Where signals survive and nothing was trained, the command that trains.
    """
    config = topic.config
    if kinds := failures(config, records):
        advice = (_advice(topic, expected, records, kind, config_file) for kind in kinds)
        return next(filter(None, advice), f"{_where(topic, kinds[0], records)}; {NONE}")
    if isinstance(config, TrainConfig):
        return None
    alone = ["members=1"] * isinstance(config, PropagateConfig)
    return f"its signal gets through; whether it trains: {shlex.join([*_typed('train', config, config_file), *alone])}"


def _advice(
    topic: Topic, expected: Forecast | None, records: Sequence[Mapping[str, Any]], kind: str, config_file: Path
) -> str | None:
    config, where = topic.config, _where(topic, kind, records)
    base = _typed(_command_of(config), config, config_file)
    limit = 0.0 if expected is None else math.inf if expected.stable_rate is None else expected.stable_rate
    if kind == "diverged" and (scaled := _larger_scale(config)):
        words, change, _ = scaled
        return f"{where}; {words} outputs need not grow in training: {shlex.join([*base, *change])}"
    safe = SAFE if expected is None else expected.safety
    known = limit < NEAR * safe * topic.lr
    too_fast = known and topic.lr > NEAR * limit
    if limit != 0 and (kind == "diverged" or (kind == "stalled" and too_fast)):
        change = [f"optimizer.lr={limit / safe if known else topic.lr / SLOWER:.2g}"]
        largest = f"; the largest stable one is {limit:.2g}" if known else ""
        return f"{where}{largest}: {shlex.join([*base, *change])}"
    if kind == "stalled" and (expected is None or expected.fate == "survives"):
        more = (f"{where}{why}: {shlex.join([*base, *change])}" for change, why in _more_training(topic))
        return next(more, None)
    now = 0.0 if expected is None else expected.probabilities["survives"]
    for words, change, changed in _changes(topic):
        if (chance := _survival(changed)) >= LIKELY and chance > now:
            return f"{where}; {chance:.0%} would survive {words}: {shlex.join([*base, *change])}"
    return None


def failures(config: Config, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of failure among the members, the commonest first; to stall where nothing trains is none."""
    kinds = [kind for kind, _ in Counter(record["outcome"] for record in records).most_common()]
    return [kind for kind in kinds if kind in FAILED and (kind != "stalled" or getattr(config, "steps", 0))]


def next_of_jobs(jobs: Sequence[Job]) -> str | None:
    """Return the next command for the commonest failure of a sweep's jobs, or that there is none; None if none failed.

    It is the config of the first job that fails so, with one change.
    """
    command = job_commands()[_command_of(jobs[0].config)]
    failed: dict[str, list[tuple[Job, list[Any]]]] = {}
    for job in jobs:
        members = (RunFolder(job.folder).read_json(str(command.result)) or {}).get("members")
        if members and (kinds := failures(job.config, members)):
            failed.setdefault(kinds[0], []).append((job, members))
    if not failed:
        return None
    kind, cases = max(failed.items(), key=lambda item: len(item[1]))
    job, members = cases[0]
    topic = command.prepare(job.config, job.folder).parts
    try:
        expected = command.forecast and command.forecast(topic)
    except ValueError:
        expected = None
    advice = _advice(topic, expected, members, kind, job.folder / "config.yaml") or NONE
    return f"{kind} in {len(cases)} of {len(jobs)} jobs; of {job.folder.name}: {advice}"


def _typed(command: str, config: Config, config_file: Path) -> list[str]:
    """Return the words of a command line that starts from a run's config."""
    foreign = not str(config.activation.get("_target_", "")).startswith(OWN_PACKAGE)
    path = str(config_file)
    place = path if PLAIN.fullmatch(path) else literal(path)
    return ["repu-lab", command, f"config={place}", *["trust=true"] * foreign]


def _command_of(config: Config) -> str:
    return next(name for name, command in job_commands().items() if command.config is type(config))


def _where(topic: Topic, kind: str, records: Sequence[Mapping[str, Any]]) -> str:
    these = [record for record in records if record["outcome"] == kind]
    count = f"{len(these)} of {len(records)} " if len(these) < len(records) else ""
    layers = [record["layer"] for record in these if record["layer"] is not None]
    layer = f" at layer {median(layers):.0f}" if layers else ""
    step = f" at step {median(record['step'] for record in these):.0f}" if kind == "diverged" else ""
    rate = f", at rate {topic.lr:.2g}" if kind in ("diverged", "stalled") else ""
    return f"{count}{kind}{step}{layer}{rate}"


def _changes(topic: Topic) -> Iterator[Change]:
    """Yield what may help, the smallest change first."""
    config, rule = topic.config, topic.rule
    critical, chosen = _critical(config)
    weights = config.initialization.weights
    if config.dtype not in ("float32", "float64"):
        yield "in float32", ["dtype=float32"], replace(config, dtype="float32")
    if scaled := _larger_scale(config):
        yield scaled
    if rule.name != "critical":
        yield "with critical weights", chosen, replace(config, initialization=critical)
    C_W, C_b = f"{rule.C_W[-1]:.6g}", f"{rule.C_b[-1]:.6g}"
    for size, k1 in (("a tenth", f"{rule.k1 / 10:.3g}"), ("a hundredth", f"{rule.k1 / 100:.3g}")):
        if float(k1) > float(C_b):
            start = InitializationConfig(name="custom", c_w=float(C_W), c_b=float(C_b), k1=float(k1), weights=weights)
            typed = {"c_w": C_W, "c_b": C_b, "k1": k1}
            parts = [f"initialization.{key}={value}" for key, value in typed.items()]
            words = f"from a first signal {size} as large"
            yield words, ["initialization=custom", *parts, *chosen[1:]], replace(config, initialization=start)
    if not config.residual:
        changed = replace(config, residual=True, initialization=critical)
        yield "with skips around the layers", ["residual=true", *chosen], changed
    if config.block == BlockConfig():
        yield _skips(config)
    spline = {"name": "spline_repu", "_target_": f"{SplineRePU.__module__}.{SplineRePU.__name__}"}
    yield (
        "with a spline of shifted RePUs",
        ["activation=spline_repu", *["tailor=none"] * (config.tailor.name != "none"), *chosen],
        replace(config, activation=spline, tailor=TailorConfig(), initialization=critical),
    )


def _skips(config: Config) -> Change:
    critical, chosen = _critical(config)
    block = BlockConfig(branch="auto", norm="rms")
    changed = replace(config, residual=True, block=block, initialization=critical)
    return (
        "with skips around normalised layers",
        ["block=residual", "block.branch=auto", "block.norm=rms", *chosen],
        changed,
    )


def _more_training(topic: Topic) -> Iterator[tuple[list[str], str]]:
    """Yield what may help where signals get through and nothing was learnt: a larger rate, more steps, or skips."""
    config = topic.config
    assert isinstance(config, TrainConfig)
    if config.optimizer.lr != "auto":
        automatic = build(replace(config, optimizer=replace(config.optimizer, lr="auto"))).lr
        if automatic > SLOWER * topic.lr:
            yield ["optimizer.lr=auto"], f"; the lab would take {automatic:.2g}"
    if config.steps < TrainConfig.steps:
        yield [f"steps={TrainConfig.steps}"], f", in {config.steps} step{'s' * (config.steps != 1)} only"
    if not config.residual and config.block == BlockConfig() and config.depth > 1:
        words, change, changed = _skips(config)
        if _survival(changed) >= LIKELY:
            yield change, f"; its signal gets through, try {words.removeprefix('with ')}"


def _larger_scale(config: Config) -> Change | None:
    """Return the change to the scale of MRePU's argument at which `critical` has k1 = 1, None where it does not rise.

    With outputs of order 1 from the start training need not enlarge the signal, which drives MRePU over the edge.
    """
    if config.activation.get("name") != "mrepu" or config.tailor.name != "none":  # which has a scale of its own
        return None
    k1 = critical_initialization(MRePU(config.activation.get("p", 1.0)), config.depth).k1
    scale = min(float(f"{k1**-0.5:.2g}"), LARGEST_MREPU_SCALE)
    if scale <= 2 * config.activation.get("scale", 1.0):
        return None
    critical, chosen = _critical(config)
    changed = replace(config, activation={**config.activation, "scale": scale}, initialization=critical)
    change = [f"activation.scale={scale:g}", *chosen]
    if isinstance(changed, TrainConfig) and changed.optimizer.lr != "auto":
        change.append("optimizer.lr=auto")
        changed = replace(changed, optimizer=replace(changed.optimizer, lr="auto"))
    return f"with MRePU stretched {scale:g} times", change, changed


def _critical(config: Config) -> tuple[InitializationConfig, list[str]]:
    """Return the critical initialization with the config's weights, and how it is typed: a group resets its keys."""
    weights = config.initialization.weights
    kept = [f"initialization.weights={weights}"] * (weights != "gaussian")
    return InitializationConfig(name="critical", weights=weights), ["initialization=critical", *kept]


def _survival(config: Config) -> float:
    """Return the probability with which a network of a changed config survives its first pass, 0 if it cannot run."""
    command = job_commands()[_command_of(config)]
    assert command.forecast is not None
    try:
        return command.forecast(command.prepare(config, Path()).parts).probabilities["survives"]
    except ValueError:  # ConfigError too: the change does not go with this activation, or theory has no forecast
        return 0.0
