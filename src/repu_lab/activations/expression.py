"""A formula's text as a program of a few operations, read by Python's own grammar and an allow list; nothing is run.

A program is a tuple of steps, each an operation and the numbers of the steps that it takes. What does not depend on z
is a number already, and what is written twice is one step.
"""

import ast
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from repu_lab.activations.base import LARGEST, LARGEST_DEGREE

Operation = tuple[Any, ...]
Fold = Callable[[str, list[float]], float]

VARIABLE = "z"
CONSTANTS = {"pi": math.pi, "e": math.e}
# Functions of one argument that are steps of their own, and those that are made of other steps.
SMOOTH = (
    "exp", "log", "sqrt", "sin", "cos", "atan", "tanh", "erf", "sigmoid", "softplus", "gelu", "silu", "mish",
)  # fmt: skip
PIECEWISE = {"relu": 1, "elu": 1, "abs": 1, "sign": 1, "where": 3, "clamp": 3, "max": None, "min": None}
FUNCTIONS = (*SMOOTH, *PIECEWISE)
ARITHMETIC = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
LONGEST = 500  # characters
MADE_OF = f"z, numbers, parameters, + - * / **, {', '.join(FUNCTIONS)}"


def compiled(text: str, parameters: Mapping[str, float], fold: Fold) -> tuple[Operation, ...]:
    """Return the program of a formula; the last step is s(z).

    fold(operation, numbers) computes a step whose operands are numbers. ValueError of one line for what is not a
    formula: it starts with `formula=` or with the parameter's name.
    """
    for name, value in parameters.items():
        if name == VARIABLE or name in CONSTANTS or name in FUNCTIONS:
            raise ValueError(f"{name}={value:g}: is not free for a parameter; take another name")
    program = _Program(parameters, fold)
    try:
        tree = _parsed(text)
        result = program.read(tree.body)
    except RecursionError as error:
        raise ValueError("formula: is nested too deeply") from error
    except ValueError as error:
        shown = text if text.isprintable() else repr(text)[1:-1]
        shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
        raise ValueError(f"formula={shown}: {str(error).removeprefix(f'{text}: ')}") from error
    unused = sorted(set(parameters) - program.used)
    if unused:
        name, named = unused[0], ", ".join(sorted(program.used)) or "none"
        raise ValueError(f"{name}={parameters[name]:g}: {name} is not in the formula; its parameters: {named}")
    return _needed(program.steps[: result + 1])


def _parsed(text: str) -> ast.Expression:
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters; at most {LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of `1if`, which is an error here in any case
            return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError) as error:  # a null byte, brackets 200 deep
        where = getattr(error, "offset", None)
        at = f" at character {where}" if where else ""
        cause = f"is not an expression{at} ({getattr(error, 'msg', error)})"
        raise ValueError(f"{cause}; write for example z * relu(1 + z)**2") from error


def _needed(steps: list[Operation]) -> tuple[Operation, ...]:
    """Return the steps that the last one is made of, numbered afresh."""
    needed = {len(steps) - 1}
    for place in range(len(steps) - 1, -1, -1):
        if place in needed and steps[place][0] != "number":
            needed.update(steps[place][1:])
    fresh = {place: number for number, place in enumerate(sorted(needed))}
    return tuple(
        step if step[0] == "number" else (step[0], *(fresh[operand] for operand in step[1:]))
        for step in (steps[place] for place in sorted(needed))
    )


