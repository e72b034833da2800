"""The configs of the commands as dataclasses: every key, its default, its meaning and its check."""

from dataclasses import dataclass
from typing import Any

from repu_lab.configs.settings import (
    aside,
    branch,
    device,
    earlier,
    later,
    learning_rate,
    named,
    number,
    one_of,
    setting,
    whole,
)

MISSING = "???"  # omegaconf's own, without importing it
HIGHEST = "highest"
PRECISIONS = (HIGHEST, "tf32")
ALONG, ENDS = LOOKS = ("along", "ends")  # a run, or before its first step and after its last one alone
TAILORS = ("none", "shift", "dks", "tat")  # of KINDS in theory/tailoring.py
TAILOR_KEYS = {"zeta": ("shift", "dks"), "tau": ("tat",), "eta": ("tat",)}
BLOCKS = ("plain", "residual")
NORMS = ("none", "rms", "layer", "layer_after")  # of NORMS in blocks/maps.py, which cannot be imported without torch
WEIGHTS = ("gaussian", "orthogonal", "centred")  # of theory/law.py, likewise
DTYPES = ("float16", "bfloat16", "float32", "float64")
TARGETS = {
    "polynomial": ("all", "x", "x2", "xy", "xyz", "legendre", "chebyshev", "random"),
    "function": ("sin", "runge", "franke", "abs3", "bump"),
}
EQUATIONS = ("burgers", "helmholtz")
IMAGES = ("mnist", "fashion_mnist", "cifar10")
# Which tasks, or which of their targets, a key of the task group belongs to.
TASK_KEYS = {
    "target": (*TARGETS, "file"),
    "degree": ("legendre", "chebyshev", "random"),
    "dimension": ("random",),
    "k": ("sin",),
    "collocation": EQUATIONS,
    "boundary": EQUATIONS,
    "conditions": EQUATIONS,
    "newton_steps": (*EQUATIONS, *TARGETS),
    "path": ("file",),
    "scale": ("file",),
    "criterion": ("file",),
    "cache": IMAGES,
    "folder": IMAGES,
    "examples": IMAGES,
}
variance = number(0, 1e30)  # theory's curves stay finite, and float32 ends sooner
RESIDUAL = "skip connections: z' = z + b + W s(z) between hidden layers; short for block=residual"
OUTCOMES = ("exploded", "vanished", "diverged", "trained", "learning", "stalled")


@dataclass(kw_only=True)
class InitializationConfig:
    """The distribution of the weights and biases: W_ij ~ (0, C_W / fan_in), b_i ~ (0, C_b)."""

    name: str = setting(MISSING, "the rule")
    c_w: float | None = setting(None, "C_W, weight variance times fan-in (custom only)", variance)
    c_b: float | None = setting(None, "C_b, bias variance (custom only)", variance)
    k1: float | None = setting(
        None,
        "K^1, the size of the first signal, of an input with |x|^2/n_0 = 1; left out: c_b + c_w (custom only)",
        variance,
    )
    weights: str = later(
        "gaussian",
        "how W is drawn, of mean square C_W / fan_in. gaussian: every W_ij on its own; orthogonal: W W^T or W^T W is a "
        "multiple of 1; centred: the weights of each unit have mean 0 (but in the first map)",
        one_of(*WEIGHTS),
    )


@dataclass(kw_only=True)
class TailorConfig:
    """Affine maps around the activation, gamma (s(alpha u + beta) + delta), made for the depth."""

    name: str = later("none", "the conditions", one_of(*TAILORS))
    zeta: float | None = later(
        None, "chi_perp of all layers together, its L-th power (shift, dks; left out: 1.5)", number(1)
    )
    tau: float | None = later(
        None, "C''(1), the curvature of the map of correlations, of all layers together (tat; left out: 0.3)", number(0)
    )
    eta: float | None = later(
        None,
        "correlation at the output of two inputs that have none (tat of the ReLU family; left out: 0.9)",
        number(0, 1),
    )


