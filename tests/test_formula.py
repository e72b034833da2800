"""Activations written as formulas: the same numbers as the lab's own, and one line for whatever is not a formula."""

import copy
import json
import pickle
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repu_lab import Formula, analyse
from repu_lab.activations import (
    ELU,
    GELU,
    Activation,
    Hardswish,
    LeakyReLU,
    Mish,
    MRePU,
    ReLU,
    RePU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from repu_lab.activations.expression import FUNCTIONS
from repu_lab.cli import main
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.configs.spelling import spelt_out
from repu_lab.theory import gaussian

F64 = torch.float64
TINY = ["depth=2", "width=8", "steps=3", "batch_size=16", "probe=4", "threads=1"]
SAME: dict[str, Activation] = {
    "relu(z)": ReLU(),
    "relu(z)**2": RePU(2),
    "relu(z)**2.5": RePU(2.5),
    "where(z > 0, z**0.75, 0)": RePU(0.75),
    "z * relu(1 + z)": MRePU(1),
    "z * relu(1 + z)**2": MRePU(2),
    "z * relu(1 + z / 3)**2": MRePU(2, scale=3),
    "z * (1 + erf(z / sqrt(2))) / 2": GELU(),
    "z / (1 + exp(-z))": SiLU(),
    "1 / (exp(-z) + 1)": Sigmoid(),
    "exp(z) / (1 + exp(z))": Sigmoid(),
    "log(1 + exp(z))": Softplus(),
    "z * tanh(softplus(z))": Mish(),
    "z * clamp(z + 3, 0, 6) / 6": Hardswish(),
    "z if z > 0 else exp(min(z, 0)) - 1": ELU(),
    "max(z, 0.01 * z)": LeakyReLU(),
    "(1 - 2 / (exp(2 * z) + 1))": Tanh(),
}


@pytest.mark.parametrize("text", SAME)
def test_a_formula_has_the_values_and_slopes_of_the_labs_own(text):
    made, own = Formula(text), SAME[text]
    # 1000 stands for the far end; -3, -1, 0, 3 are kinks, where the limit from the left counts.
    z = torch.tensor([-1000.0, -60.0, -3.0, -1.7, -1.0, -0.3, 0.0, 1e-3, 0.4, 2.2, 3.0, 40.0, 1000.0], dtype=F64)
    for name in ("forward", "derivative", "second_derivative"):
        torch.testing.assert_close(getattr(made, name)(z), getattr(own, name)(z), rtol=1e-11, atol=1e-13, msg=name)


@pytest.mark.parametrize("text", SAME)
def test_theory_says_of_a_formula_what_it_says_of_the_labs_own(text):
    made, own, K = Formula(text), SAME[text], np.array([1e-3, 0.1, 1.0, 30.0])
    for name in ("mean_square", "mean_square_slope", "stein", "curvature_overlap"):
        if name == "curvature_overlap" and text.startswith("where"):
            continue  # E[s s''] of |z|^0.75 is a closed form only
        theirs = getattr(gaussian, name)(own, K)
        np.testing.assert_allclose(getattr(gaussian, name)(made, K), theirs, rtol=1e-10, err_msg=name)
    points, others = analyse(made).points, analyse(own).points
    assert [point.universality_class for point in points] == [point.universality_class for point in others]
    numbers = [[(p.K or 0.0, p.C_W, p.C_b) for p in several] for several in (points, others)]
    np.testing.assert_allclose(*numbers, rtol=1e-10, atol=1e-12)
    assert made.degree == own.degree


# sympy differentiates the text by its own rules, mpmath evaluates to 40 digits: neither knows of the lab's arithmetic.
INDEPENDENT = [
    "z * exp(-z**2)", "atan(z)**3 / (2 + cos(z))", "tanh(z + sin(3 * z)) / (1 + z**2)", "log(1 + z**2) * z / 4",
    "sqrt(1 + z**2) - 1", "erf(z) * 2**(-z**2)", "(1 + z**2)**-1.5 * z",
]  # fmt: skip


@pytest.mark.parametrize("text", INDEPENDENT)
def test_derivatives_are_those_of_a_computer_algebra(text):
    z, made = sympy.Symbol("z", real=True), Formula(text)
    expression = sympy.parse_expr(text, {"z": z})
    points = [-4.3, -1.1, -0.2, 0.0, 0.7, 3.9]
    with mpmath.workdps(40):
        for order, name in enumerate(("forward", "derivative", "second_derivative")):
            exact = sympy.lambdify(z, sympy.diff(expression, z, order), "mpmath")
            expected = torch.tensor([float(exact(mpmath.mpf(point))) for point in points], dtype=F64)
            value = getattr(made, name)(torch.tensor(points, dtype=F64))
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14, msg=name)


