"""From a command line to checked jobs: every job of a sweep is composed and checked before the first one runs.

Overrides mean what they mean to Hydra and to its basic sweeper. A mistake in one is a ConfigError: one line that names
the override, the cause, the nearest valid name and the valid ones.
"""

import itertools
import math
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from repu_lab.configs import config, mistakes
from repu_lab.configs.command import job_command
from repu_lab.configs.config import ConfigError
from repu_lab.configs.groups import Groups, conf_dir, loading, needs_more
from repu_lab.configs.points import KEY, read_points
from repu_lab.configs.spelling import spelt_out
from repu_lab.configs.text import one_line, printable

# A config, pickled, and its hydra node.
Base = tuple[bytes, DictConfig]

MOST_JOBS = 100_000  # composing one takes milliseconds
LONGEST_NAME, LONGEST_PATH = 240, 3000  # bytes; file systems take 255 and 4096, and a folder's files need some
# The keys of Hydra that name the folder of a single run, and of a sweep and its jobs.
DIRECTORIES = {False: ("run.dir",), True: ("sweep.dir", "sweep.subdir")}


@dataclass(frozen=True)
class Job:
    """One run of a command line: its overrides, its checked config, its folder; of a sweep, its folder and launcher."""

    overrides: tuple[str, ...]
    config: Any
    folder: Path
    sweep: Path | None = None
    launcher: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def places(self) -> tuple[Path, ...]:
        """The folders that the command line may name: the sweep's, if it is one, and the run's own."""
        return (self.folder,) if self.sweep is None else (self.sweep, self.folder)


def compose_jobs(command: str, overrides: Sequence[str], multirun: bool = False) -> list[Job]:
    """Return the jobs of a command line, in the sweeper's order; ConfigError for the first mistake in any of them."""
    with composer(command, _searchpath(overrides)) as composing:
        typed = [composing.parse(text) for text in overrides]
        jobs = list(composing.jobs(typed, multirun))
    first: dict[Path, int] = {}
    for number, job in enumerate(jobs, 1):
        if job.folder in first:
            twin = jobs[first[job.folder] - 1]
            both = f"jobs {first[job.folder]} and {number} of {len(jobs)}"
            if config.config_hash(command, twin.config) == config.config_hash(command, job.config):
                raise ConfigError(f"{both} are the same run: {printable(' '.join(job.overrides))}")
            named = printable(str(job.folder))
            raise ConfigError(f"hydra.sweep.subdir: {both} would share {named}; leave it out, or name each job's own")
        first[job.folder] = number
        here = Path.cwd()
        if getattr(job.config, "rerun", False) and job.folder.resolve() in (here, *here.parents):
            named = printable(str(job.folder))
            raise ConfigError(f"rerun=true: would move the working directory aside with {named}; name another place")
        for key, folder in zip(DIRECTORIES[multirun], job.places, strict=True):
            _check_place(f"hydra.{key}={printable(str(folder))}", folder)
        if multirun and Path(os.path.normpath(job.places[0])) not in Path(os.path.normpath(job.folder)).parents:
            named = printable(str(job.folder))
            raise ConfigError(f"hydra.sweep.subdir={named}: a job has a folder of its own inside {job.sweep}")
    return jobs


def shown_config(command: str, overrides: Sequence[str], part: str, resolve: bool) -> str:
    """Return the config of a single run as YAML: "job", Hydra's own node ("hydra") or "all"."""
    with composer(command, _searchpath(overrides)) as composing:
        typed = [composing.parse(text) for text in overrides]
        root = composing.whole(typed, typed, 1)
        with hydra_node(root):
            if resolve:
                OmegaConf.resolve(root)
        keys = ["hydra", *(str(key) for key in root if key != "hydra")]
        return OmegaConf.to_yaml(OmegaConf.masked_copy(root, {"job": keys[1:], "hydra": keys[:1], "all": keys}[part]))


