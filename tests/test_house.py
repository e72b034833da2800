"""The house is one column: a package imports only from itself and from those below it."""

import ast
from pathlib import Path

import pytest

import repu_lab

SOURCE = Path(repu_lab.__file__).parent
# From the ground up.
COLUMN = (
    "activations", "theory", "networks", "tasks", "figures", "tracking", "configs", "runs", "claims", "report", "cli",
)  # fmt: skip
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