def test_kinks_are_where_branches_meet():
    assert Formula("relu(2 * z - 1) + abs(z)").kinks == (0.0, 0.5)
    assert Formula("where(-1 < z < 1 or z > 3, z, 0)").kinks == (-1.0, 1.0, 3.0)
    assert Formula("relu(z**2 - 2) + z").kinks == pytest.approx((-(2**0.5), 2**0.5), abs=1e-12)
    assert Formula("sqrt(z**2) + z").kinks == (0.0,)  # a root that touches
    assert Formula("z**3 + z").kinks == ()


def test_at_a_kink_the_slope_is_that_of_the_left_side():
    for text, slope in (("relu(z)", 0), ("relu(-z)", -1), ("abs(z)", -1), ("abs(-z)", -1), ("max(z, 3 * z)", 1)):
        assert Formula(text).derivative(torch.zeros(1, dtype=F64)).item() == slope, text


def test_branches_are_those_of_python():
    z = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.5], dtype=F64)
    inside = Formula("where(-1 < z <= 1 or not z < 3, z, 0.5 * z)")(z)
    assert inside.tolist() == [-1.0, -0.5, 0.0, 1.0, 1.0, 3.5]
    assert Formula("min(z, 1, 2 * z)")(z).tolist() == [-4.0, -2.0, 0.0, 1.0, 1.0, 1.0]
    assert Formula("z + sign(z)")(z).tolist() == [-3.0, -2.0, 0.0, 2.0, 3.0, 4.5]


def test_a_parameter_is_a_number():
    z = torch.linspace(-3, 3, 13, dtype=F64)
    assert torch.equal(Formula("relu(z)**a * b", a=3, b=0.5)(z), Formula("relu(z)**3 * 0.5")(z))
    assert Formula("relu(z)**a", a=3).degree == 3.0
    assert Formula("relu(z)**a", a=3).title == "relu(z)**a, a=3"


def test_training_follows_the_formulas_own_slope():
    made = Formula("relu(z)**1.5 + z / (1 + exp(-z))")
    z = torch.tensor([-200.0, -1.0, 0.5, 2.0], requires_grad=True)  # exp(200) is no float32
    (slope,) = torch.autograd.grad(made(z).sum(), z)
    exact = RePU(1.5).derivative(z.detach()) + SiLU().derivative(z.detach())
    torch.testing.assert_close(slope, exact)
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(copied(z), made(z))


