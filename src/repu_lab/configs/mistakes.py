"""What is wrong with an override, in one line that names it, the cause, the nearest valid name and the valid ones."""

import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from repu_lab.configs.launchers import LAUNCHERS
from repu_lab.configs.text import nearest, one_line, printable

Options = Mapping[str, Sequence[str]]

# What may be set of Hydra's own: where folders are, and where jobs run. The lab relies on the rest.
HYDRA_KEYS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.searchpath")
LAUNCHER = "hydra.launcher."
TYPES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list, [A,B]",
    dict: "keys with values, {KEY: VALUE}",
}  # fmt: skip


def is_choice(override: Override, groups: Options) -> bool:
    """Say whether an override chooses an option of a group, or changes where groups are looked for."""
    return override.key_or_group == "hydra.searchpath" or override.key_or_group in groups


def unreadable(text: str, error: Exception, groups: Options) -> str:
    """Explain an override that Hydra's grammar refuses."""
    shown, key, equals = printable(text), *text.partition("=")[:2]
    if not equals:
        homes = [group for group, options in groups.items() if text in options and not group.startswith("hydra")]
        cure = f"did you mean {homes[0]}={shown}?" if homes else "write key=value, for example depth=20"
        return f"{shown or repr(text)}: has no value; {cure}"
    if not re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w.\-/]*(@[\w.:]*)?", key, re.ASCII) or key.endswith(".") or ".." in key:
        return f"{shown}: {printable(key)!r} is not a key; write key=value, for example depth=20"
    detail = [line for line in str(error).splitlines() if " while evaluating " in line]
    if detail:
        more = re.search(r"Available: (\S+)", str(error))
        functions = f"; functions are {more[1].replace(',', ', ')}" if more else ""
        return f"{shown}: {printable(detail[0].partition(' while evaluating ')[2])}{functions}"
    return f"{shown}: the value cannot be read; one with special characters needs quotes: {key}=\"'...'\""


def illegal(override: Override, groups: Options) -> str | None:
    """Return what is wrong with an override whatever the config, None if nothing."""
    key, text, value = override.key_or_group, printable(str(override.input_line)), override.value()
    if not key:
        return f"{text}: the key is missing; write key=value, for example depth=20"
    if override.is_delete():
        return f"{text}: nothing can be removed from the config; set another value, {key}=..."
    if override.package is not None:
        return f"{text}: a group has one place here; leave out @{override.package}"
    if key == "hydra.mode":
        return f"{text}: is set by the lab; write -m for a sweep"
    launcher = key.startswith(LAUNCHER) and not key.endswith("._target_")
    if key.partition(".")[0] == "hydra" and not launcher and key not in HYDRA_KEYS:
        valid = ", ".join([*HYDRA_KEYS, f"{LAUNCHER}*"])
        return f"{text}: is set by the lab{nearest(key, [*groups, *HYDRA_KEYS])}; of Hydra's own you may set {valid}"
    if key == "hydra.searchpath" and not (isinstance(value, list) and all(isinstance(place, str) for place in value)):
        return f"{text}: must be a list of folders, {key}=[file:///home/me/conf]"
    if key not in groups:
        related = [group for group in groups if group.partition("/")[0] == key.partition("/")[0]] or groups
        groups_there = f"{nearest(key, groups)}; valid groups: {', '.join(related)}"
        return f"{text}: no such group{groups_there}" if "/" in key else None
    if isinstance(value, dict):
        typed = " ".join(key + (f"={v}" if name == "name" else f".{name}={v}") for name, v in value.items())
        return f"{text}: write the keys of {key} one by one, {printable(typed) or f'{key}.KEY=VALUE'}"
    if override.is_sweep_override():
        return None
    options = groups[key]
    if isinstance(value, str) and value in options:
        prefix = "+" if override.is_add() or override.is_force_add() else ""
        return f"{text}: {key} has an option already; leave out the +" if prefix else None
    cure = f"; of several make a sweep, -m {key}=A,B" if isinstance(value, list) else ""
    cure = "; leave it out for the usual one" if value is None else cure
    return f"{text}: no such option{nearest(str(value), options)}; valid options: {', '.join(options)}{cure}"


def no_sweep(override: Override, multirun: bool) -> str:
    """Explain several values where one is wanted, or a sweep that cannot be enumerated."""
    text = printable(str(override.input_line))
    if multirun:
        return f"{text}: an interval has no list of values; write range(start,stop,step) or values with commas"
    return f"{text}: several values make a sweep; add -m, or for one value with commas quotes: \"'...'\" or [...]"


def empty_sweep(override: Override, groups: Options) -> str:
    """Explain a range or a glob without any value."""
    options = groups.get(override.key_or_group)
    valid = f"; valid options: {', '.join(options)}" if options else ""
    return f"{printable(str(override.input_line))}: has no value at all, so there is nothing to run{valid}"


def too_many(overrides: Iterable[Override], limit: int) -> str:
    """Explain a sweep that no machine would ever finish, or only list."""
    typed = " ".join(str(override.input_line) for override in overrides if override.is_sweep_override())
    return f"{printable(typed)}: more than {limit} jobs; sweep fewer values"


