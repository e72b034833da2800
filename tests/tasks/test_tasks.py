"""Tasks: data as described, losses and metrics against scikit-learn, batches as a function of the step."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, r2_score

from repu_lab.tasks import TASKS, digits, on_device, polynomial, xor
from repu_lab.tasks.images import _digits_table


def test_digits_are_those_of_scikit_learn():
    images, labels = load_digits(return_X_y=True)
    assert np.array_equal(_digits_table()[:, :-1], images) and np.array_equal(_digits_table()[:, -1], labels)


def test_digits_are_centred_of_unit_mean_square_and_split_for_good():
    task = digits()
    assert (len(task.train), len(task.validation), len(task.test)) == (1437, 120, 240)
    for split in (task.train, task.validation, task.test):
        torch.testing.assert_close(split.x.square().mean(1), torch.ones(len(split), dtype=torch.float64))
    assert torch.equal(task.test.x, digits().test.x)
    assert not torch.equal(task.test.x, digits(data_seed=1).test.x)
    assert torch.bincount(torch.cat([task.train.y, task.validation.y, task.test.y])).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]


@pytest.mark.parametrize("target", ["all", "x", "x2", "xy", "xyz"])
def test_polynomials_are_the_named_ones_standardised(target):
    task = polynomial(target=target)
    x = task.train.x
    columns = {"x": x[:, 0], "x2": x[:, 0] ** 2, "xy": x[:, 0] * x[:, 1], "xyz": x.prod(1)}
    names = list(columns) if target == "all" else [target]
    assert task.outputs == len(names)
    for column, name in zip(task.train.y.T, names, strict=True):
        assert np.corrcoef(column, columns[name])[0, 1] == pytest.approx(1)
        assert (column.mean().item(), column.std().item()) == pytest.approx((0, 1), abs=1e-9)
    # |x|^2/n_0 = 1/3 in the mean, with standard error sqrt(Var(x^2)/3/N).
    assert abs(x.square().mean().item() - task.input_mean_square) < 4 * (4 / 45 / 3 / len(x)) ** 0.5


def test_classification_equals_scikit_learn():
    task, generator = digits(), torch.Generator().manual_seed(0)
    z = torch.randn(2, len(task.test), 10, dtype=torch.float64, generator=generator)
    z[0, torch.arange(0, 240, 2), task.test.y[::2]] += 5
    evaluation = task.evaluate(z)
    for i in range(2):
        assert evaluation.metric[i].item() == pytest.approx(accuracy_score(task.test.y, z[i].argmax(1)))
        assert evaluation.loss[i].item() == pytest.approx(log_loss(task.test.y, z[i].softmax(1), labels=range(10)))
    assert evaluation.advantage[0] > 3 > abs(evaluation.advantage[1])


def test_regression_equals_scikit_learn_up_to_the_mean_of_the_training_split():
    task = polynomial()
    z = (task.test.y + 0.5 * torch.randn(task.test.y.shape, generator=torch.Generator().manual_seed(0)))[None]
    evaluation = task.evaluate(z)
    assert evaluation.metric.item() == pytest.approx(r2_score(task.test.y, z[0]), abs=1e-3)
    assert evaluation.loss.item() == pytest.approx((z[0] - task.test.y).square().mean().item())
    loss, metric = task.baseline()
    assert metric == pytest.approx(0, abs=1e-12) and loss == pytest.approx(1, abs=0.1)


def test_outputs_that_are_not_finite_count_as_wrong():
    task = digits()
    assert task.evaluate(torch.full((1, 240, 10), torch.nan, dtype=torch.float64)).metric.item() == 0


def test_xor_is_of_the_signs_of_two_products_on_a_sphere():
    task = xor(data_seed=3)
    for split, size in ((task.train, 8000), (task.validation, 1000), (task.test, 1000)):
        x, y = split
        assert len(split) == size and torch.equal(y, 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] * x[:, 3] > 0).long())
        torch.testing.assert_close(x.square().mean(1), torch.ones(size, dtype=torch.float64))
        assert not x[:, 8:].any() and abs(torch.bincount(y) / size - 0.25).max() < 4 * (0.25 * 0.75 / size) ** 0.5
    assert not torch.equal(task.train.x, xor().train.x)


def test_no_linear_network_learns_xor():
    """The best linear classifier, by logistic regression, names one class in four; .25 + 4 standard errors is .305."""
    task = xor()
    linear = LogisticRegression(max_iter=200).fit(task.train.x[:, :8], task.train.y)
    z = torch.from_numpy(linear.decision_function(task.test.x[:, :8].numpy()))
    assert task.evaluate(z[None]).metric.item() < 0.305 < task.criterion


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"mnist", "fashion_mnist", "cifar10", "file"}))
def test_no_example_is_in_two_splits(name):
    task = TASKS[name]()
    together = torch.cat([task.train.x, task.validation.x, task.test.x])
    assert min(map(len, (task.train, task.validation, task.test))) >= 120
    if name != "digits":  # of which a few are the same image
        assert len(together.unique(dim=0)) == len(together)


def test_a_split_is_judged_by_its_own_spread():
    task = polynomial()
    noise = 0.5 * torch.randn(task.validation.y.shape, generator=torch.Generator().manual_seed(0))
    z = (task.validation.y + noise)[None]
    evaluation = task.evaluate(z, task.validation)
    assert evaluation.metric.item() == pytest.approx(r2_score(task.validation.y, z[0]), abs=1e-3)


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"mnist", "fashion_mnist", "cifar10", "file"}))
def test_batches_depend_on_the_step_alone_and_an_epoch_holds_each_example_once(name):
    task = on_device(TASKS[name](), "cpu", torch.float32)
    size = 100
    per_epoch = len(task.train) // size
    epoch = [task.batch(step, size) for step in range(per_epoch)]
    task.batch(5 * per_epoch, size)  # another epoch in between
    again = task.batch(3, size)
    assert torch.equal(again.x, epoch[3].x) and torch.equal(again.y, epoch[3].y)
    rows = torch.cat([batch.x for batch in epoch])
    assert rows.dtype == torch.float32
    whole = task.train.x.unique(dim=0, return_counts=True)
    seen = rows.unique(dim=0, return_counts=True)
    assert seen[1].max() <= whole[1].max() and len(rows) == per_epoch * size
    assert not torch.equal(task.batch(per_epoch, size).x, epoch[0].x)
