# Sourced by scripts/run and scripts/test: `prepare run` or `prepare dev` leaves a complete .venv behind.
# The work is done by scripts/environment.py; this file only finds a Python to run it with.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

prepare() {
    local python
    # The usual case: what is there is complete. A few hundredths of a second.
    if "$root/.venv/bin/python" -I "$root/scripts/environment.py" check "$1" 2>/dev/null; then
        return
    fi
    python="$(find_python)"
    "$python" -I "$root/scripts/environment.py" make "$1"
}

find_python() {
    local candidate answer without_venv=""
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
        # A name on the path need not run (pyenv), and Debian ships Python without ensurepip.
        answer="$("$candidate" -I -c '
import importlib.util as util, sys
print((3, 11) <= sys.version_info < (3, 14) and (util.find_spec("ensurepip") and "ready" or "no-venv"))' 2>/dev/null)" || continue
        case "$answer" in
            ready) echo "$candidate"; return ;;
            no-venv) without_venv="$candidate" ;;
        esac
    done
    if [ -n "$without_venv" ]; then
        echo "repu-lab: $without_venv has no venv module; install it (on Debian and Ubuntu: the package python3-venv)" >&2
    else
        echo "repu-lab: needs Python 3.11, 3.12 or 3.13; none was found on the path (PYTHON=/path/to/python names one)" >&2
    fi
    return 1
}