@contextmanager
def composer(
    command: str, searchpath: Sequence[str] = (), bases: dict[tuple[str, ...], Base] | None = None
) -> Iterator["Composer"]:
    """Hydra, pointed at conf/ and what a hydra.searchpath override names, for as long as the context lasts.

    `bases`: what earlier composers of the same command and search path have composed.
    """
    config.register(command)
    with initialize_config_dir(str(conf_dir()), job_name=command, version_base="1.3"):
        composing = Composer(command, GlobalHydra.instance().config_loader(), searchpath)
        if bases is not None:
            composing._bases = bases
        yield composing


class Composer:
    """Composes jobs of one command. Composing is slow, so jobs that choose the same groups share the work."""

    def __init__(self, command: str, loader: ConfigLoader, searchpath: Sequence[str] = ()):
        """Take the command and the loader of a Hydra that knows conf/."""
        self.command = command
        self.parser = OverridesParser.create(config_loader=loader)
        self.groups = Groups(command, loader, searchpath)
        self._bases: dict[tuple[str, ...], Base] = {}
        self._parsed: dict[str, Override] = {}
        self._sweep: str | None = None

    def parse(self, text: str) -> Override:
        """Parse one override."""
        if text not in self._parsed:
            try:
                (override,) = self.parser.parse_overrides([text])
            except (HydraException, RecursionError, ValueError) as error:  # a number of 5,000 digits
                raise ConfigError(mistakes.unreadable(text, error, self.groups)) from error
            if complaint := mistakes.illegal(override, self.groups):
                raise ConfigError(complaint)
            self._parsed[text] = override
        return self._parsed[text]

    def jobs(self, typed: Sequence[Override], multirun: bool) -> Iterator[Job]:
        """Yield every job, checked."""
        points = self._points(typed)
        every = [(point, o) for point, paired in points for o in self._expand([*typed, *paired], multirun)]
        if not multirun:
            self.compose(typed)  # so that a mistake is named also where a later override replaces it
        for number, (point, overrides) in enumerate(every, 1):
            texts = tuple(str(override.input_line) for override in overrides)
            cfg = None
            try:
                cfg = self.compose(overrides)
                checked = config.check(cfg)
                folders = [self._folder(key, overrides, typed, checked, number) for key in DIRECTORIES[multirun]]
            except (OmegaConfBaseException, ConfigError) as error:
                key = getattr(error, "full_key", None)
                where = f" (job {number} of {len(every)}: {' '.join(texts)})" if multirun and len(every) > 1 else ""
                # Looked for only where something is wrong: it takes a third of the time of a job.
                missing: list[str] = []
                if cfg is not None:
                    with suppress(OmegaConfBaseException):  # a reference to nothing, which the error names
                        missing = sorted(OmegaConf.missing_keys(cfg))
                message = mistakes.missing(missing[0]) if missing else f"{key}: {error}" if key else error
                if isinstance(error, InterpolationResolutionError) and not missing:
                    typed_here = (str(o.input_line) for o in overrides if o.key_or_group == key)
                    message = mistakes.unresolved(next(typed_here, str(key)), error)
                line = one_line(message) + printable(where)
                raise ConfigError(f"{point}: {line}" if point else line) from error
            launcher = _launcher(self._base(overrides)[1]) if multirun else None
            yield Job(texts, checked, Path(*folders), Path(folders[0]) if multirun else None, launcher)

    def _points(self, typed: Sequence[Override]) -> list[tuple[str, list[Override]]]:
        """Return where each row of a points file stands and its overrides; a row of nothing where there is no file."""
        given = {override.key_or_group: override.value() for override in typed}
        path = given.get(KEY)
        if path is None:
            return [("", [])]
        if not isinstance(path, str):
            raise ConfigError(f"{KEY}={printable(str(path))}: must be the text of one path, a CSV file's")
        points = []
        for where, overrides in read_points(path):
            try:
                paired = [self.parse(text) for text in spelt_out(self.command, overrides)]
                if complaint := next(filter(None, (self._unpaired(override, given) for override in paired)), None):
                    raise ConfigError(complaint)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
            points.append((where, paired))
        return points

    def _unpaired(self, override: Override, typed: Mapping[str, Any]) -> str | None:
        """Return why a row cannot set this key."""
        key, text = override.key_or_group, printable(str(override.input_line))
        spec = mistakes.field_of(job_command(self.command).config, key.partition(".")[0])[0]
        if override.is_sweep_override():
            return f"{text}: is several values; a cell holds one, a list needs brackets"
        if key in typed:
            return f"{key}: is typed on the command line too; leave one of the two out"
        if override.is_hydra_override() or (spec is not None and not spec.metadata["affects_result"]):
            return f"{key}: is the same for all jobs; type it on the command line"
        return None

    def compose(self, overrides: Sequence[Override]) -> DictConfig:
        """Compose a config without its hydra node, unchecked."""
        cfg: DictConfig = pickle.loads(self._base(overrides)[0])
        for override in overrides:
            if not (override.is_hydra_override() or mistakes.is_choice(override, self.groups)):
                self._apply(cfg, override)
        return cfg

    def _base(self, overrides: Sequence[Override]) -> Base:
        """Compose what the choices of groups and Hydra's own settings decide: the config and its hydra node.

        The config is pickled, since every job takes a copy and deepcopy is eight times as slow.
        """
        shared = [o for o in overrides if o.is_hydra_override() or mistakes.is_choice(o, self.groups)]
        key = tuple(str(override.input_line) for override in shared)
        if key not in self._bases:
            choices = [str(override.input_line) for override in shared if mistakes.is_choice(override, self.groups)]
            with loading(choices):
                cfg = compose(self.command, overrides=choices, return_hydra_config=True)
            for override in shared:
                if not mistakes.is_choice(override, self.groups):
                    self._apply(cfg, override)
            hydra = cfg.hydra
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            self._bases[key] = pickle.dumps(cfg), hydra
        return self._bases[key]

    def _expand(self, overrides: Sequence[Override], multirun: bool) -> Iterator[tuple[Override, ...]]:
        """Yield each job's overrides: the product of all choices, the last of several overrides of a key winning."""
        values: dict[str, list[Override]] = {}
        for override in overrides:
            key = override.get_key_element()
            if not override.is_sweep_override():
                values[key] = [override]
                continue
            if not multirun or not override.is_discrete_sweep():
                raise ConfigError(mistakes.no_sweep(override, multirun))
            if _is_longer(override, MOST_JOBS):
                raise ConfigError(mistakes.too_many([override], MOST_JOBS))
            try:
                options = list(override.sweep_string_iterator())
            except (HydraException, ValueError, ArithmeticError) as error:  # a step of 0, a bound that is NaN
                shown = printable(str(override.input_line))
                raise ConfigError(f"{shown}: {one_line(error)}") from error
            if isinstance(override.value(), Glob):  # custom and formula are nothing by themselves
                options = [option for option in options if not needs_more(override.key_or_group, option)]
            if not options:
                raise ConfigError(mistakes.empty_sweep(override, self.groups))
            values[key] = [self.parse(f"{key}={option}") for option in options]
        if math.prod(map(len, values.values())) > MOST_JOBS:
            raise ConfigError(mistakes.too_many(overrides, MOST_JOBS))
        return itertools.product(*values.values())

    def _folder(
        self, key: str, overrides: Sequence[Override], typed: Sequence[Override], checked: Any, number: int
    ) -> str:
        """Return a folder of a job as Hydra will name it."""
        hydra = self._base(overrides)[1]
        node, _, name = key.partition(".")
        template = str(hydra[node]._get_node(name)._value())
        if template == "???":  # which Hydra would name None
            raise ConfigError(mistakes.missing(f"hydra.{key}"))
        # The usual names, without making the whole config once more for each job.
        if "{folder}" in template:
            template = template.replace("{folder}", config.folder_name(self.command, checked))
        if node == "sweep" and "{sweep}" in template:
            template = template.replace("{sweep}", config.sweep_name(self.command, checked, _own(typed)))
        if "${" not in template:
            return template
        if key == "sweep.dir" and self._sweep is not None:
            return self._sweep
        # A sweep is named by all that was typed, a job by its own overrides.
        root = self.whole(overrides, typed if key == "sweep.dir" else overrides, number)
        with read_write(root), hydra_node(root):
            root.hydra[node][name] = template
            folder = str(OmegaConf.select(root, f"hydra.{key}"))
        if key == "sweep.dir":
            self._sweep = folder
        return folder

    def whole(self, overrides: Sequence[Override], named_by: Sequence[Override], number: int) -> DictConfig:
        """Return the config with its hydra node, for the job of a number from 1."""
        root = self.compose(overrides)
        with read_write(root), open_dict(root):
            root.hydra = self._base(overrides)[1]
            root.hydra.overrides.task = own = _own(named_by)
            root.hydra.job.override_dirname = ",".join(sorted(own))
            root.hydra.job.num, root.hydra.job.id = number - 1, str(number - 1)
        return root

    def _apply(self, cfg: DictConfig, override: Override) -> None:
        added = mistakes.may_add(cfg, override)
        if complaint := None if added else mistakes.misplaced(cfg, override, self.groups):
            raise ConfigError(complaint)
        schema, value = job_command(self.command).config, override.value()
        try:
            if mistakes.field_of(schema, override.key_or_group)[1] is bool and not isinstance(value, (bool, str)):
                raise ValueError("a number is neither true nor false")
            OmegaConf.update(cfg, override.key_or_group, value, merge=True, force_add=added)
        except Exception as error:  # OmegaConf has more ways to fail on odd values than it has exceptions of its own
            raise ConfigError(mistakes.wrong_type(schema, override, error)) from error


