"""The configuration of a run: its fields, their meaning, their checks, and the name that follows from them.

Every field states in its metadata what it means (`doc`), which values are valid (`check`, which returns a complaint or
None) and whether it decides the result (`affects_result`). A run's folder is named by a hash of the fields that do,
as typed or defaulted, so that the same command finds the same folder on every machine. Nothing here imports torch.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Check = Callable[[Any], str | None]

DTYPES = ("float16", "bfloat16", "float32", "float64")
OUTCOMES = ("exploded", "vanished", "diverged", "trained", "learning", "stalled")


class ConfigError(ValueError):
    """A value the user can mend: one line that names the key, the cause and the valid values."""


def setting(default: Any, doc: str, check: Check | None = None, *, affects_result: bool = True) -> Any:
    """Declare a field of a config: its default, what it means, what is valid and whether it decides the result."""
    metadata = {"doc": doc, "check": check, "affects_result": affects_result}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def whole(at_least: int, at_most: int | None = None) -> Check:
    """Check for a whole number within bounds."""
    bounds = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def check(value: Any) -> str | None:
        valid = isinstance(value, int) and not isinstance(value, bool) and value >= at_least
        return None if valid and (at_most is None or value <= at_most) else f"must be a whole number {bounds}"

    return check


def number(at_least: float | None = None, below: float | None = None, *, optional: bool = False) -> Check:
    """Check for a finite number within bounds."""
    bounds = [f"of at least {at_least:g}"] if at_least is not None else []
    bounds += [f"below {below:g}"] if below is not None else []
    text = " ".join(["must be a finite number", " and ".join(bounds)]).strip()

    def check(value: Any) -> str | None:
        if value is None and optional:
            return None
        valid = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        inside = valid and (at_least is None or value >= at_least) and (below is None or value < below)
        return None if inside else text

    return check


def one_of(*valid: Any, optional: bool = False) -> Check:
    """Check for one of a few values."""

    def check(value: Any) -> str | None:
        known = value in valid or (optional and value is None)
        return None if known else f"must be one of {', '.join(map(str, valid))}"

    return check


def _learning_rate(value: Any) -> str | None:
    return None if value == "auto" else number(0)(value) and "must be auto or a finite number of at least 0"


def _threads(value: Any) -> str | None:
    return None if value is None else whole(1, 4096)(value)


def _device(value: Any) -> str | None:
    valid = isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value)
    return None if valid else "must be auto, cpu, cuda, cuda:0, cuda:1, ... or mps"


@dataclass(kw_only=True)
class InitializationConfig:
    """The distribution of the weights and biases: W_ij ~ (0, C_W / fan_in), b_i ~ (0, C_b)."""

    name: str = setting(MISSING, "the rule")
    c_w: float | None = setting(None, "C_W, weight variance times fan-in (custom only)", number(0, optional=True))
    c_b: float | None = setting(None, "C_b, bias variance (custom only)", number(0, optional=True))
    k1: float | None = setting(
        None, "K^1 of an input with |x|^2/n_0 = 1, realised by the first layer; left out: c_b + c_w (custom only)",
        number(0, optional=True),
    )  # fmt: skip


@dataclass(kw_only=True)
class TaskConfig:
    """What is learnt."""

    name: str = setting(MISSING, "the task")
    target: str | None = setting(
        None, "what is regressed: all, x, x2, xy or xyz (polynomial only)",
        one_of("all", "x", "x2", "xy", "xyz", optional=True),
    )  # fmt: skip


@dataclass(kw_only=True)
class OptimizerConfig:
    """How weights follow their gradient."""

    name: str = setting(MISSING, "the method")
    lr: float | int | str = setting("auto", "learning rate; auto: the rule in the README", _learning_rate)
    weight_decay: float = setting(0.0, "weight decay: added to the gradient, decoupled for adamw", number(0))
    clip: float | None = setting(None, "largest norm of a member's gradient", number(0, optional=True))
    momentum: float | None = setting(None, "momentum (sgd only)", number(0, 1, optional=True))
    beta1: float | None = setting(None, "decay of the mean of the gradient (adam, adamw)", number(0, 1, optional=True))
    beta2: float | None = setting(None, "decay of the mean of its square (adam, adamw)", number(0, 1, optional=True))


@dataclass(kw_only=True)
class TrainConfig:
    """Train a population of multilayer perceptrons."""

    activation: dict[str, Any] = setting(dict, "activation function, a group: see conf/activation")
    depth: int = setting(10, "L, hidden layers: L activations, L + 1 affine maps", whole(1, 100_000))
    width: int = setting(128, "n, units of a hidden layer", whole(1, 1_000_000))
    initialization: InitializationConfig = setting(InitializationConfig, "distribution of the initial weights, a group")
    task: TaskConfig = setting(TaskConfig, "what is learnt, a group")
    optimizer: OptimizerConfig = setting(OptimizerConfig, "how weights follow their gradient, a group")
    members: int = setting(1, "M, networks trained side by side", whole(1, 1_000_000))
    seed: int = setting(0, "member i is initialized from seed + i", whole(0, 2**62))
    data_seed: int = setting(0, "seed of the data's split and of the order of the batches", whole(0, 2**62))
    steps: int = setting(1000, "optimizer steps", whole(0, 1_000_000_000))
    batch_size: int = setting(128, "examples a step", whole(1))
    dtype: str = setting("float32", f"number format: {', '.join(DTYPES)}", one_of(*DTYPES))
    device: str = setting("auto", "auto (cuda, else mps, else cpu), cpu, cuda, cuda:1, mps", _device)
    threads: int | None = setting(None, "CPU threads; none: torch's own choice", _threads)
    statistics: bool = setting(True, "measure and log per-layer statistics")
    probe: int = setting(32, "inputs on which the statistics are measured", whole(2, 100_000))
    require: str | None = setting(
        None, "exit with code 3 unless every member ends so (trained, ...)", one_of(*OUTCOMES, optional=True),
        affects_result=False,
    )  # fmt: skip
    rerun: bool = setting(False, "run again although the folder holds a finished run", affects_result=False)
    config: str | None = setting(None, "start from a run's config.yaml", affects_result=False)
    trust: bool = setting(False, "let config=FILE name classes outside repu_lab", affects_result=False)
    sweep: str | None = setting(None, "name of the sweep's folder; none: made from the overrides", affects_result=False)


COMMANDS: dict[str, type] = {"train": TrainConfig}


def register() -> None:
    """Make the dataclasses known to Hydra as `<command>_schema`, and the resolvers that name folders."""
    store = ConfigStore.instance()
    for command, schema in COMMANDS.items():
        store.store(name=f"{command}_schema", node=schema)
    OmegaConf.register_new_resolver("repu_lab.folder", _folder_resolver, replace=True)
    OmegaConf.register_new_resolver("repu_lab.sweep", _sweep_resolver, replace=True)


def check(command: str, cfg: DictConfig) -> Any:
    """Return the composed config as the command's dataclass; ConfigError for the first value that is not valid."""
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(COMMANDS[command]), cfg))
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(key + str(error).splitlines()[0]) from error
    _check_fields(config, "")
    _check_groups(config)
    optimizer = getattr(config, "optimizer", None)
    if optimizer is not None and optimizer.lr != "auto":
        optimizer.lr = float(optimizer.lr)  # lr=1 and lr=1.0 are the same run
    return config


