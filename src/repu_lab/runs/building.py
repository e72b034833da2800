"""From a checked config to the objects of a run; what can be refused is refused here, before a folder exists."""

import importlib
import os
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn

from repu_lab.activations import Activation, as_activation, check_dtype
from repu_lab.blocks import NORMS, Block
from repu_lab.configs.config import ConfigError
from repu_lab.configs.files import Damaged
from repu_lab.configs.schema import HIGHEST, TAILOR_KEYS, BlockConfig, TailorConfig, TrainConfig
from repu_lab.configs.text import nearest, one_line
from repu_lab.configs.untrusted import OWN_PACKAGE, foreign_target
from repu_lab.networks.initialization import RULES, Rule, critical, draw_, drawn_as, uniform_depth
from repu_lab.networks.optimizers import Optimizer
from repu_lab.networks.population import Population, layout
from repu_lab.runs.memory import free_bytes, member_bytes, members_at_once
from repu_lab.runs.reading import Contents
from repu_lab.tasks import TASKS, DataUnavailable, Task, on_device
from repu_lab.theory.law import Law
from repu_lab.theory.patience import waiting
from repu_lab.theory.rates import adam_rate, sgd_rate
from repu_lab.theory.tailoring import tailor


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a training run is made of; the population's memory is taken only when it is asked for."""

    config: Any
    device: torch.device
    activation: Activation
    task: Task
    sizes: tuple[int, ...]
    rule: Rule
    law: Law
    lr: float
    chunk: int | None = None  # members that pass forward and backward at once; None: all
    analysis: str = ""  # what the activation's analysis cost, where that is worth a line

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the networks."""
        return getattr(torch, self.config.dtype)

    @property
    def seeds(self) -> list[int]:
        """One seed a member."""
        return [self.config.seed + i for i in range(self.config.members)]

    def population(self) -> Population:
        """Return the networks at initialization."""
        return make_population([self])


def make_population(experiments: Sequence[Experiment], *, draw: bool = True) -> Population:
    """Return the networks of one or several experiments, in this order, at initialization (or zero).

    They agree in activation, sizes, dtype and device; each has its own seeds and variances. Scales are frozen on the
    inputs of the first step, or on those that a command without steps looks at.
    """
    shared = experiments[0]
    rules = [experiment.rule for experiment in experiments for _ in experiment.seeds]
    population = Population(
        shared.activation, shared.sizes, len(rules), block=shared.law.block, dtype=shared.dtype, device=shared.device
    )
    if draw:
        draw_(population, rules, [seed for experiment in experiments for seed in experiment.seeds])
        config, task = shared.config, shared.task
        trains = hasattr(config, "batch_size")
        population.freeze_(task.batch(0, config.batch_size).x if trains else task.test.x[: config.probe])
    return population


def make_optimizer(experiments: Sequence[Experiment], population: Population) -> Optimizer:
    """Return the optimizer of a population of experiments, each with its own rate and weight decay.

    Constants of the method that are not given are its usual ones; they and the clipping are the first experiment's.
    """
    c = experiments[0].config.optimizer
    given = {key: getattr(c, key) for key in ("momentum", "beta1", "beta2") if getattr(c, key) is not None}
    lr = [experiment.lr for experiment in experiments for _ in experiment.seeds]
    weight_decay = [experiment.config.optimizer.weight_decay for experiment in experiments for _ in experiment.seeds]
    return Optimizer(c.name, population.theta, lr=lr, weight_decay=weight_decay, clip=c.clip, **given)


def build(config: Any) -> Experiment:
    """Return the run's objects; ConfigError names the key, the cause and what is valid."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    set_precision(config, device)
    activation = build_tailored(config.activation, config.tailor, config.depth, config.dtype)
    task = build_task(config)
    sizes = sizes_of(config, task)
    chunk = members_at_once(config, sizes, device)
    with waiting(activation.title, print) as watch:
        rule = build_rule(config, sizes, activation)
        law = build_law(config, rule, activation, task)
        lr = learning_rate(config, law, task)
    return Experiment(
        config=config,
        device=device,
        activation=activation,
        task=on_device(task, device, getattr(torch, config.dtype)),
        sizes=sizes,
        rule=rule,
        law=law,
        lr=lr,
        chunk=chunk,
        analysis=watch.cost,
    )