WRONG = {
    "z.relu()": "z.relu(): may not stand",
    "__import__('os').system('true')": "may not stand",
    "(lambda: z)()": "may not stand",
    "[z for z in z]": "may not stand",
    "'z'": "may not stand",
    "True * z": "may not stand",
    "max(z, key=z)": "may not stand",
    "max(*z, z)": "may not stand",
    "open(z)": "open: is not a function",
    "tan(z)": "valid: exp, log",
    "x": "x: is not known; the variable is z",
    "relu": "relu: is a function",
    "relu(z, 1)": "relu takes 1 argument",
    "max(z)": "max takes two or more",
    "z ^ 2": "a power is written **",
    "z > 0": "write where(z > 0, a, b)",
    "where(z, 1, 0)": "z: is not a comparison",
    "relu(": "is not an expression at character 5",
    "": "is not an expression",
    "z**21": "at most 20",
    "9**9**9 * z": "not a finite number",
    "z / 0": "divides by 0",
    "z + log(0)": "not a finite number",
    "z**z": "exp(u * log(v))",
    "(-2)**z": "exp(u * log(v))",
    "1 / z": "not finite at z=0",
    "sin(z) / z": "not finite at z=0",
    "1 / (z**2 - 2)": "not finite at z=-1.41421",
    "log(abs(z - 3))": "not finite at z=3",
    "sqrt(z)": "not finite",
    "exp(z)": "grows faster than",
    "sign(z)": "has slope 0 wherever it has one",
    "1.5": "is constant",
    "abs(sin(50 * z))": "kinks within",
    "z +" * 200 + "z": "at most 500",
    "(" * 240 + "z" + ")" * 240: "is not an expression",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_what_is_not_a_formula_is_one_line(text):
    with pytest.raises(ValueError) as caught:
        Formula(text)
    assert WRONG[text] in str(caught.value) and "\n" not in str(caught.value)


def test_parameters_must_be_those_of_the_formula():
    for parameters, message in (
        ({"b": 2}, "b=2: b is not in the formula; its parameters: a"),
        ({"z": 2}, "z=2: is not free"),
        ({"a": "two"}, "a='two' must be a finite number"),
        ({"relu": 2}, "relu=2: is not free"),
    ):
        with pytest.raises(ValueError, match="^" + message):
            Formula("a * z", **{"a": 1, **parameters})  # pyright: ignore[reportArgumentType]


OPERATORS = ["+", "-", "*", "/", "**", "//", "%", "^", "<", "<=", "==", "and", "or", "@", ",", ":="]
ATOMS = st.sampled_from(["z", "a", "x", "pi", "1", "2.5", "0", "1e400", "'q'", "None", "z.real", "[z]"])
NAMES = st.sampled_from([*FUNCTIONS, "eval", "z"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(" ".join),
        st.tuples(NAMES, st.lists(inner, max_size=4)).map(lambda made: f"{made[0]}({', '.join(made[1])})"),
        st.tuples(st.sampled_from(["-", "not ", "~", "*", ""]), inner).map(lambda made: f"{made[0]}({made[1]})"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.one_of(EXPRESSIONS, st.text(max_size=30)))
def test_nothing_but_a_value_error_comes_of_any_text(text):
    try:
        made = Formula(text, a=2)
    except ValueError as error:
        assert str(error) and str(error).isprintable()
        return
    assert made(torch.ones(3, dtype=F64)).shape == (3,)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def formula(text: str, *more: str) -> list[str]:
    return spelt_out("train", ["activation=formula", f"activation.formula={text}", *more])


def test_a_formula_needs_no_quotes_but_the_shells():
    (job,) = compose_jobs("train", formula("where(z > 0, z, a * z)", "activation.a=0.5"))
    assert job.config.activation["formula"] == "where(z > 0, z, a * z)" and job.config.activation["a"] == 0.5
    several = compose_jobs("train", formula("max(z, 0),'z * relu(z)'"), multirun=True)
    assert [job.config.activation["formula"] for job in several] == ["max(z, 0)", "z * relu(z)"]


def test_spaces_make_no_other_run_and_numbers_do():
    names = {
        compose_jobs("train", formula(text, f"activation.a={a}"))[0].folder.name
        for text, a in (("a*z", 2), ("a * z", 2), ("(a*z)", 2))
    }
    assert len(names) == 1
    assert compose_jobs("train", formula("a*z", "activation.a=3"))[0].folder.name not in names


def test_a_formula_trains_as_the_labs_own(folder, capsys):
    assert main(["train", "activation=formula", "activation.formula=z * relu(1 + z)**2", *TINY]) == 0
    assert "z * relu(1 + z)**2 is critical only at K=0" in capsys.readouterr().out
    assert main(["train", "activation=mrepu", "activation.p=2", *TINY]) == 0
    of_formula, own = (json.loads(path.read_text()) for path in sorted(folder.rglob("result.json")))
    assert of_formula["members"][0]["loss"] == pytest.approx(own["members"][0]["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["activation=formula"], "activation.formula: is needed here"),
        (["activation=formula", "activation.formula=relu(z)**a"], "a: is not known"),
        (["activation=formula", "activation.formula=relu(z)", "activation.a=2"], "activation.a=2: a is not in"),
        (["activation=formula", "activation.formula=z.real"], "activation.formula=z.real: may not stand"),
        (["activation=relu", "activation.formula=z"], "no such key"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder, capsys, typed, message):
    assert main(["train", *typed, *TINY]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out and not list(folder.iterdir())


def test_a_glob_leaves_out_what_is_nothing_by_itself():
    jobs = compose_jobs("theory", ["activation=glob(*)"], multirun=True)
    names = {job.config.activation["name"] for job in jobs}
    assert {"relu", "mrepu", "tanh"} < names and not {"custom", "formula"} & names
    with pytest.raises(ConfigError, match="has no value at all"):
        compose_jobs("theory", ["activation=glob(custom)"], multirun=True)