def _check_fields(config: Any, prefix: str) -> None:
    for spec in fields(config):
        value = getattr(config, spec.name)
        if is_dataclass(value):
            _check_fields(value, f"{prefix}{spec.name}.")
        complaint = spec.metadata["check"] and spec.metadata["check"](value)
        if complaint:
            raise ConfigError(f"{prefix}{spec.name}={value}: {complaint} ({spec.metadata['doc']})")


def _check_groups(config: Any) -> None:
    """Refuse settings that the chosen option of a group would ignore."""
    rule = config.initialization
    if rule.name != "custom":
        for key in ("c_w", "c_b", "k1"):
            if getattr(rule, key) is not None:
                raise ConfigError(
                    f"initialization.{key}={getattr(rule, key)}: belongs to initialization=custom, "
                    f"but the rule is {rule.name}; add initialization=custom or leave it out"
                )
    elif rule.c_w is None:
        raise ConfigError("initialization.c_w: initialization=custom needs it (C_W, weight variance times fan-in)")
    elif rule.k1 is not None and rule.k1 < (rule.c_b or 0.0):
        raise ConfigError(
            f"initialization.k1={rule.k1}: must be at least c_b={rule.c_b or 0.0}, since K^1 = C_b + C_W^1 |x|^2/n_0"
        )
    optimizer = getattr(config, "optimizer", None)
    if optimizer is not None:
        foreign = ("beta1", "beta2") if optimizer.name == "sgd" else ("momentum",)
        for key in foreign:
            if getattr(optimizer, key) is not None:
                raise ConfigError(
                    f"optimizer.{key}={getattr(optimizer, key)}: does not exist for optimizer={optimizer.name}; "
                    f"valid: lr, weight_decay, clip, {'momentum' if optimizer.name == 'sgd' else 'beta1, beta2'}"
                )
    task = getattr(config, "task", None)
    if task is not None and task.name != "polynomial" and task.target is not None:
        raise ConfigError(f"task.target={task.target}: belongs to task=polynomial, but the task is {task.name}")


def result_fields(config: Any) -> dict[str, Any]:
    """Return the fields that decide the result, nested, as typed or defaulted."""
    chosen: dict[str, Any] = {}
    for spec in fields(config):
        if spec.metadata["affects_result"]:
            value = getattr(config, spec.name)
            chosen[spec.name] = result_fields(value) if is_dataclass(value) else value
    return chosen


def config_hash(command: str, config: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the command and its fields that decide the result."""
    canonical = json.dumps([command, result_fields(config)], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def folder_name(command: str, config: Any) -> str:
    """Return `<slug>-<hash>`: readable, safe for any shell and file system, the same wherever it is computed."""
    activation = dict(config.activation)
    name = str(activation.pop("name", "activation"))
    activation.pop("_target_", None)
    details = "".join(f"_{key}{value}" for key, value in sorted(activation.items()) if value is not None)
    slug = f"{command}-{name}{details}-depth{config.depth}-width{config.width}-{config.initialization.name}"
    return f"{safe(slug)}-{config_hash(command, config)[:8]}"


def safe(text: str) -> str:
    """Return text with everything replaced that a shell or file system could take amiss, at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip(".-")[:80]


def _without_hydra(root: DictConfig) -> DictConfig:
    bare = OmegaConf.create({key: node for key, node in root.items_ex(resolve=False) if key != "hydra"})
    assert isinstance(bare, DictConfig)
    return bare


def _folder_resolver(*, _root_: DictConfig) -> str:
    command = str(_root_.hydra.job.name)
    try:
        return folder_name(command, check(command, _without_hydra(_root_)))
    except ConfigError:
        return "invalid"  # shown by --cfg hydra only: nothing runs before every job is checked


def _sweep_resolver(*, _root_: DictConfig) -> str:
    named = _root_.get("sweep")
    if named:
        return safe(str(named))
    overrides = sorted(str(override) for override in _root_.hydra.overrides.task)
    digest = hashlib.sha256(json.dumps([str(_root_.hydra.job.name), overrides]).encode()).hexdigest()[:8]
    return f"{safe('_'.join(overrides))[:60]}-{digest}"
