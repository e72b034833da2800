"""What is asked of a user's own activation before anything is made of it: the same for the commands and the library.

Every refusal is one line that names the user's class, what is wrong, where, and the cure.
"""

import copy
import pickle
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

import repu_lab
from repu_lab.activations.base import LARGEST_DEGREE, Activation

F64 = torch.float64
# Off round numbers, where kinks lie; the last point is no multiple of the step.
MODERATE = torch.linspace(-8, 8.07, 48, dtype=F64)
FAR = torch.logspace(-6, 6, 37, dtype=F64) * 1.037
STEP = 1e-6  # of differences, relative to 1 + |z|
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def check_activation(activation: Activation) -> None:
    """Raise ValueError unless s is an elementwise function that is finite, differentiable, and nothing but s(z).

    In turn: same shape and each element on its own; the same twice over, with nothing remembered or drawn; finite for
    |z| <= 8; growing as a power at most; a gradient; slopes that exist, agree with differences and are not all 0;
    the degree that it declares; number formats; members side by side, if it has parameters. About 10 ms.
    """
    name = activation.title
    value = _check_elementwise(activation, name)
    if not value.isfinite().all():
        raise ValueError(f"{name} is not finite on the whole line, first at z={_first(~value.isfinite()):.3g}")
    _check_growth(activation, name)
    slope = _check_gradient(activation, name)
    _check_slopes(activation, name, slope)
    _check_degree(activation, name)
    for dtype in DTYPES:
        check_dtype(activation, dtype, must_work=dtype == torch.float32)
    _check_members(activation, name)


def check_dtype(activation: Activation, dtype: torch.dtype, *, must_work: bool = True) -> None:
    """Raise ValueError unless the activation, cast to a number format, keeps to it, or if `must_work` fails in it."""
    name = activation.title
    cast = copy.deepcopy(activation).to(dtype=dtype).requires_grad_(False)
    z = MODERATE.to(dtype).requires_grad_()
    try:
        value = cast(z * 1)
        if value.dtype == dtype:
            torch.autograd.grad(value.sum(), z, allow_unused=True)
    except Exception as error:
        if must_work:
            raise ValueError(
                f"{name} does not work in {_kind(dtype)} ({_brief(error)}); choose another dtype"
            ) from error
        return
    if value.dtype != dtype:
        raise _other_dtype(name, value.dtype, dtype)


def changes_its_argument(module: nn.Module) -> bool:
    """Say whether a module works in place, as ReLU(inplace=True) does; False too where it cannot be applied."""
    z = MODERATE.clone()
    try:
        with torch.no_grad():
            module(z)
    except Exception:
        return False
    return not torch.equal(z, MODERATE)


def _check_elementwise(activation: Activation, name: str) -> Tensor:
    z = MODERATE.view(2, 4, 6)
    before, drawn = _memory(activation), _generators()
    with torch.no_grad():
        try:
            value, again = activation(z.clone()), activation(z.clone())
            shapes = [getattr(made, "shape", None) for made in (value, activation(MODERATE.clone()))]
            for given, made in zip((z.shape, MODERATE.shape), shapes, strict=True):
                if made != given:
                    shown = tuple(given), made and tuple(made)
                    raise ValueError(
                        f"{name} is not elementwise: it must keep the shape {shown[0]}, and made {shown[1]}"
                    )
            alone = torch.cat([activation(element.view(1)) for element in z.flatten()]).view(z.shape)
            turned = activation(z.flatten().flip(0)).flip(0).view(z.shape)
        except Exception as error:
            if str(error).startswith(name):
                raise
            raise ValueError(f"{name} cannot be applied elementwise: {_brief(error)}") from error
    if value.dtype != F64:
        raise _other_dtype(name, value.dtype, F64)
    if _generators() != drawn or not torch.equal(value.nan_to_num(), again.nan_to_num()):
        _restore(drawn)
        cure = "call .eval() on it" if _leaves_off(activation) else "leave the noise out"
        raise ValueError(f"{name} is random: two calls with the same z differ or draw random numbers; {cure}")
    if (changed := _changed(before, _memory(activation))) is not None:
        kind = "its buffers" if changed in dict(activation.named_buffers()) else "what it remembers"
        last = changed.rpartition(".")[2]
        raise ValueError(
            f"{name} changes {kind} when it is called ({last}): s(z) must depend on z and the parameters alone"
        )
    for other in (alone, turned):
        if not torch.equal(value.isnan(), other.isnan()) or not torch.allclose(
            value, other, rtol=1e-9, atol=1e-12, equal_nan=True
        ):
            raise ValueError(f"{name} is not elementwise: an element's value depends on its neighbours")
    return value


def _check_growth(activation: Activation, name: str) -> None:
    for sign in (-1.0, 1.0):
        z = sign * 2.0 ** torch.arange(0, 15, dtype=F64)
        with torch.no_grad():
            s = activation(z.clone()).abs()
        # An overflow alone says nothing: log(1 + exp z) is inf at 710.
        steep = (s[1:] > 2 ** (LARGEST_DEGREE + 1) * s[:-1]) & (s[1:] > 1e30) & (s[:-1] > 1) & s[1:].isfinite()
        if steep.any():
            at, reached = z[1:][steep][0].item(), s[1:][steep][0].item()
            raise ValueError(
                f"{name} grows faster than z^{LARGEST_DEGREE}: |s({at:g})| = {reached:.3g}, which no depth survives; "
                "clamp its argument, as clamp(z, -5, 5)"
            )


