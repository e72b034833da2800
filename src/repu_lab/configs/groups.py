"""The folder of the configs, and the groups of options in it."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

import repu_lab
from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import one_line


def conf_dir() -> Path:
    """Return the folder of the configs: inside the package if installed from a wheel, else the repository's."""
    package = Path(repu_lab.__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def needs_more(group: str, option: str) -> bool:
    """Say whether an option of conf/ leaves a value open that has to be typed."""
    file = conf_dir() / group / f"{option}.yaml"
    return file.is_file() and "???" in yaml.safe_load(file.read_text(encoding="utf-8")).values()


def definition(group: str, option: str) -> str:
    """Return what the comment at the top of an option's file says of it."""
    lines = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(line[2:] for line in takewhile(lambda line: line.startswith("# "), lines))


class Groups(Mapping[str, Sequence[str]]):
    """The groups of a command's own config, and Hydra's launchers; their options are looked up when asked for."""

    def __init__(self, command: str, loader: ConfigLoader, searchpath: Sequence[str]):
        """Take the command, the loader of a Hydra that knows conf/, and any overrides of hydra.searchpath."""
        primary = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text(encoding="utf-8"))
        entries = [key for entry in primary["defaults"] if isinstance(entry, dict) for key in entry]
        own = [key for key in entries if not key.startswith("override ")]
        self._names = [*own, "hydra/launcher"]  # of Hydra's own; the lab relies on the rest
        self._loader, self._searchpath = loader, list(searchpath)
        self._options: dict[str, Sequence[str]] = {}

    def __getitem__(self, group: str) -> Sequence[str]:
        if group not in self._names:
            raise KeyError(group)
        if group not in self._options:
            with loading(self._searchpath):
                options = self._loader.get_group_options(group, overrides=self._searchpath)
            self._options[group] = [name for name in options if (group, name) != ("hydra/launcher", "basic")]
        return self._options[group]

    def __contains__(self, group: object) -> bool:
        return group in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def loading(overrides: Sequence[str]) -> Iterator[None]:
    """Turn whatever Hydra says against these overrides into a ConfigError."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "provider=")  # a place in hydra.searchpath that is not there
            yield
    except (HydraException, OmegaConfBaseException, UserWarning) as error:
        raise ConfigError(one_line(f"{' '.join(overrides)}: {error}")) from error