def build_group(configs: Sequence[Any]) -> list[Experiment]:
    """Return the objects of runs that differ only in what a member may have of its own: the rest is made once."""
    first = build(configs[0])
    made: dict[str, dict[str, Any]] = {}
    experiments = []
    for config in configs:
        key = f"{config.initialization} {config.optimizer.lr}"
        if key not in made:
            rule = build_rule(config, first.sizes, first.activation)
            law = build_law(config, rule, first.activation, first.task)
            made[key] = {"rule": rule, "law": law, "lr": learning_rate(config, law, first.task)}
        experiments.append(replace(first, config=config, **made[key]))
    return experiments


def load_population(folder: Path | str, *, trust: bool = False) -> Population:
    """Return the trained networks of a finished run, on the CPU.

    No code is loaded with them: ValueError if the activation is a class outside repu_lab, unless `trust` is true, and
    if config.yaml or weights.pt are not what a run writes.
    """
    contents = Contents(folder)
    try:
        config = contents.config()
    except Damaged as error:
        raise ValueError(f"{folder}/config.yaml: {str(error).removeprefix('config.yaml ')}") from error
    foreign = foreign_target(config)
    if foreign is not None and not trust:
        raise ValueError(f"{folder} names {foreign}: trust=True to run its code")
    weights = Path(folder) / "weights.pt"
    try:
        with contents.stream("weights.pt") as file:
            saved = torch.load(file, map_location="cpu", weights_only=True)
        theta_MP = saved["theta"]
        tailoring = TailorConfig(**config.get("tailor", {}))
        layers = BlockConfig(**config.get("block", {}))
        block = build_block(SimpleNamespace(**{"residual": False} | config | {"block": layers}))
        activation = build_tailored(config["activation"], tailoring, config["depth"])
        parameters = sum(parameter.numel() for parameter in activation.parameters())
        if theta_MP.shape[1] != sum(layout(saved["sizes"], parameters, block)):  # before memory is taken for it
            raise ValueError
        population = Population(activation, saved["sizes"], len(theta_MP), block=block, dtype=theta_MP.dtype)
        with torch.no_grad():
            population.theta.copy_(theta_MP)
    except ConfigError:
        raise
    except Damaged as error:
        raise ValueError(f"{weights}: {str(error).removeprefix('weights.pt ')}") from error
    except OSError as error:
        raise ValueError(f"{weights}: {error.strerror or error}") from error
    except (AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.PickleError) as error:
        raise ValueError(f"{weights}: holds no weights of a run with its config.yaml") from error
    return population


def pick_device(name: str) -> torch.device:
    """Return the named device, or for auto the first of cuda, mps, cpu that is there."""
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present = ["cuda", *[f"cuda:{i}" for i in range(torch.cuda.device_count())], *present]
    if name != "auto" and name not in present:
        raise ConfigError(f"device={name}: this machine has no such device; here are: auto, {', '.join(present)}")
    return torch.device(present[0] if name == "auto" else name)