def _own(overrides: Sequence[Override]) -> list[str]:
    """Return the texts of the overrides that are not Hydra's."""
    return [str(override.input_line) for override in overrides if not override.is_hydra_override()]


def _searchpath(overrides: Sequence[str]) -> list[str]:
    return [text for text in overrides if text.startswith("hydra.searchpath=")]


def _launcher(hydra: DictConfig) -> Mapping[str, Any]:
    """Return the settings of the launcher that was chosen; ConfigError if it is not the lab's."""
    launcher = hydra.launcher
    if "where" not in launcher:
        chosen = printable(str(hydra.runtime.choices.get("hydra/launcher")))
        raise ConfigError(f"hydra/launcher={chosen}: sets no `where`; write `defaults: [lab]` or [slurm] into its file")
    return {str(key): launcher[key] for key in launcher}


def _is_longer(override: Override, count: int) -> bool:
    """Say whether a range has more values than that, without listing them."""
    values = override.value()
    if not isinstance(values, RangeSweep):
        return False
    assert values.start is not None and values.stop is not None
    try:
        return (values.stop - values.start) / values.step > count
    except ZeroDivisionError:  # which listing them will refuse
        return False
    except OverflowError:
        return True


@contextmanager
def hydra_node(cfg: DictConfig) -> Iterator[None]:
    """Let ${hydra:...} in a folder's name resolve against this config."""
    from hydra.core.hydra_config import HydraConfig

    holder: Any = HydraConfig.instance()
    before = holder.cfg
    holder.cfg = cfg
    try:
        yield
    finally:
        holder.cfg = before


def _check_place(named_by: str, folder: Path) -> None:
    """Refuse a folder that cannot be made, or whose name no terminal can show; nothing is created to find out."""
    there = folder.absolute()
    if not str(folder).isprintable():
        raise ConfigError(f"{named_by}: holds characters that cannot be shown; name another place")
    if len(os.fsencode(there)) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_NAME for part in there.parts):
        raise ConfigError(f"{named_by}: is too long a name; name another place")
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        what = f"{printable(str(there))} is a {'file' if there.exists() else 'link to nothing'}"
        raise ConfigError(f"{named_by}: cannot be made, since {what}; name another place")
    # What has finished can be read where nothing can be written.
    if not os.access(there, os.W_OK | os.X_OK) and not (folder / "manifest.json").exists():
        raise ConfigError(f"{named_by}: cannot be made, since {there} is not writable; name another place")