@dataclass(kw_only=True)
class BlockConfig:
    """What a layer is beside its affine map and its activation."""

    name: str = later(
        "plain", "plain: z' = b + W h; residual: z' = z + a (b + W h) between hidden layers", one_of(*BLOCKS)
    )
    norm: str = later(
        "none",
        "what is brought to size 1 in h = s(z). rms: z; layer: z less its mean; layer_after: s(z) less its mean",
        one_of(*NORMS),
    )
    branch: float | int | str = later(
        1.0,
        "a in z' = z + a (b + W h): a number, auto (1/sqrt(L)) or rezero (learned, from 0 on) (residual only)",
        branch,
    )
    scalar: bool = later(False, "divide z by one number a layer: its size on the first batch, frozen from then on")


@dataclass(kw_only=True)
class TaskConfig:
    """What is learnt."""

    name: str = setting(MISSING, "the task")
    target: str | None = setting(
        None,
        "what is learnt (polynomial, function); the column or file of it (file)",
        named(*(target for targets in TARGETS.values() for target in targets)),
    )
    degree: int | None = setting(
        None, "degree of the polynomial (targets legendre, chebyshev, random; left out: 4)", whole(1, 50)
    )
    dimension: int | None = setting(
        None, "number of inputs of the polynomial (target random; left out: 2)", whole(1, 50)
    )
    k: float | None = setting(None, "k of sin(k x) (target sin; left out: 6)", number(0))
    collocation: int | None = setting(None, "points at which the equation is to hold (equations)", whole(1, 10_000_000))
    boundary: int | None = setting(
        None, "points with given values, for soft conditions (equations)", whole(2, 1_000_000)
    )
    conditions: str | None = later(
        None,
        "initial and boundary values: met exactly by the form of u, or a part of the loss (equations; left out: exact)",
        one_of("exact", "soft"),
    )
    lbfgs_steps: int | None = earlier("use task.newton_steps")
    newton_steps: int | None = later(
        None,
        "steps of Gauss-Newton in float64, after those of the optimizer (equations, polynomial, function)",
        whole(0, 1_000_000),
    )
    cache: str | None = aside(
        None, "folder of data that are fetched (images); none: that of REPU_LAB_DATA, else ~/.cache/repu-lab"
    )
    folder: str | None = aside(
        None, "folder that holds the images as they are published (IDX, CIFAR-10's batches, .npz)"
    )
    path: str | None = later(None, "the file of the data, .csv, .npz or .npy (file)")
    scale: str | None = later(
        None,
        "inputs of |x|^2/n_0 = 1, columns of mean 0 and spread 1, or as they are (file; left out: sphere)",
        one_of("sphere", "standard", "none"),
    )
    criterion: float | None = later(
        None, "accuracy or R^2 of a network that is trained (file; left out: by the data)", number(-1e9, at_most=1)
    )
    examples: int | None = later(None, "images to train on, as many of each class (left out: all)", whole(10))


@dataclass(kw_only=True)
class OptimizerConfig:
    """How weights follow their gradient."""

    name: str = setting(MISSING, "the method")
    lr: float | int | str = setting("auto", "learning rate; auto: see docs/how-to/diverged.md", learning_rate)
    weight_decay: float = setting(0.0, "weight decay: added to the gradient, decoupled for adamw", number(0))
    clip: float | None = setting(None, "largest norm of a member's gradient", number(0))
    momentum: float | None = setting(None, "momentum (sgd only)", number(0, 1))
    beta1: float | None = setting(None, "decay of the mean of the gradient (adam, adamw)", number(0, 1))
    beta2: float | None = setting(None, "decay of the mean of its square (adam, adamw)", number(0, 1))


@dataclass(kw_only=True)
class CheckpointConfig:
    """When the state of a run is saved."""

    every_seconds: float = setting(60.0, "seconds between checkpoints; 0: after every step", number(0))


@dataclass(kw_only=True)
class NetworkConfig:
    """The networks that every command is about."""

    activation: dict[str, Any] = setting(dict, "activation function, a group: see conf/activation")
    tailor: TailorConfig = later(TailorConfig, "affine maps around the activation, a group")
    depth: int = setting(10, "L, hidden layers: L activations, L + 1 affine maps", whole(1, 100_000))
    width: int = setting(128, "n, units of a hidden layer", whole(1, 1_000_000))
    initialization: InitializationConfig = setting(InitializationConfig, "distribution of the initial weights, a group")
    block: BlockConfig = later(BlockConfig, "what a layer is beside its affine map, a group")
    dtype: str = setting("float32", "number format of the networks", one_of(*DTYPES))