def build_activation(settings: dict[str, Any], dtype: str = "float32") -> Activation:
    """Return the activation of a `_target_`, a class or a function, and its arguments, checked for a number format.

    The working directory is searched too. A class that draws its parameters draws them from seed 0.
    """
    arguments = {key: value for key, value in settings.items() if key not in ("name", "_target_")}
    target = str(settings.get("_target_") or "")
    maker: Any = _find(target)
    _check_arguments(maker, arguments)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = (
                maker(**arguments) if isinstance(maker, type) else partial(maker, **arguments) if arguments else maker
            )
        if not callable(module):
            raise ConfigError(f"activation._target_={target}: must be a torch.nn.Module or a function of a tensor")
        activation = as_activation(cast(nn.Module, module))
        if not target.startswith(OWN_PACKAGE):
            check_dtype(activation, getattr(torch, dtype))
        return activation
    except ConfigError:
        raise
    except Exception as error:  # whatever its own code raises
        text = one_line(error)
        raise ConfigError(f"activation.{text}" if text.split("=")[0] in arguments else f"activation: {text}") from error


def build_tailored(settings: dict[str, Any], tailoring: TailorConfig, depth: int, dtype: str = "float32") -> Activation:
    """Return the same with the affine maps around it that a config names, made for a depth."""
    activation = build_activation(settings, dtype)
    if tailoring.name == "none":
        return activation
    arguments = {key: value for key in TAILOR_KEYS if (value := getattr(tailoring, key)) is not None}
    unused = "tau" if activation.degree == 1 else "eta"
    if unused in arguments:
        cause = f"is not asked of {activation.title}, but {'eta' if unused == 'tau' else 'tau'} is; leave it out"
        raise ConfigError(f"tailor.{unused}={arguments[unused]}: {cause}")
    try:
        with waiting(activation.title, print):
            return tailor(activation, depth, tailoring.name, **arguments)
    except ValueError as error:
        text = str(error)
        place = "tailor." if text.split("=")[0] in arguments else f"tailor={tailoring.name}: "
        raise ConfigError(place + text) from error


def _find(target: str) -> Any:
    """Return the class or function of that name."""
    place, _, name = target.rpartition(".")
    if not place:
        raise ConfigError(f"activation._target_={target}: must be module.Class, e.g. my_module.MyActivation")
    # Only for somebody's own class: a folder that was sent may hold a torch.py or a json.py.
    if not target.startswith(OWN_PACKAGE) and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise ConfigError(f"activation._target_={target}: {error}; looked in {os.getcwd()} and sys.path") from error
    except (Exception, SystemExit) as error:  # whatever the module's own code raises
        cause = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"activation._target_={target}: {place} cannot be imported ({cause})") from error
    maker = getattr(module, name, None)
    if maker is None:
        raise ConfigError(f"activation._target_={target}: module {place} has no {name}")
    if not callable(maker):
        raise ConfigError(f"activation._target_={target}: must be a torch.nn.Module or a function of a tensor")
    return maker


def _check_arguments(maker: Any, arguments: dict[str, Any]) -> None:
    """Raise ConfigError for an argument that a class or function does not take, and for one that it needs."""
    try:
        known = list(signature(maker).parameters.values())
    except (TypeError, ValueError):  # built in: it does not say what it takes
        return
    if any(each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL) for each in known):
        return
    valid = {each.name: each for each in known[not isinstance(maker, type) :]}  # a function's first is z
    for key in arguments.keys() - valid.keys():
        cause = f"{maker.__name__} takes no {key}{nearest(key, valid)}; valid: {', '.join(valid) or 'none'}"
        raise ConfigError(f"activation.{key}={arguments[key]}: {cause}")
    for key in (each.name for each in valid.values() if each.default is each.empty and each.name not in arguments):
        raise ConfigError(f"activation: {maker.__name__} needs {key}; add +activation.{key}=VALUE")


def build_block(config: Any) -> Block:
    """Return the kind of layers that a config names."""
    block = config.block
    before, after = NORMS[block.norm]
    learned = block.branch == "rezero"
    a = config.depth**-0.5 if block.branch == "auto" else 0.0 if learned else block.branch
    return Block(
        residual=config.residual, before=before, after=after, branch=float(a), learned=learned, frozen=block.scalar
    )


