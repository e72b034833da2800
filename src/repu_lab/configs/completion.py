"""Completion of the command line in bash, zsh and fish: `eval "$(repu-lab -sc install=bash)"`."""

import os
import sys
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf

from repu_lab.configs import mistakes
from repu_lab.configs.command import COMMANDS, JobCommand, job_command
from repu_lab.configs.composition import Composer, composer
from repu_lab.configs.config import ConfigError
from repu_lab.configs.mistakes import all_keys, field_of
from repu_lab.configs.text import printable

# A word that is complete (no = . or / at its end) is followed by a space, of which fish takes care itself. Where the
# program has nothing to say (results, report, config=), the shell completes names of files. bash takes = for the end
# of a word, so only what follows the last one is handed back; the words come from the program, which reads the line.
BASH = """\
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
ZSH = """\
_repu_lab_completion() {
    local -a candidates
    candidates=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" "${words[1]}" -sc query=zsh 2>/dev/null)"})
    if (( $#candidates )); then
        compadd -Q -S '' -- ${(M)candidates:#*[=./,]}
        compadd -Q -- ${candidates:#*[=./,]}
    else
        compset -P '*='
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _repu_lab_completion repu-lab
"""
FISH = """\
function _repu_lab_completion
    set -l line (commandline -cp)
    set -l program (commandline -opc)[1]
    set -l candidates (env COMP_LINE="$line" $program -sc query=fish 2>/dev/null)
    if set -q candidates[1]
        printf '%s\\n' $candidates
    else
        set -l parts (string match -r '^(.*=)?(.*)$' -- (commandline -ct))
        printf '%s\\n' "$parts[2]"(__fish_complete_path "$parts[3]")
    end
end
complete -c repu-lab -f -a '(_repu_lab_completion)'
"""
INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNINSTALL = {
    "bash": "complete -r repu-lab; unset -f _repu_lab_completion",
    "zsh": "compdef -d repu-lab; unfunction _repu_lab_completion",
    "fish": "complete -e -c repu-lab; functions -e _repu_lab_completion",
}


def shell_completion(arguments: Sequence[str]) -> int:
    """Answer `-sc install=SHELL`, `-sc uninstall=SHELL` and, for the shells' own use, `-sc query=SHELL`."""
    action, _, shell = arguments[0].partition("=") if len(arguments) == 1 else ("", "", "")
    if shell not in INSTALL or action not in ("install", "uninstall", "query"):
        given = printable(" ".join(arguments)) or "nothing"
        print(f"repu-lab -sc {given}: must be install= or uninstall= {', '.join(INSTALL)}", file=sys.stderr)
        return 2
    if action == "query":
        for candidate in candidates(os.environ.get("COMP_LINE", "")):
            print(candidate)
    else:
        print(INSTALL[shell] if action == "install" else UNINSTALL[shell], end="")
    return 0


def candidates(line: str) -> list[str]:
    """Return what the last word of a command line may become."""
    words = line.split()[1:]
    word = "" if line.endswith(" ") or not words else words.pop()
    words = [typed for typed in words if not typed.startswith("-")]
    if not words:
        return _starting(word, [*COMMANDS, "--help", "--version"])
    if not isinstance(COMMANDS.get(words[0]), JobCommand):
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
    spec, hint = field_of(job_command(composing.command).config, key)
    if hint is bool:
        return ["true", "false"]
    if spec and spec.metadata["check"] and spec.metadata["check"].names:
        return spec.metadata["check"].names
    value = OmegaConf.select(cfg, key) if mistakes.has_key(cfg, key) else None
    return [] if value is None else [str(value)]


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