class _Program:
    """Steps as they are met; equal ones once."""

    def __init__(self, parameters: Mapping[str, float], fold: Fold):
        self.parameters, self.fold = parameters, fold
        self.steps: list[Operation] = []
        self.places: dict[Operation, int] = {}
        self.used: set[str] = set()

    def read(self, node: ast.expr) -> int:
        """Return the step of an expression."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(node, value)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.step(node, "multiply", self.number(node, -1.0), self.read(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand)
            case ast.BinOp(op=ast.Pow()):
                return self.power(node)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return self.step(node, ARITHMETIC[type(op)], self.read(left), self.read(right))
            case ast.BinOp(op=ast.BitXor()):
                raise ValueError(f"{_shown(node)}: a power is written **")
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.choice(test, self.read(body), self.read(otherwise))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(node, name, arguments)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise ValueError(f"{_shown(node)}: is true or false, not a number; write where({_shown(node)}, a, b)")
        raise ValueError(f"{_shown(node)}: may not stand in a formula; it is made of {MADE_OF}")

    def step(self, node: ast.expr, operation: str, *operands: int) -> int:
        """Return the place of a step; a number if it is made of numbers alone."""
        if operation == "divide" and self.steps[operands[1]] == ("number", 0.0):
            raise ValueError(f"{_shown(node)}: divides by 0")
        numbers = [self.steps[place][1] for place in operands if self.steps[place][0] == "number"]
        if len(numbers) == len(operands):
            return self.number(node, self.fold(operation, numbers))
        if rewritten := self.safely(node, operation, operands):
            return rewritten
        return self.place((operation, *operands))

    def safely(self, node: ast.expr, operation: str, operands: tuple[int, ...]) -> int | None:
        """Return log(1 + exp u) as softplus(u) and x / (1 + exp u) as x sigmoid(-u), which cannot overflow."""
        if operation not in ("log", "divide"):
            return None
        u = self.of_one_and_exp(operands[-1])
        if u is None:
            return None
        if operation == "log":
            return self.step(node, "softplus", u)
        minus = self.step(node, "multiply", self.number(node, -1.0), u)
        if self.steps[operands[0]] == ("exp", u):
            return self.step(node, "sigmoid", u)
        return self.step(node, "multiply", operands[0], self.step(node, "sigmoid", minus))

    def of_one_and_exp(self, place: int) -> int | None:
        """Return u if a step is 1 + exp(u) or exp(u) + 1."""
        operation, *operands = self.steps[place]
        if operation != "add":
            return None
        for one, other in (operands, operands[::-1]):
            if self.steps[one] == ("number", 1.0) and self.steps[other][0] == "exp":
                return self.steps[other][1]
        return None

    def place(self, step: Operation) -> int:
        if step not in self.places:
            self.places[step] = len(self.steps)
            self.steps.append(step)
        return self.places[step]

    def number(self, node: ast.expr, value: float) -> int:
        if not abs(value) <= LARGEST:
            raise ValueError(f"{_shown(node)}: is not a finite number of at most {LARGEST:g} in size")
        return self.place(("number", float(value)))

    def name(self, node: ast.expr, name: str) -> int:
        if name == VARIABLE:
            return self.place((VARIABLE,))
        if name in CONSTANTS:
            return self.number(node, CONSTANTS[name])
        if name in self.parameters:
            self.used.add(name)
            return self.number(node, self.parameters[name])
        if name in FUNCTIONS:
            raise ValueError(f"{name}: is a function; write {name}(...)")
        given = f"a parameter is given as {name}=VALUE (activation.{name}=VALUE)"
        raise ValueError(f"{name}: is not known; the variable is z, and {given}")

    def power(self, node: ast.BinOp) -> int:
        base, exponent = self.read(node.left), self.read(node.right)
        if self.steps[exponent][0] == "number":
            if abs(self.steps[exponent][1]) > LARGEST_DEGREE and self.steps[base][0] != "number":
                raise ValueError(f"{_shown(node)}: the exponent must be at most {LARGEST_DEGREE} in size")
            return self.step(node, "power", base, exponent)
        if self.steps[base][0] == "number" and self.steps[base][1] > 0:
            u = self.step(node, "multiply", self.number(node, math.log(self.steps[base][1])), exponent)
            return self.step(node, "exp", u)
        raise ValueError(f"{_shown(node)}: an exponent with z needs a number > 0 below it; write exp(u * log(v))")

    def call(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> int:
        if name not in FUNCTIONS:
            raise ValueError(f"{name}: is not a function of formulas; valid: {', '.join(FUNCTIONS)}")
        wanted = PIECEWISE.get(name, 1)
        if len(arguments) != wanted and (wanted is not None or len(arguments) < 2):
            raise ValueError(f"{_shown(node)}: {name} takes {wanted or 'two or more'} argument{'s' * (wanted != 1)}")
        if name == "where":
            return self.choice(arguments[0], self.read(arguments[1]), self.read(arguments[2]))
        u, *rest = map(self.read, arguments)
        zero, minus = self.number(node, 0.0), self.number(node, -1.0)
        match name:
            case "relu":
                return self.switch(node, u, u, zero)
            case "elu":
                return self.switch(node, u, u, self.step(node, "expm1", u))
            case "abs":
                return self.switch(node, u, u, self.step(node, "multiply", minus, u))
            case "sign":
                negative = self.switch(node, self.step(node, "multiply", minus, u), minus, zero)
                return self.switch(node, u, self.number(node, 1.0), negative)
            case "max" | "min":
                for v in rest:
                    first, second = (u, v) if name == "max" else (v, u)
                    u = self.switch(node, self.step(node, "subtract", u, v), first, second)
                return u
            case "clamp":
                above = self.switch(node, self.step(node, "subtract", u, rest[0]), u, rest[0])
                return self.switch(node, self.step(node, "subtract", above, rest[1]), rest[1], above)
            case "sqrt":
                return self.step(node, "power", u, self.number(node, 0.5))
        return self.step(node, name, u)

    def switch(self, node: ast.expr, u: int, positive: int, otherwise: int) -> int:
        """Return the step that is `positive` where u > 0, else `otherwise`."""
        if self.steps[u][0] == "number":
            return positive if self.steps[u][1] > 0 else otherwise
        return positive if positive == otherwise else self.place(("switch", u, positive, otherwise))

    def choice(self, test: ast.expr, true: int, false: int) -> int:
        match test:
            case ast.Compare(left=left, ops=[op, *ops], comparators=[right, *others]) if isinstance(op, COMPARISONS):
                if ops:  # a < z < b
                    true = self.choice(ast.Compare(left=right, ops=ops, comparators=others), true, false)
                small, large = map(self.read, (left, right) if isinstance(op, ast.Lt | ast.LtE) else (right, left))
                if isinstance(op, ast.Lt | ast.Gt):
                    return self.switch(test, self.step(test, "subtract", large, small), true, false)
                return self.switch(test, self.step(test, "subtract", small, large), false, true)
            case ast.BoolOp(op=op, values=[first, *rest]):
                for value in reversed(rest):
                    chosen = self.choice(value, true, false)
                    true, false = (chosen, false) if isinstance(op, ast.And) else (true, chosen)
                return self.choice(first, true, false)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.choice(operand, false, true)
        raise ValueError(f"{_shown(test)}: is not a comparison; write for example where(z > 0, z, 0)")


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node).replace(" ** ", "**")
    return text if len(text) <= 60 else f"{text[:57]}..."