def missing(key: str) -> str:
    """Explain a value that has no default and was not given."""
    examples = {"activation._target_": "my_module.MyActivation", "activation.formula": '"z * relu(1 + z)**2"'}
    example = examples.get(key, "VALUE")
    return f"{key}: is needed here and was not given; add {key}={example}"


def may_add(cfg: DictConfig, override: Override) -> bool:
    """Say whether an override adds an argument of a user's own activation, or a parameter of a formula."""
    group, _, argument = override.key_or_group.partition(".")
    name = cfg.get("activation", {}).get("name") if group == "activation" and argument else None
    if name == "formula":
        return argument.isidentifier() and argument not in ("name", "_target_", "formula")
    return name == "custom" and (override.is_add() or override.is_force_add())


def misplaced(cfg: DictConfig, override: Override, groups: Options) -> str | None:
    """Return what is wrong with an override's key in this config, None if nothing."""
    key, text = override.key_or_group, printable(str(override.input_line))
    parent, _, name = key.rpartition(".")
    if not has_key(cfg, key):
        if may_add(cfg, dataclasses.replace(override, type=type(override.type).ADD)):
            return f"{text}: a new key; write +{text} to pass it to the constructor of your activation"
        hydra = key.startswith("hydra")
        candidates = [k for k in all_keys(cfg) if k.startswith("hydra.") == hydra]
        candidates += [group for group in groups if group.startswith("hydra") == hydra]
        home = OmegaConf.select(cfg, parent) if parent and has_key(cfg, parent) else None
        inside = isinstance(home, DictConfig)
        valid = [str(k) for k in (home if inside else cfg) if k not in ("hydra", "_target_", "name")]
        where = f" in {parent}" if inside else ""
        return f"{text}: no such key{nearest(key, candidates)}; valid{where}: {', '.join(valid) or 'none'}"
    if override.is_add():
        return f"{text}: {key} exists already; leave out the +"
    if (parent in groups and name == "name") or (key == "activation._target_" and cfg.activation.name != "custom"):
        cure = "activation=custom" if name == "_target_" else f"{parent}={printable(str(override.value()))}"
        return f"{text}: is set by the choice of the group; write {cure}"
    return None


def wrong_type(schema: type, override: Override, error: Exception) -> str:
    """Explain a value that its key cannot hold, by the key's own check, else by its type."""
    key, value, text = override.key_or_group, override.value(), printable(str(override.input_line))
    spec, hint = field_of(schema, key)
    if key.startswith("hydra."):
        hints = [_hints(settings).get(key.rpartition(".")[2]) for settings in LAUNCHERS.values()]
        hint = next(filter(None, hints), str)
    check, kinds = spec and spec.metadata["check"], (hint, typing.get_origin(hint), *typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        complaint = one_by_one(key, typing.cast(type, hint), value)
    else:
        complaint = check(value) if check else next((f"must be {TYPES[kind]}" for kind in kinds if kind in TYPES), None)
    meaning = f" ({spec.metadata['doc']})" if spec is not None and complaint else ""
    return f"{text}: {complaint or one_line(error)}{meaning}"


def one_by_one(group: str, schema: type, value: typing.Any) -> str:
    """Return how the keys of a group are set, which takes no value itself; a number is suggested as that of its key."""
    shown = value if isinstance(value, (int, float)) and not isinstance(value, bool) else "VALUE"
    checks = {f"{group}.{spec.name}": spec.metadata["check"] for spec in dataclasses.fields(schema)}
    valid = {key: check.valid if check else "any" for key, check in checks.items()}
    keys = " or ".join(f"{key}={shown}, {values}" for key, values in valid.items())
    return f"is a group of keys and takes no value itself; write {keys}"


def unresolved(text: str, error: Exception) -> str:
    """Explain a value whose ${...} leads nowhere."""
    cure = "${...} is the value of another key; in a name that holds it write a backslash before it, \\${...}"
    return f"{printable(text)}: {one_line(error)}; {cure}"


def field_of(schema: type, key: str) -> tuple[dataclasses.Field[typing.Any] | None, typing.Any]:
    """Return the field of a config's dataclass that a dotted key means, and its type; None if there is none."""
    *parents, name = key.split(".")
    for parent in parents:
        schema = _hints(schema).get(parent, type(None))
        if not dataclasses.is_dataclass(schema):
            return None, None
    spec = {field.name: field for field in dataclasses.fields(schema)}.get(name)
    return spec, _hints(schema).get(name)


@cache
def _hints(schema: type) -> dict[str, typing.Any]:
    return typing.get_type_hints(schema)


def has_key(cfg: DictConfig, key: str) -> bool:
    """Say whether a dotted key is in a config, whatever its value."""
    node: object = cfg
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or part not in node.keys():  # noqa: SIM118
            return False
        node = node._get_node(part)
    return True


def all_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    """Return every dotted key of a config."""
    keys: list[str] = []
    for name, _ in cfg.items_ex(resolve=False):
        keys.append(f"{prefix}{name}")
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            keys += all_keys(node, f"{prefix}{name}.")
    return keys
