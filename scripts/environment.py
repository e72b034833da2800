"""Make, mend or check the repository's .venv; needs nothing but Python. Called by scripts/setup.sh."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "repu-lab-installed"
UNFINISHED = VENV / "repu-lab-unfinished"

# Modules whose absence shows that the environment was damaged after it was stamped.
RUN_MODULES = ["repu_lab", "torch", "numpy", "scipy", "hydra", "omegaconf", "tensorboard", "tqdm", "sklearn"]
DEV_MODULES = ["pytest", "hypothesis", "mpmath", "ruff", "basedpyright", "build", "hatchling", "sphinx", "myst_nb"]


def main(action: str, extra: str) -> int:
    """`check` exits 0 if .venv holds what `extra` (run or dev) needs; `make` sees to it."""
    if action == "check":
        return 0 if is_complete(extra) else 1
    with open(ROOT / "pyproject.toml", encoding="utf-8") as project:
        # Two commands typed at once must not install into one folder at once; the lock dies with its owner.
        try:
            fcntl.flock(project, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is preparing .venv; waiting for it")
            fcntl.flock(project, fcntl.LOCK_EX)
        return make(extra)


def make(extra: str) -> int:
    """Create .venv if it is missing or cannot be trusted, install, and stamp it."""
    python = VENV / "bin" / "python"
    if reason := why_unusable(python):
        if VENV.exists():
            say(f"making .venv anew: {reason}")
            shutil.rmtree(VENV)
        say(f"making .venv with Python {sys.version.split()[0]}")
        VENV.mkdir()
        UNFINISHED.touch()
        if run(sys.executable, "-m", "venv", VENV):
            return fail("could not make .venv")
    elif subprocess.run([python, "-I", __file__, "check", extra], check=False).returncode == 0:
        return 0
    STAMP.unlink(missing_ok=True)
    UNFINISHED.touch()
    what = "with the development tools " if extra == "dev" else ""
    say(f"installing repu-lab {what}into .venv (minutes the first time, PyTorch is large)")
    target = f"{ROOT}[dev]" if extra == "dev" else str(ROOT)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    if run(*pip, "--constraint", ROOT / "constraints.txt", "--editable", target):
        return fail("pip failed, see above; the same command tries again")
    STAMP.write_text(f"{extra} {fingerprint()}\n", encoding="utf-8")
    UNFINISHED.unlink()
    say(".venv is ready")
    return 0


def is_complete(extra: str) -> bool:
    """Say whether this interpreter's .venv was stamped for these files, in this place, and is still whole."""
    try:
        stamped, stamped_print = STAMP.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return False
    modules = RUN_MODULES + (DEV_MODULES if extra == "dev" else [])
    return (
        extra in (stamped, "run")
        and stamped_print == fingerprint()
        and all(importlib.util.find_spec(module) for module in modules)
        and (VENV / "bin" / "repu-lab").exists()
    )


def why_unusable(python: Path) -> str | None:
    """Return the reason to throw .venv away, None if pip can mend it.

    An interrupted pip may leave packages that look installed and are not, so such a folder is never mended. A folder
    that these scripts did not make is.
    """
    if not VENV.exists():
        return "there is none"
    if UNFINISHED.exists():
        return "its installation was interrupted"
    if STAMP.exists() and STAMP.read_text(encoding="utf-8").split()[1:] == [fingerprint()]:
        # The stamp is right, so make is here because something it vouches for is gone, or for the other extra.
        whole = subprocess.run([python, "-I", __file__, "check", "run"], check=False) if python.exists() else None
        if whole is None or whole.returncode:
            return "something is missing in it"
    probe = "import sys, pip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
    try:
        broken = subprocess.run([python, "-I", "-c", probe], check=False, capture_output=True).returncode
    except OSError:
        broken = True
    return "its Python does not run, or is not 3.11 to 3.13" if broken else None


def fingerprint() -> str:
    """Digest of what decides the environment's contents; the place counts since scripts hold absolute paths."""
    digest = hashlib.sha256(os.fsencode(ROOT))
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def run(*command: object) -> int:
    """Run a command with its output on stderr: stdout belongs to repu-lab."""
    return subprocess.run([str(part) for part in command], check=False, stdout=sys.stderr).returncode


def say(message: str) -> None:
    print(f"repu-lab: {message}", file=sys.stderr, flush=True)


def fail(message: str) -> int:
    say(message)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
