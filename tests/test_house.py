"""The house is one column: a package imports only from itself and from those below it."""

import ast
from pathlib import Path

import pytest

import repu_lab

SOURCE = Path(repu_lab.__file__).parent
# From the ground up.
COLUMN = (
    "activations", "blocks", "theory", "networks", "tasks", "figures", "tracking", "configs", "runs", "boundaries",
    "sweeps", "catalogue", "watching", "claims", "report", "commands", "cli", "__main__",
)  # fmt: skip
SCRIPTS = sorted(SOURCE.parents[1].glob("scripts/*.py"))
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of the lab that a file imports from anywhere in it, inside functions and for types too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names if name.startswith("repu_lab.")]
    return {part[1] for part in parts} - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    below = COLUMN[: COLUMN.index(room(path)) + 1]
    assert imported_rooms(path) <= set(below), f"{path} may import from {', '.join(below)}"


def test_every_room_stands_in_the_column() -> None:
    assert {room(path) for path in FILES} <= set(COLUMN)


def test_an_upward_import_is_found(tmp_path: Path) -> None:
    file = tmp_path / "kernel.py"
    file.write_text("def f():\n    from repu_lab.runs import folder\n    import repu_lab.cli\n")
    assert imported_rooms(file) == {"runs", "cli"}


def of_the_locale(path: Path) -> list[int]:
    """Return the lines that read or write a text file in whatever encoding the locale says."""
    lines = []
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        owner = getattr(getattr(call.func, "value", None), "id", "")
        binary = any("b" in str(getattr(mode, "value", "")) for mode in [*call.args[1:2], *call.args[:1]])
        in_archive = isinstance(call.func, ast.Attribute) and any(not isinstance(a, ast.Constant) for a in call.args)
        text = (
            (name == "open" and owner != "os" and not binary and not in_archive)
            or (name == "read_text" and isinstance(call.func, ast.Attribute))
            or (name == "write_text" and len(call.args) == 1)  # RunFolder's own takes a name too
        )
        if text and not any(keyword.arg in ("encoding", None) for keyword in call.keywords):
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=lambda path: path.name)
def test_text_files_are_utf_8_in_any_locale(path: Path) -> None:
    assert of_the_locale(path) == []


def test_a_text_file_of_the_locale_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    lines = ["open(p)", "open(p, 'rb')", "p.open('w')", "p.read_text()", "f.write_text(n, t)", "z.open(n)"]
    file.write_text("\n".join([*lines, "p.write_text(t, **TEXT)"]))
    assert of_the_locale(file) == [1, 3, 4]
