"""Under which circumstances a run takes place: what its bits may depend on beside config, device and threads."""

import os
import platform
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from repu_lab import __version__

PACKAGES = ("torch", "numpy", "scipy", "hydra-core", "tensorboard", "scikit-learn")


def circumstances() -> dict[str, Any]:
    """Return what the manifest of a run tells of them."""
    return {
        "command_line": sys.argv,
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()} {_processor()}".strip(),
        "git_commit": _git_commit(),
        "process": os.getpid(),
        "host": socket.gethostname(),
    }


@cache
def _versions() -> dict[str, str]:
    own = {"repu-lab": __version__, "python": platform.python_version()}
    return own | {package: version(package) for package in PACKAGES}


@cache
def _processor() -> str:
    """Return the processor's name: what the kernel of a matrix product is chosen by."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@cache
def _git_commit() -> str | None:
    """Commit of the lab's own checkout, with + if it has changes; None for an installed wheel."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=False)
        if tracked.returncode:
            return None
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed else "")
