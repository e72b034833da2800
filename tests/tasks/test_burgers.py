"""The reference against two methods that share nothing with it, the loss against autograd, errors of known networks."""

import io
from collections.abc import Iterator

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from repu_lab.activations import GELU, Identity, MRePU, Tanh
from repu_lab.figures.burgers import learnt_solution
from repu_lab.networks.derivatives import Jet
from repu_lab.networks.initialization import draw_, lecun
from repu_lab.networks.population import Population
from repu_lab.tasks import Split, Task, burgers, helmholtz, on_device
from repu_lab.tasks.burgers import FORM, PLACES, TIMES, solution
from repu_lab.tasks.burgers_reference import VISCOSITY, burgers_solution
from repu_lab.tasks.helmholtz import FORM as HELMHOLTZ

F64 = torch.float64
SIZES = (2, 20, 20, 20, 1)


def drawn(activation=None, members: int = 2) -> Population:
    population = Population(activation or Tanh(), SIZES, members, dtype=F64)
    draw_(population, lecun(SIZES), range(members))
    return population


def fourier_solution(modes: int, steps: int) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """t, x and u up to t = 1 from the equation itself: Fourier collocation in x, a fourth-order method in t."""
    x = -1 + 2 * np.arange(modes) / modes
    k = np.pi * np.fft.rfftfreq(modes, 1 / modes)
    dt = 1 / steps
    linear = -VISCOSITY * k**2 * dt
    # Exponential Runge-Kutta: averages over a circle around each eigenvalue, where the formulas would cancel.
    z = linear[:, None] + np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    half = dt * np.mean((np.exp(z / 2) - 1) / z, 1).real
    first = dt * np.mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3, 1).real
    middle = dt * np.mean((2 + z + np.exp(z) * (z - 2)) / z**3, 1).real
    last = dt * np.mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3, 1).real
    whole_step, half_step = np.exp(linear), np.exp(linear / 2)
    keep = k < np.pi * modes / 3

    def advection(v: NDArray) -> NDArray:
        return -0.5j * k * keep * np.fft.rfft(np.fft.irfft(v, modes) ** 2)

    v = np.fft.rfft(-np.sin(np.pi * x))
    for step in range(1, steps + 1):
        at_v = advection(v)
        a = half_step * v + half * at_v
        at_a = advection(a)
        b = half_step * v + half * at_a
        at_b = advection(b)
        c = half_step * a + half * (2 * at_b - at_v)
        v = whole_step * v + first * at_v + 2 * middle * (at_a + at_b) + last * advection(c)
        if step % (steps // 10) == 0:
            yield step / steps, x, np.fft.irfft(v, modes)


def test_the_reference_solves_the_equation():
    for t, x, u in fourier_solution(2048, 3000):
        assert np.abs(u - burgers_solution(x, t)).max() < 1e-8, t


def test_the_reference_is_the_fourier_series_of_the_heat_equation():
    """theta = I_0(a) + 2 sum (-1)^k I_k(a) exp(-nu k^2 pi^2 t) cos(k pi x), a = 1 / (2 pi nu) = 50, with 60 digits."""
    with mpmath.workdps(60):
        nu = mpmath.mpf("0.01") / mpmath.pi
        bessel = [mpmath.besseli(k, 1 / (2 * mpmath.pi * nu)) for k in range(200)]
        for x, t in ((0.5, 0.1), (0.01, 0.4), (-0.004, 0.9), (0.9, 1.0)):
            decayed = [(-1) ** k * b * mpmath.exp(-nu * (k * mpmath.pi) ** 2 * t) for k, b in enumerate(bessel)]
            angles = [mpmath.pi * k * mpmath.mpf(x) for k in range(200)]
            theta = decayed[0] + 2 * sum(d * mpmath.cos(q) for d, q in zip(decayed[1:], angles[1:], strict=True))
            slope = -2 * sum(
                mpmath.pi * k * d * mpmath.sin(q) for k, d, q in zip(range(200), decayed, angles, strict=True)
            )
            assert float(burgers_solution(x, t)) == pytest.approx(float(-2 * nu * slope / theta), rel=1e-12, abs=1e-14)


def test_the_reference_keeps_its_initial_and_boundary_values_and_its_symmetry():
    x = np.linspace(-1, 1, 101)
    assert np.allclose(burgers_solution(x, 0.0), -np.sin(np.pi * x), rtol=0, atol=1e-15)
    assert np.abs(burgers_solution([[-1.0], [1.0]], np.linspace(0, 1, 11))).max() < 1e-13
    assert np.allclose(burgers_solution(x, 0.7), -burgers_solution(-x, 0.7), rtol=0, atol=1e-14)


def test_data_are_points_of_the_domain_and_its_boundary():
    task = burgers(data_seed=3, collocation=500, boundary=40, conditions="soft")
    (x, t), conditions = task.train.x.T, task.conditions
    assert conditions is not None and len(task.train) == 500 and len(conditions) == 40
    assert x.min() >= -1 and x.max() <= 1 and t.min() >= 0 and t.max() <= 1 and not task.train.y.any()
    assert abs(task.train.x.square().mean().item() - task.input_mean_square) < 4 * (4 / 45 / 1000) ** 0.5
    start, edge = conditions.x[:20], conditions.x[20:]
    assert not start[:, 1].any() and (edge[:, 0].abs() == 1).all() and 0 < (edge[:, 0] > 0).sum() < 20
    torch.testing.assert_close(conditions.y[:20, 0], -torch.sin(torch.pi * start[:, 0]))
    torch.testing.assert_close(conditions.y[20:], torch.zeros(20, 1, dtype=F64))
    assert not torch.equal(task.train.x, burgers(collocation=500, conditions="soft").train.x)


@pytest.mark.parametrize("activation", [Tanh(), GELU(), MRePU(2)])
@pytest.mark.parametrize("conditions", ["exact", "soft"])
def test_losses_are_those_of_autograd(activation, conditions):
    task = burgers(collocation=64, boundary=10, conditions=conditions)
    population = drawn(activation)
    z_D, loss_M = task.passed(population, task.train)
    torch.testing.assert_close(task.losses(population, task.train), loss_M)
    torch.testing.assert_close(z_D, population.preactivations(task.train.x))
    for i in range(2):
        network, residual = population.member(i), []
        for point in task.train.x:
            point = point.clone().requires_grad_()
            u = task.formed(point[None], network(point)[None, None])[0, 0, 0]
            (slope,) = torch.autograd.grad(u, point, create_graph=True)
            (second,) = torch.autograd.grad(slope[0], point)
            residual.append(slope[1] + u * slope[0] - VISCOSITY * second[0])
        wanted = torch.stack(residual).square().mean()
        if task.conditions is not None:
            wanted = wanted + (network(task.conditions.x) - task.conditions.y).square().mean()
        torch.testing.assert_close(loss_M[i], wanted, rtol=1e-8, atol=1e-10)


def test_a_network_of_zeros_misses_all_and_a_straight_line_what_it_should():
    task = burgers(collocation=10, conditions="soft")
    population = Population(Identity(), (2, 1), 2, dtype=F64)
    with torch.no_grad():
        population.theta[1] = torch.tensor([-1.0, 0.0, 0.0])  # u = -x
    x, t, exact, learnt = solution(population, None)
    assert (x.shape, t.shape, exact.shape, learnt.shape) == ((PLACES,), (TIMES,), (TIMES, PLACES), (2, TIMES, PLACES))
    assert np.allclose(exact, burgers_solution(x, t[:, None])) and np.allclose(learnt[1], -x, rtol=0, atol=1e-15)
    error = task.measures(population, population.theta)["relative_l2"]
    assert error[0].item() == pytest.approx(1)
    assert error[1].item() == pytest.approx(np.linalg.norm(-x - exact) / np.linalg.norm(exact))
    evaluation = task.evaluate(population(task.test.x))
    assert evaluation.metric[0].item() == pytest.approx(0) == task.baseline()[1]
    # R^2 = 1 - (relative error)^2, on 2,048 random points instead of the grid.
    assert evaluation.metric[1].item() == pytest.approx(1 - error[1].item() ** 2, abs=0.05)  # four standard errors


def test_the_form_meets_the_conditions_whatever_the_network():
    population, x = drawn(), torch.linspace(-1, 1, 21, dtype=F64)
    task = burgers(collocation=10)
    assert task.conditions is None
    for points in (torch.stack([x, 0 * x], 1), torch.stack([x.sign(), (x + 1) / 2], 1)[x != 0]):
        u_MB1 = task.formed(points, population(points)).detach()
        wanted = burgers_solution(*points.numpy().T)
        assert np.allclose(u_MB1[..., 0], wanted, rtol=0, atol=1e-13)
    inside = torch.tensor([[0.3, 0.5]], dtype=F64)
    assert (task.formed(inside, population(inside))[0] - task.formed(inside, population(inside))[1]).abs() > 1e-3


def test_half_of_the_points_are_drawn_towards_the_shock():
    x, t = burgers(data_seed=1, collocation=4096).train.x.T
    # P(|x| < .1) is .1 of a uniform point, and .1^(1/3) of its third power.
    assert (x[1::2].abs() < 0.1).double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (x[::2].abs() < 0.1).double().mean().item() == pytest.approx(0.1 ** (1 / 3), abs=0.01)
    assert t.min() >= 0 and t.max() <= 1 and t.mean().item() == pytest.approx(0.5, abs=0.01)


def test_the_right_solution_of_helmholtz_equation_has_no_residual():
    """N = u / ((1 - x^2) (1 - y^2)) has the exact u, with derivatives by finite differences, as its form."""
    task, h = helmholtz(collocation=40), 1e-4
    inside = task.train.x * 0.9

    def u(x_BI: torch.Tensor) -> torch.Tensor:
        return torch.sin(torch.pi * x_BI[:, :1]) * torch.sin(2 * torch.pi * x_BI[:, 1:])

    def N(x_BI: torch.Tensor) -> torch.Tensor:
        return u(x_BI) / (1 - x_BI**2).prod(1, keepdim=True)

    steps = [h * torch.eye(2, dtype=F64)[k] for k in range(2)]
    first = torch.stack([(N(inside + s) - N(inside - s)) / (2 * h) for s in steps])
    second = torch.stack([(N(inside + s) - 2 * N(inside) + N(inside - s)) / h**2 for s in steps])
    jet = HELMHOLTZ.jet(inside, Jet(N(inside)[None], first[None], second[None]))
    torch.testing.assert_close(jet.z_MBN[0], u(inside))
    scale = 5 * torch.pi**2
    laplacian = jet.second_MJBN.sum(1)[0]
    torch.testing.assert_close(laplacian, -scale * u(inside), rtol=0, atol=1e-3)
    torch.testing.assert_close(task.train.y, (1 - scale) / scale * u(task.train.x))
    edge = torch.tensor([[1.0, 0.3], [-1.0, 0.2], [0.5, 1.0], [0.1, -1.0]], dtype=F64)
    assert not task.formed(edge, drawn()(edge)).any()


@pytest.mark.parametrize("conditions", ["exact", "soft"])
def test_the_loss_of_helmholtz_equation_is_that_of_autograd(conditions):
    task, population = helmholtz(collocation=20, boundary=8, conditions=conditions), drawn(members=1)
    network, residual = population.member(0), []
    for point, y in zip(*task.train, strict=True):
        point = point.clone().requires_grad_()
        u = task.formed(point[None], network(point)[None, None])[0, 0, 0]
        (slope,) = torch.autograd.grad(u, point, create_graph=True)
        second = [torch.autograd.grad(slope[k], point, retain_graph=True)[0][k] for k in range(2)]
        residual.append((second[0] + second[1] + u) / (5 * torch.pi**2) - y[0])
    wanted = torch.stack(residual).square().mean()
    assert (task.conditions is not None) == (conditions == "soft")
    if task.conditions is not None:
        assert (task.conditions.x.abs().amax(1) == 1).all()
        wanted = wanted + network(task.conditions.x).square().mean()
    torch.testing.assert_close(task.losses(population, task.train)[0], wanted, rtol=1e-9, atol=1e-12)


def test_conditions_go_to_the_device_with_the_data():
    task = on_device(burgers(collocation=50, conditions="soft"), "cpu", torch.float32)
    assert task.conditions is not None and task.conditions.x.dtype == torch.float32 == task.conditions.y.dtype
    population = Population(Tanh(), SIZES, 2)
    draw_(population, lecun(SIZES), range(2))
    loss = task.losses(population, task.batch(0, 20))
    torch.testing.assert_close(
        loss.double(), burgers(collocation=50, conditions="soft").losses(drawn(), _batch(task)), rtol=1e-4, atol=0
    )


def _batch(task: Task) -> Split:
    return Split(*(values.double() for values in task.batch(0, 20)))


def test_the_picture_holds_the_solution_and_its_error():
    population = drawn(members=1)
    x, t, exact, (learnt,) = solution(population, FORM)
    figure = learnt_solution(x, t, exact, learnt, heading="drawn")
    meshes = [axes.collections[0].get_array() for axes in figure.axes[:3]]
    for mesh, values in zip(meshes, (exact, learnt, np.log10(np.abs(learnt - exact).clip(1e-4))), strict=True):
        assert mesh is not None and np.allclose(mesh, values.T)
    for axes, row in zip(figure.axes[3:6], (25, 50, 100), strict=True):
        assert t[row] == pytest.approx(float(axes.get_title(loc="left").split("=")[1]))
        for line, values in zip(axes.lines, (exact[row], learnt[row]), strict=True):
            assert np.array_equal(line.get_ydata(), values)
    figure.savefig(io.BytesIO(), format="svg")
