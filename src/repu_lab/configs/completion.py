"""Completion of the command line in bash: `eval "$(repu-lab -sc install=bash)"`."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from repu_lab.configs import mistakes
from repu_lab.configs.composition import Composer, composer
from repu_lab.configs.config import ConfigError
from repu_lab.configs.mistakes import all_keys, field_of
from repu_lab.configs.schema import COMMANDS

# bash takes = and : for the ends of words, so only what follows the last of them is handed back; the words come from
# the program, which reads the line itself. A word that is complete (no = . or / at its end) is followed by a space.
# Where the program has nothing to say (results, report), bash completes names of files.
SCRIPT = """\
_repu_lab_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\\n'
    local word="${line##* }"
    COMPREPLY=($(COMP_LINE="$line" "${COMP_WORDS[0]}" -sc query=bash 2>/dev/null))
    if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" != *[=./,] ]]; then
        COMPREPLY=("${COMPREPLY[0]} ")
    fi
}
complete -o nospace -o default -F _repu_lab_completion repu-lab
"""


def shell_completion(arguments: Sequence[str], commands: Mapping[str, str]) -> int:
    """Answer `-sc install=bash`, `-sc uninstall=bash` and, for the shell's own use, `-sc query=bash`."""
    if arguments == ["install=bash"]:
        print(SCRIPT, end="")
    elif arguments == ["uninstall=bash"]:
        print("complete -r repu-lab; unset -f _repu_lab_completion")
    elif arguments == ["query=bash"]:
        print("\n".join(candidates(os.environ.get("COMP_LINE", ""), commands)))
    else:
        given = mistakes.printable(" ".join(arguments)) or "nothing"
        print(f"repu-lab -sc {given}: must be install=bash or uninstall=bash", file=sys.stderr)
        return 2
    return 0


def candidates(line: str, commands: Mapping[str, str]) -> list[str]:
    """Return what the last word of a command line may become."""
    _, *words = line.split()
    word = "" if line.endswith(" ") or not words else words.pop()
    words = [typed for typed in words if not typed.startswith("-")]
    if not words:
        return _starting(word, [*commands, "--help", "--version"])
    if words[0] not in commands or words[0] not in COMMANDS:
        return []
    with composer(words[0]) as composing:
        return _starting(word, _overrides(composing, words[1:], word))


def _overrides(composing: Composer, words: Sequence[str], word: str) -> list[str]:
    if word.startswith("-"):
        return ["-m", "--help", "--cfg"]
    cfg = _composed(composing, words)
    key, equals, value = word.partition("=")
    if not equals:
        hydra = word.startswith("hydra")
        groups = [f"{group}=" for group, options in composing.groups.items() if options]
        keys = [f"{key}=" for key in all_keys(cfg) if not isinstance(OmegaConf.select(cfg, key), DictConfig)]
        every = {name for name in groups + keys if name.startswith("hydra") == hydra and "_target_" not in name}
        return sorted(every - {f"{group}.name=" for group in composing.groups})
    before = value[: value.rfind(",") + 1]  # the values of a sweep
    return [f"{key}={before}{choice}" for choice in _values(composing, cfg, key)]


def _values(composing: Composer, cfg: DictConfig, key: str) -> Sequence[str]:
    if key in composing.groups:
        return composing.groups[key]
    spec, hint = field_of(COMMANDS[composing.command], key)
    if hint is bool:
        return ["true", "false"]
    complaint = spec.metadata["check"](object()) if spec and spec.metadata["check"] else ""
    if "must be one of " in (complaint or ""):
        return complaint.removeprefix("must be one of ").split(", ")
    return [str(OmegaConf.select(cfg, key))] if mistakes.has_key(cfg, key) else []


def _composed(composing: Composer, words: Sequence[str]) -> DictConfig:
    """Compose what the finished words say; a mistake among them is left for the command to name."""
    parsed = []
    for typed in words:
        try:
            override = composing.parse(typed)
            composing.compose([*parsed, override])
        except ConfigError:
            continue
        if not override.is_sweep_override():
            parsed.append(override)
    return composing.compose(parsed)


def _starting(word: str, choices: Iterable[str]) -> list[str]:
    return [choice for choice in choices if choice.startswith(word)]