@dataclass(kw_only=True)
class Sample:
    """The networks that are drawn, the data they see and the machine they run on."""

    task: TaskConfig = setting(TaskConfig, "what is learnt, a group")
    residual: bool = setting(False, RESIDUAL)
    members: int = setting(1, "M, networks side by side", whole(1, 1_000_000))
    seed: int = setting(0, "member i is initialized from seed + i", whole(0, 2**62))
    data_seed: int = setting(0, "seed of the data's split and of the order of the batches", whole(0, 2**62))
    probe: int = setting(32, "inputs on which the statistics are measured", whole(2, 100_000))
    device: str = setting("auto", "where networks are computed; auto: cuda, else mps, else cpu", device)
    threads: int | None = setting(None, "CPU threads; none: torch's own choice", whole(1, 4096))
    precision: str = later(
        HIGHEST,
        "products of float32 matrices: highest, or tf32 (CUDA: 10 bits of mantissa, several times as fast)",
        one_of(*PRECISIONS),
    )


@dataclass(kw_only=True)
class Handling:
    """How the command deals with folders and files; none of it decides the result."""

    rerun: bool = aside(False, "run again although the folder holds a finished run")
    config: str | None = aside(
        None, "start from a run, its folder or config.yaml; what only another command asks is left out"
    )
    trust: bool = aside(False, "let config=FILE name classes outside repu_lab")
    on_failure: str = aside(
        "continue", "when a job of a sweep fails: continue with the others, or stop", one_of("continue", "stop")
    )
    sweep: str | None = aside(None, "name of the sweep's folder; none: made from the overrides")
    points: str | None = aside(None, "a CSV file of paired values: a sweep with one job per row; its columns are keys")
    plan: bool = aside(False, "say what would run, its cost and theory's forecast; run nothing")


@dataclass(kw_only=True)
class TrainConfig(Handling, Sample, NetworkConfig):
    """Train a population of multilayer perceptrons."""

    optimizer: OptimizerConfig = setting(OptimizerConfig, "how weights follow their gradient, a group")
    steps: int = setting(1000, "optimizer steps", whole(0, 1_000_000_000))
    batch_size: int = setting(128, "examples a step", whole(1))
    statistics: bool = setting(True, "measure and log per-layer statistics")
    looks: str = later(
        ALONG, "when the test split and the layers are looked at: along the run, or at its ends alone", one_of(*LOOKS)
    )
    checkpoint: CheckpointConfig = aside(CheckpointConfig, "when the run's state is saved")
    resume: str | None = aside(None, "go on with the run in this folder, or extend it with steps=N")
    require: str | None = aside(None, "exit with code 3 unless every member ends so (trained, ...)", one_of(*OUTCOMES))


@dataclass(kw_only=True)
class PropagateConfig(Handling, Sample, NetworkConfig):
    """Pass a probe batch through networks at initialization, forward and backward, once."""

    members: int = setting(32, "M, networks side by side", whole(1, 1_000_000))


@dataclass(kw_only=True)
class TheoryConfig(Handling, NetworkConfig):
    """Ask the theory alone: no network is built."""

    residual: bool = later(False, RESIDUAL)
    inputs: int = setting(128, "inputs of a batch that must all survive, as in train", whole(1, 1_000_000))


@dataclass(kw_only=True)
class ReproduceConfig:
    """Judge the claims of the paper, and past it."""

    claim: Any = aside(None, "the claims to judge: numbers or families, several with commas; none: all", several=True)
    scale: str = setting(
        "full", "smoke: minutes, 3 seeds; full: two hours on two cores, 10 seeds", one_of("smoke", "full")
    )
    seed: int = later(0, "another one: other networks and divisions of the data, to tune and to judge", whole(0, 10**6))
    device: str = setting("auto", "where networks are computed; auto: cuda, else mps, else cpu", device)
    threads: int | None = setting(None, "CPU threads; none: torch's own choice", whole(1, 4096))
    rerun: bool = aside(False, "judge the claims afresh; all of them: in a fresh folder")


FORMULA = "activation.formula"  # a value that needs no quotes but the shell's
PATHS = ("config", "resume", "points", "task.cache", "task.folder", "task.path", "hydra.run.dir", "hydra.sweep.dir")