def _check_gradient(activation: Activation, name: str) -> Tensor:
    """Return s' by autograd on the moderate points, as training will have it."""
    z = MODERATE.clone().requires_grad_()
    leaves = "its values leave torch; write it with torch's functions"
    try:
        # In training z is no leaf, and it is needed again after s.
        value = activation(z * 1)
        if not value.requires_grad:
            with torch.no_grad():
                value = activation(FAR)
            if bool((value == value[0]).all()):
                raise ValueError(f"{name} is constant: nothing can be learnt through it")
            raise ValueError(f"{name} passes no gradient: {leaves}")
        (slope,) = torch.autograd.grad(value.sum(), z)
    except Exception as error:
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name} passes no gradient ({_brief(error)}): {leaves}") from error
    return slope


def _check_slopes(activation: Activation, name: str, slope: Tensor) -> None:
    z, declared = MODERATE, activation.derivative(MODERATE.clone())
    bend = activation.second_derivative(MODERATE.clone())
    inside = "torch.where passes on the NaN of the branch that it does not take: keep that branch finite, as with clamp"
    for what, values in (("slope", slope), ("slope", declared), ("second derivative", bend)):
        if values.shape != z.shape:
            raise ValueError(f"{name}: its {what} has another shape than z: return one number for each element")
        if not values.isfinite().all():
            raise ValueError(
                f"{name} is finite, but its {what} is {values[~values.isfinite()][0].item():g} at "
                f"z={_first(~values.isfinite()):.3g}; {inside}"
            )
    _check_slope_at_0(activation, name, inside)
    if not bool((slope != 0).any()):
        # So many points see clamp(1000 z, 300, 301).
        everywhere = torch.cat((-FAR.flip(0), FAR, torch.linspace(-40, 40, 400_001, dtype=F64)))
        if not bool((_autograd(activation, everywhere).nan_to_num() != 0).any()):
            values = activation(everywhere)
            if bool((values == values[0]).all()):
                raise ValueError(f"{name} is constant: nothing can be learnt through it")
            raise ValueError(
                f"{name} has slope 0 wherever it has one, so no gradient passes: use a smooth version of it"
            )
    if not torch.allclose(declared, slope, rtol=1e-6, atol=1e-9 * float(slope.abs().max())):
        _differ(name, "derivative", declared, slope, "autograd's slope of s")
    with torch.no_grad():
        _check_differences(name, "the slope that autograd gives", activation, slope)
        _check_differences(name, "second_derivative", activation.derivative, bend)


def _check_slope_at_0(activation: Activation, name: str, cure: str) -> None:
    """Where(z == 0, 1, sin(z) / z): NaN at 0 alone, though the slope beside it is finite and does not grow."""
    near = torch.tensor([-1e-3, -1e-6, 0.0, 1e-6, 1e-3], dtype=F64)
    far_left, left, at, right, far_right = _autograd(activation, near).tolist()
    beside = max(abs(left), abs(right)) <= 2 * max(abs(far_left), abs(far_right)) + 1e-9
    if at != at and beside:
        raise ValueError(f"{name} has slope NaN at z=0, though it is smooth there; {cure}")


def _check_differences(name: str, what: str, function: Callable[[Tensor], Tensor], claimed: Tensor) -> None:
    """Compare with differences, where those of both sides agree: next to a kink or a jump they do not."""
    wrong, measured = torch.ones_like(claimed, dtype=torch.bool), claimed
    # What a fine ripple makes differ at one step it does not at a tenth of it.
    for step in (STEP * (1 + MODERATE.abs()), STEP / 10 * (1 + MODERATE.abs())):
        left, at, right = (function(MODERATE + k * step) for k in (-1, 0, 1))
        before, after = (at - left) / step, (right - at) / step
        measured = (after + before) / 2
        # The rounding of s over the step is what differences cannot see.
        noise = 1e-14 * (at.abs() / step + at.abs().mean()) + 1e-5 * claimed.abs().max()
        smooth = (after - before).abs() <= 1e-3 * (after.abs() + before.abs()) + noise
        wrong &= smooth & (measured - claimed).abs().gt(1e-2 * claimed.abs() + 2 * noise)
    if wrong.any():
        _differ(name, what, claimed.where(wrong, 0 * claimed), measured * wrong, "its differences")


def _differ(name: str, what: str, claimed: Tensor, measured: Tensor, other: str) -> None:
    worst = int((claimed - measured).abs().argmax())
    raise ValueError(
        f"{name}: {what} is {claimed[worst].item():.6g} at z={MODERATE[worst].item():.3g}, and {other} "
        f"{measured[worst].item():.6g}: networks would train on wrong gradients; mend it"
    )


