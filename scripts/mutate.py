"""Change one place of the code at a time, run the tests beside it, and list the changes that no test notices.

    scripts/mutate.py [ROOM ...] [--mutations 40] [--seed 0] [--cpu 900]

Rooms are folders of src/repu_lab, theory and networks unless named; places are drawn evenly from all of their files.
The tests beside a file are those of its room, until one fails, its own first. It works on a copy, one change and one
process at a time, and begins none after `cpu` seconds. Some changes make no difference that a user could notice (a
tolerance, a bound on memory): a survivor is a place to read, not yet a missing test.
"""

import argparse
import ast
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench_cli import cpu_of_children

HOME = Path(__file__).resolve().parents[1]
# The tests of a room that has no folder of that name in tests/.
TESTS = {
    "activations": ("test_*activations.py", "test_formula.py"), "blocks": ("networks/test_*.py", "theory/test_*.py"),
    "commands": ("test_cli*.py",), "figures": ("test_figure*.py", "claims/test_claim_figures.py"),
}  # fmt: skip
SECONDS = 600  # of CPU, of a mutation's tests: what runs for ever is noticed, and what waits ten times as long
OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}


class Mutation(NamedTuple):
    """A node of a file, and the code that stands there instead."""

    file: Path
    node: Any
    code: str


def main() -> None:
    """Draw the mutations, try them and print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=["theory", "networks"], metavar="ROOM")
    parser.add_argument("--mutations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", type=float, default=900.0)
    given = parser.parse_args()
    files = [file for room in given.rooms for file in sorted((HOME / "src/repu_lab" / room).rglob("*.py"))]
    every = [Mutation(file, *change) for file in files for change in changes(ast.parse(file.read_bytes()))]
    tried, noticed = 0, 0
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, "copy")
        shutil.copytree(HOME, copy, ignore=shutil.ignore_patterns(".*", "outputs"))
        for mutation in random.Random(given.seed).sample(every, min(given.mutations, len(every))):
            if cpu_of_children() > given.cpu:
                break
            killed = is_noticed(mutation, copy)
            tried, noticed = tried + 1, noticed + killed
            before, name = ast.unparse(mutation.node), mutation.file.relative_to(HOME)
            print(
                f"{'noticed ' if killed else 'SURVIVED'} {name}:{mutation.node.lineno}  {before}  ->  {mutation.code}",
                flush=True,
            )
    print(
        f"noticed {noticed} of {tried}, drawn from {len(every)} places in {len(files)} files with seed {given.seed}; "
        f"{cpu_of_children():.0f} s of CPU"
    )


def changes(node: ast.AST) -> Iterator[tuple[Any, str]]:
    """Yield every node that can be changed, with its new code; what types, decorators and errors say stays."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield node, f"({ast.unparse(ast.BinOp(left, OPERATORS[type(op)](), right))})"
        case ast.Compare(left, [op], right) if type(op) in OPERATORS:
            yield node, f"({ast.unparse(ast.Compare(left, [OPERATORS[type(op)]()], right))})"
        case ast.BoolOp(op, values):
            yield node, f"({ast.unparse(ast.BoolOp(OPERATORS[type(op)](), values))})"
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(bool() as value):
            yield node, str(not value)
        case ast.Constant(int() | float() as value):
            yield node, f"({value} + 1)" if isinstance(value, int) else f"(2 * {value})"
        case ast.Name(name) if name in NAMES:
            yield node, NAMES[name]
        case ast.Attribute(value, name) if name in NAMES:
            yield node, f"({ast.unparse(value)}).{NAMES[name]}"
        case ast.If(test) | ast.IfExp(test) | ast.While(test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.AugAssign() | ast.Expr(ast.Call()):
            yield node, "pass"
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list") or isinstance(node, (ast.Raise, ast.JoinedStr)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from changes(child)


def is_noticed(mutation: Mutation, copy: Path) -> bool:
    """Return whether the tests beside a file fail with a mutation of it; the copy is left as it was."""
    file, node = copy / mutation.file.relative_to(HOME), mutation.node
    content = file.read_bytes()
    lines = [b"", *content.splitlines(keepends=True)]
    start, end = (
        sum(map(len, lines[:line])) + column
        for line, column in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
    )
    file.write_bytes(content[:start] + mutation.code.encode() + content[end:])
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_beside(mutation.file)]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            capture_output=True,
            check=False,
            timeout=10 * SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_bytes(content)
    return done.returncode != 0


def tests_beside(file: Path) -> list[str]:
    """Return the room's test files: the one of the module's name first, then those that import it, then the rest."""
    rooms, module = file.parent.relative_to(HOME / "src/repu_lab").parts, file.stem
    imports = re.compile(rf"repu_lab\.{'.'.join(rooms)}(\.| import .*\b){module}\b")

    def farness(test: Path) -> tuple[bool, bool]:
        return test.stem != f"test_{module}", imports.search(test.read_text(encoding="utf-8")) is None

    patterns = TESTS.get(rooms[0], (f"{rooms[0]}/test_*.py",))
    tests = (test for pattern in patterns for test in (HOME / "tests").glob(pattern))
    return [str(test.relative_to(HOME)) for test in sorted(tests, key=farness)]


if __name__ == "__main__":
    main()
