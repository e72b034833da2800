"""Set-up: the wheel works on its own, every dependency is pinned, and a half-made .venv is mended."""

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_runs_from_another_folder(tmp_path):
    """The wheel in an environment of its own; its dependencies are borrowed, since installing torch takes minutes."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # addsitedir would also read the .pth that makes this repository importable.
    borrowed = sysconfig.get_path("purelib")
    (site / "borrowed.pth").write_text(f"{borrowed}\n")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str) -> str:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=elsewhere, env=clean)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    code = "import repu_lab; from repu_lab.configs.groups import conf_dir; print(repu_lab.__file__, conf_dir())"
    package, conf = run(str(python), "-c", code).split()
    assert Path(package).is_relative_to(venv) and Path(conf) == Path(package).parent / "conf"
    repu_lab = str(venv / "bin" / "repu-lab")
    run(repu_lab, "train", "activation=relu", "initialization=he", "depth=2", "width=8", "steps=2", "statistics=false")
    (result,) = elsewhere.glob("outputs/*/result.json")
    run(repu_lab, "report", str(result.parent))
    assert "<h2>Outcomes</h2>" in (result.parent / "report.html").read_text()


def test_every_dependency_is_pinned():
    pins = re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    pinned = {canonicalize_name(name) for name in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    waiting, seen = [*project["dependencies"], *extras], set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        with contextlib.suppress(PackageNotFoundError):  # of an extra that is not installed here
            waiting += requires(name) or []
    # What torch brings for a GPU is pinned by torch itself.
    missing = {name for name in seen - pinned if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert not missing


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/environment.py for a project in a temporary folder, with pip and venv replaced by quick stand-ins."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    venv = tmp_path / ".venv"
    places = {"ROOT": tmp_path, "VENV": venv}
    places |= {name: venv / getattr(module, name).name for name in ("STAMP", "UNFINISHED")}
    for name, path in places.items():
        monkeypatch.setattr(module, name, path)
    monkeypatch.setattr(module, "commands", [], raising=False)
    monkeypatch.setattr(module, "exit_codes", {"venv": 0, "pip": 0}, raising=False)

    def run(*command: object) -> int:
        what = str(command[2])
        module.commands.append(what)
        if what == "venv":
            make_python(venv)
        elif module.exit_codes[what] == 0:
            (venv / "bin" / "repu-lab").touch()
        return module.exit_codes[what]

    monkeypatch.setattr(module, "run", run)
    return module


def make_python(venv: Path, works: bool = True) -> None:
    """Put a python there which, asked to check, says that something is missing, and else does nothing."""
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *check*) exit 1;; *) exit {0 if works else 1};; esac\n')
    python.chmod(0o755)


def test_an_environment_is_made_once(environment):
    assert environment.main("check", "run") == 1
    assert environment.main("make", "run") == 0
    assert environment.commands == ["venv", "pip"]
    assert environment.main("check", "run") == 0
    assert environment.main("check", "dev") == 1
    assert environment.main("make", "dev") == 0
    assert environment.main("check", "run") == environment.main("check", "dev") == 0


def test_a_change_of_the_dependencies_is_installed(environment):
    assert environment.main("make", "run") == 0
    (environment.ROOT / "constraints.txt").write_text("other")
    environment.commands.clear()
    assert environment.main("check", "run") == 1
    assert environment.main("make", "run") == 0
    assert environment.commands == ["pip"]


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_what_was_interrupted_is_made_anew(environment, step):
    environment.exit_codes[step] = 1
    assert environment.main("make", "run") == 1
    (environment.VENV / "half-made").touch()
    environment.exit_codes[step] = 0
    assert environment.main("check", "run") == 1
    assert environment.main("make", "run") == 0
    assert not (environment.VENV / "half-made").exists()
    assert environment.main("check", "run") == 0


def test_an_environment_of_the_users_own_is_completed_and_kept(environment):
    make_python(environment.VENV)
    (environment.VENV / "own").touch()
    assert environment.main("make", "dev") == 0
    assert environment.commands == ["pip"] and (environment.VENV / "own").exists()


def test_an_environment_without_a_working_python_is_made_anew(environment):
    make_python(environment.VENV, works=False)
    assert environment.main("make", "dev") == 0
    assert environment.commands == ["venv", "pip"]


def test_missing_files_are_noticed(environment):
    assert environment.main("make", "run") == 0
    (environment.VENV / "bin" / "repu-lab").unlink()
    assert environment.main("check", "run") == 1
    environment.commands.clear()
    assert environment.main("make", "run") == 0
    assert environment.commands == ["venv", "pip"]