def build_task(config: Any) -> Task:
    """Return the task with its data on the CPU."""
    if config.task.name not in TASKS:
        raise ConfigError(f"task={config.task.name}: must be one of {', '.join(TASKS)}")
    given = {key: value for key, value in vars(config.task).items() if value is not None}
    arguments = {key: value for key, value in given.items() if key not in ("name", "newton_steps")}
    try:
        task = TASKS[config.task.name](data_seed=config.data_seed, **arguments)
    except DataUnavailable as error:
        raise ConfigError(f"task={config.task.name}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"task.{error}") from error
    for key, data in (("batch_size", task.train), ("probe", task.test)):
        value = getattr(config, key, 0)
        if value > len(data):
            raise ConfigError(f"{key}={value}: must be at most {len(data)}, the examples that {task.name} has for it")
    return task


def build_rule(config: Any, sizes: tuple[int, ...], activation: Activation) -> Rule:
    """Return the variances of every affine map, and what the weights are."""
    c = config.initialization
    if c.name == "custom":
        C_W, C_b = c.c_w or 0.0, c.c_b or 0.0
        k1 = C_W + C_b if c.k1 is None else c.k1
        return uniform_depth("custom", sizes, C_W=C_W, C_b=C_b, k1=k1, weights=c.weights)
    if c.name == "critical":
        try:
            return critical(activation, sizes, build_block(config), weights=c.weights)
        except ValueError as error:
            raise ConfigError(f"initialization=critical: {error}; choose one of {', '.join(RULES)}") from error
    if c.name not in RULES:
        raise ConfigError(f"initialization={c.name}: must be one of critical, {', '.join(RULES)}, custom")
    try:
        return drawn_as(RULES[c.name](sizes), c.weights)
    except ValueError as error:
        raise ConfigError(f"initialization.{error}") from error


def build_law(config: Any, rule: Rule, activation: Activation, task: Task) -> Law:
    """Return what the networks are drawn from, for inputs of the task's mean square."""
    k1, block, weights = rule.C_b[0] + rule.C_W[0] * task.input_mean_square, build_block(config), law_of(rule.weights)
    return Law(activation, rule.C_W[1:], rule.C_b[1:], k1, sizes_of(config, task), block, config.dtype, weights)


def sizes_of(config: Any, task: Task) -> tuple[int, ...]:
    """Return n_0, n_1 .. n_L, n_{L+1}."""
    return (task.train.x.shape[1], *[config.width] * config.depth, task.outputs)


def law_of(weights: str) -> str:
    """Return which of theory's laws weights have: uniform ones that of gaussian ones, up to 1/n."""
    return "gaussian" if weights == "uniform" else weights


def learning_rate(config: Any, law: Law, task: Task) -> float:
    """Return the number given, or for auto the rule of the method."""
    lr = config.optimizer.lr if isinstance(config, TrainConfig) else 0.0
    if lr != "auto":
        return float(lr)
    x = task.train.x
    try:
        if config.optimizer.name == "sgd":
            return sgd_rate(law, float(x.square().mean()))
        return adam_rate(law, float(x.abs().mean()))
    except ValueError as error:
        raise ConfigError(f"optimizer.lr=auto: {error}; give a number") from error


def members_that_fit(config: Any) -> int:
    """Return how many members of this kind fit the half of the memory that is free."""
    sizes = sizes_of(config, build_task(config))
    return max(1, free_bytes(pick_device(config.device)) // 2 // sum(member_bytes(config, sizes)))


def set_precision(config: Any, device: torch.device) -> None:
    """Let products of float32 matrices be computed as the config asks; ConfigError where that cannot be had."""
    precision = getattr(config, "precision", HIGHEST)
    if precision != HIGHEST and (device.type != "cuda" or config.dtype != "float32"):
        raise ConfigError(
            f"precision={precision}: is a number format of CUDA devices for dtype=float32, but here they are "
            f"{device.type} and {config.dtype}; leave it out"
        )
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
