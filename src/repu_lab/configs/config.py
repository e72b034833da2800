"""From a composed config to a checked one, and the folder name that follows from it.

A run's folder is named by a hash of the fields that decide the result, as typed or defaulted, so that the same command
finds the same folder on every machine. Nothing here imports torch.
"""

import ast
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import chain
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from repu_lab.configs.code import activation_name, own_files
from repu_lab.configs.command import job_command
from repu_lab.configs.launchers import LAUNCHERS
from repu_lab.configs.mistakes import one_by_one
from repu_lab.configs.schema import TAILOR_KEYS, TARGETS, TASK_KEYS, BlockConfig, TaskConfig
from repu_lab.configs.text import nearest, printable

LATER = {"repu": {"shift": 0}}  # arguments that came later, and the value with which they change nothing


class ConfigError(ValueError):
    """A value the user can mend: one line that names the key, the cause and the valid values."""


@cache
def register(command: str) -> None:
    """Make the dataclasses known to Hydra: that of a command as `<command>_schema`, and the launchers."""
    store = ConfigStore.instance()
    store.store(name=f"{command}_schema", node=job_command(command).config)
    for name, node in LAUNCHERS.items():
        store.store(group="hydra/launcher", name=name, node=node)


def check(cfg: DictConfig) -> Any:
    """Return a composed config as its command's dataclass; ConfigError for the first value that is not valid.

    OmegaConfBaseException for a value that is missing, of another type, or a reference to nothing.
    """
    config: Any = OmegaConf.to_object(cfg)
    activation = getattr(config, "activation", {})
    block, optimizer = getattr(config, "block", None), getattr(config, "optimizer", None)
    for key, usual in LATER.get(activation.get("name", ""), {}).items():
        if activation.get(key) == usual:
            del activation[key]
    _check_fields(config, "")
    _check_arguments(activation)
    for complaint in _ignored(config):
        raise ConfigError(complaint)
    # One run has one name: block=residual is residual=true, lr=1 is lr=1.0.
    if block is not None and block.name == "residual":
        config.residual, block.name = True, "plain"
    if block is not None and not isinstance(block.branch, str):
        block.branch = float(block.branch)
    if optimizer is not None and optimizer.lr != "auto":
        optimizer.lr = float(optimizer.lr)
    return config


def _check_fields(config: Any, prefix: str) -> None:
    for spec in fields(config):
        value, made = getattr(config, spec.name), spec.default_factory
        if isinstance(made, type) and is_dataclass(made) and not isinstance(value, made):
            key = f"{prefix}{spec.name}"  # OmegaConf lets an interpolation be of any type
            cause = f"{key}={printable(str(value))}: {one_by_one(key, made, value)}"
            raise ConfigError(f"{cause} ({spec.metadata['doc']})")
        if is_dataclass(value):
            _check_fields(value, f"{prefix}{spec.name}.")
        complaint = spec.metadata["check"] and spec.metadata["check"](value)
        if complaint:
            raise ConfigError(f"{prefix}{spec.name}={printable(str(value))}: {complaint} ({spec.metadata['doc']})")


def _check_arguments(activation: dict[str, Any]) -> None:
    """Refuse an argument of the activation that no name and no hash can be made of; write a formula in one way."""
    for key, value in activation.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            shown = printable(str(value))
            raise ConfigError(f"activation.{key}={shown}: must be text, a finite number or a list of them") from error
    if activation.get("name") == "formula":
        activation["formula"] = _respaced(activation["formula"])