def _check_degree(activation: Activation, name: str) -> None:
    p = activation.degree
    if p is None:
        return
    z = torch.cat((MODERATE, 1e-3 * MODERATE))
    with torch.no_grad():
        single, double = activation(z.clone()), activation(2 * z)
    if not torch.allclose(double, 2**p * single, rtol=1e-9, atol=1e-12 * float(single.abs().max())):
        worst = int((double - 2**p * single).abs().argmax())
        raise ValueError(
            f"{name} says that its degree is {p:g}, but s({2 * z[worst].item():.3g}) / s({z[worst].item():.3g}) is not "
            f"2^{p:g}; leave `degree` out"
        )


def _check_members(activation: Activation, name: str) -> None:
    """Parameters are a member's own: s must allow them a leading axis (torch.func.vmap)."""
    parameters = {key: value.detach() for key, value in activation.named_parameters()}
    if not parameters:
        return
    stacked = {key: torch.stack((value, 1.25 * value + 0.01)) for key, value in parameters.items()}
    z = MODERATE.expand(2, -1)

    def member(values: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(activation, values, (z,))

    try:
        together = torch.func.vmap(member)(stacked, z)
        alone = torch.stack([member({key: value[i] for key, value in stacked.items()}, z[i]) for i in range(2)])
    except Exception as error:
        raise ValueError(
            f"{name} cannot give members parameters of their own ({_brief(error)}): compute with its "
            "parameters as tensors, without .item(), .data and Python's if"
        ) from error
    if not torch.allclose(together, alone, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(f"{name} gives other values when members stand side by side: use its parameters as tensors")


def _autograd(activation: Activation, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(z * 1).sum(), z, allow_unused=True)
    return torch.zeros_like(z) if slope is None else slope.detach()


def _brief(error: Exception) -> str:
    """Return the first sentence of an error, and the line of the user's own file that raised it."""
    installed = tuple(str(Path(file).parent) for file in (torch.__file__, repu_lab.__file__))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(installed)]
    where = f", in line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    return " ".join(str(error).split()).partition(". ")[0] + where


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _other_dtype(name: str, got: torch.dtype, dtype: torch.dtype) -> ValueError:
    cure = "keep its tensors as buffers, or cast them with .to(z)"
    return ValueError(f"{name} returns {_kind(got)} for {_kind(dtype)}: {cure}")


def _first(where: Tensor) -> float:
    return MODERATE[where.flatten()][0].item()


def _leaves_off(activation: Activation) -> bool:
    return any("Dropout" in type(part).__name__ or type(part) is nn.RReLU for part in activation.modules())


def _generators() -> tuple[Any, ...]:
    """Return the states of the random number generators that a user's code may draw from."""
    numpy = sys.modules.get("numpy")
    state = numpy.random.get_state(legacy=True) if numpy else ()
    return bytes(torch.get_rng_state().numpy().tobytes()), random.getstate(), pickle.dumps(state)


def _restore(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(states[0]), dtype=torch.uint8))
    random.setstate(states[1])
    if numpy := sys.modules.get("numpy"):
        numpy.random.set_state(pickle.loads(states[2]))


def _memory(activation: Activation) -> dict[str, bytes]:
    """Return everything that a call may have changed: attributes, buffers, parameters, and globals that are named."""
    parts: dict[str, bytes] = {}
    usual = set(vars(nn.Module()))
    functions: list[Any] = []
    for path, part in activation.named_modules():
        held = {key: value for key, value in vars(part).items() if key not in usual}
        held |= dict(part.named_parameters(recurse=False)) | dict(part.named_buffers(recurse=False))
        foreign = not type(part).__module__.startswith(("torch.", "repu_lab."))
        held |= {key: value for key, value in vars(type(part)).items() if foreign and not callable(value)}
        functions += [value for value in (*held.values(), *(vars(type(part)).values() if foreign else ()))]
        parts |= dict(_frozen(path, held))
    for function in _reached(functions):
        parts |= dict(_frozen(function.__qualname__, vars(function) | _named(function)))
    return parts


def _reached(values: list[Any]) -> Iterator[FunctionType]:
    """Yield the user's functions among the values, and those that they name."""
    seen: set[FunctionType] = set()
    while values:
        value = values.pop()
        value = getattr(value, "func", value)  # functools.partial
        if not isinstance(value, FunctionType) or value in seen or value.__module__.startswith(("torch", "repu_lab")):
            continue
        seen.add(value)
        yield value
        values += list(_named(value).values())


def _named(function: FunctionType) -> dict[str, Any]:
    """Return what a function refers to: globals that its code names, and its closure."""
    code = function.__code__
    named = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    return named | {name: cell.cell_contents for name, cell in cells}


def _frozen(path: str, held: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for key, value in held.items():
        if isinstance(value, (type, FunctionType)) or key.startswith("__"):
            continue
        try:
            yield (f"{path}.{key}" if path else key), pickle.dumps(value)
        except Exception:  # modules, locks, whatever cannot be copied cannot be compared
            continue


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> str | None:
    return next((key for key in {**before, **after} if before.get(key) != after.get(key)), None)