def _respaced(formula: Any) -> Any:
    """Return a formula as Python writes it, so that spaces make no other run; as it is if it is not one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of `1if`; reading it will say what is wrong
            return ast.unparse(ast.parse(formula.strip(), mode="eval")).replace(" ** ", "**")
    except (AttributeError, SyntaxError, ValueError, MemoryError, RecursionError):
        return formula


def _ignored(config: Any) -> Iterator[str]:
    """Yield what is wrong with settings that the chosen option of a group would ignore, or cannot have."""
    rule = getattr(config, "initialization", None)
    if rule is None:
        return
    if rule.weights == "centred" and config.width == 1:
        yield "initialization.weights=centred: with width=1 they are all 0; take width=2 or more"
    for key, kinds in TAILOR_KEYS.items():
        if (value := getattr(config.tailor, key)) is not None and config.tailor.name not in kinds:
            belongs = f"belongs to tailor={' or '.join(kinds)}, but here it is {config.tailor.name}"
            yield f"tailor.{key}={value}: {belongs}; leave it out"
    if rule.name != "custom":
        for key in ("c_w", "c_b", "k1"):
            if (value := getattr(rule, key)) is not None:
                belongs = f"belongs to initialization=custom, but the rule is {rule.name}"
                yield f"initialization.{key}={value}: {belongs}; add initialization=custom or leave it out"
    elif rule.c_w is None:
        yield "initialization.c_w: initialization=custom needs it (C_W, weight variance times fan-in)"
    elif rule.k1 is not None and rule.k1 < (rule.c_b or 0.0):
        yield f"initialization.k1={rule.k1}: must be at least c_b={rule.c_b or 0.0}, since K^1 = C_b + C_W^1 |x|^2/n_0"
    optimizer = getattr(config, "optimizer", None)
    if (block := getattr(config, "block", None)) is not None:
        yield from _ignored_of_block(config, block, 0.0 if optimizer is None else optimizer.weight_decay)
    if optimizer is not None:
        foreign, own = ("beta1", "beta2"), ("momentum",)
        foreign, own = (foreign, own) if optimizer.name == "sgd" else (own, foreign)
        for key in foreign:
            if (value := getattr(optimizer, key)) is not None:
                valid = ", ".join(("lr", "weight_decay", "clip", *own))
                yield f"optimizer.{key}={value}: does not exist for optimizer={optimizer.name}; valid: {valid}"
    if (task := getattr(config, "task", None)) is not None:
        yield from _ignored_of_task(task)


def _ignored_of_block(config: Any, block: BlockConfig, weight_decay: float) -> Iterator[str]:
    residual = config.residual or block.name == "residual"
    if block.branch != 1 and not residual:
        yield f"block.branch={block.branch}: belongs to block=residual; add that or leave it out"
    if (block.branch != 1 or block.name == "residual") and config.depth < 2:
        yield "block=residual: depth=1 has no map between hidden layers; take depth=2 or more"
    if block.scalar and block.norm != "none":
        yield f"block.scalar=true: block.norm={block.norm} has a scale for each input already; leave one of the two out"
    if block.scalar and weight_decay:
        yield f"optimizer.weight_decay={weight_decay:g}: would shrink the scales that block.scalar=true froze; use 0"


def _ignored_of_task(task: TaskConfig) -> Iterator[str]:
    targets = TARGETS.get(task.name, ())
    if task.target is not None and targets and task.target not in targets:
        cause = f"no target of task={task.name}{nearest(task.target, targets)}; valid: {', '.join(targets)}"
        yield f"task.target={printable(task.target)}: {cause}"
    for key, owners in TASK_KEYS.items():
        if getattr(task, key) is not None and not {task.name, task.target} & set(owners):
            group = "task.target" if {*chain(*TARGETS.values())}.issuperset(owners) else "task"
            chosen = task.target if group == "task.target" and task.target else task.name
            belongs = f"belongs to {group}={' or '.join(owners)}, but here it is {chosen}"
            yield f"task.{key}={getattr(task, key)}: {belongs}; leave it out"


def result_fields(config: Any) -> dict[str, Any]:
    """Return the fields that decide the result, nested, as typed or defaulted."""
    chosen: dict[str, Any] = {}
    for name, usual in _decisive(type(config)):
        value = getattr(config, name)
        if value != usual:
            chosen[name] = result_fields(value) if is_dataclass(value) else value
    return chosen


@cache
def _decisive(schema: type) -> tuple[tuple[str, Any], ...]:
    """Return the names of the fields that decide the result, each with the value that is left out, if there is one."""
    return tuple(
        (spec.name, (spec.default if spec.default_factory is MISSING else spec.default_factory()))
        if spec.metadata["named_if_set"]
        else (spec.name, MISSING)
        for spec in fields(schema)
        if spec.metadata["affects_result"]
    )


def left_out(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys that a run's config.yaml does not have where they are at their defaults, with these."""
    for spec in fields(schema):
        made = spec.default_factory
        if isinstance(made, type) and is_dataclass(made):
            yield from left_out(made, f"{prefix}{spec.name}.")
        elif spec.metadata["named_if_set"]:
            yield f"{prefix}{spec.name}".removesuffix(".name"), spec.default


def config_hash(command: str, config: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the command, what decides its result, and files of the user's."""
    identity: list[Any] = [command, result_fields(config)]
    task = identity[1].get("task", {})
    if "path" in task:  # its content counts, wherever it lies
        task["path"] = os.path.basename(task["path"])
    if files := own_files(config):
        identity.append(files)
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def folder_name(command: str, config: Any) -> str:
    """Return `<slug>-<hash>`, readable, safe for any shell and file system, the same wherever it is computed.

    A command may name its folders itself.
    """
    if (name_it := job_command(command).folder) is not None:
        return name_it(config)
    if not hasattr(config, "activation"):
        return f"{command}-{config_hash(command, config)[:8]}"
    arguments = {key: value for key, value in config.activation.items() if key not in ("name", "_target_")}
    shown = [(key if key != "formula" else "", value) for key, value in sorted(arguments.items()) if value is not None]
    details = "".join(f"_{key}{value}" for key, value in shown)
    name = activation_name(config.activation) + details
    start = config.initialization
    kind = "" if start.weights == "gaussian" else f"-{start.weights}"
    name += f"-{config.tailor.name}" if config.tailor.name != "none" else ""
    slug = f"{command}-{name}-depth{config.depth}-width{config.width}-{start.name}{kind}"
    return f"{safe(slug)}-{config_hash(command, config)[:8]}"


def safe(text: str) -> str:
    """Return text with everything replaced that a shell or file system could take amiss, at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip(".-")[:80]


def sweep_name(command: str, config: Any, overrides: Sequence[str]) -> str:
    """Return the name of a sweep: that of its key `sweep`, else made of all that was typed but for Hydra's own."""
    if config.sweep:
        return safe(config.sweep)
    # What is not about the results names no other sweep: rerun=true, plan=true, require=...
    aside = {spec.name for spec in fields(config) if not spec.metadata["affects_result"]} - {"points"}
    typed = [text for text in sorted(overrides) if re.split("[.=]", text.lstrip("+"), maxsplit=1)[0] not in aside]
    digest = hashlib.sha256(json.dumps([command, typed]).encode()).hexdigest()[:8]
    return f"{safe('_'.join(typed))[:60] or command}-{digest}"
