"""A user's own data: read as they are, divided, scaled, refused in one line; part of the run they belong to."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris, load_linnerud

from repu_lab.cli import main
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.runs.building import build
from repu_lab.tasks import stored, task_of
from repu_lab.tasks.tables import file
from repu_lab.tasks.tensors import Split, Splits, classification, scaled

F64 = torch.float64


def iris_csv(path: Path) -> Path:
    x, y = load_iris(return_X_y=True)
    names = ["setosa", "versicolor", "virginica"]
    rows = [",".join(map(str, [*row[:2], names[label], *row[2:]])) for row, label in zip(x, y, strict=True)]
    path.write_text("\n".join(["a,b,kind,c,d", *rows]) + "\n")
    return path


def together(task) -> torch.Tensor:
    return torch.cat([task.train.x, task.validation.x, task.test.x])


def sorted_rows(x) -> np.ndarray:
    return np.array(sorted(map(tuple, np.asarray(x).tolist())))


def test_words_are_classes_and_every_row_is_in_one_split(tmp_path):
    task = file(path=str(iris_csv(tmp_path / "iris.csv")), target="kind", scale="none")
    x, _ = load_iris(return_X_y=True)
    assert np.allclose(sorted_rows(together(task)), sorted_rows(x))
    for split, size in ((task.train, 106), (task.validation, 22), (task.test, 22)):
        assert len(split) == size and torch.bincount(split.y).max() - torch.bincount(split.y).min() <= 2
    assert task.outputs == 3 and task.objective.metric_name == "accuracy"
    assert task.criterion == pytest.approx(0.25 / 3 + 0.75, abs=0.01)  # 3/4 of the way from 1/3 to 1
    assert "column kind: 3 classes (setosa 50, versicolor 50, virginica 50); 106 to train" in task.source


def test_the_split_follows_from_data_seed(tmp_path):
    path = str(iris_csv(tmp_path / "iris.csv"))
    task = file(path=path, target="kind")
    assert torch.equal(task.test.x, file(path=path, target="kind").test.x)
    assert not torch.equal(task.test.x, file(1, path=path, target="kind").test.x)


def test_numbers_with_a_point_are_values_and_whole_ones_are_classes(tmp_path):
    x, y = load_linnerud(return_X_y=True)
    rows = [",".join(map(str, [*row, label])) for row, label in zip(x, y[:, 0] + 0.5, strict=True)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["chins,situps,jumps,weight", *rows]))
    task = file(path=str(path), target="weight")
    assert task.objective.metric_name == "r2" and task.train.y.shape[1] == 1 and task.criterion == 0.9
    assert (task.train.y.mean().item(), task.train.y.std().item()) == pytest.approx((0, 1))
    path.write_text("\n".join(["a,b,kind", *(f"{i},{i * i},{i % 2}" for i in range(30))]))
    assert file(path=str(path), target="kind").objective.metric_name == "accuracy"


@pytest.mark.parametrize("pair", ["npz", "npy"])
def test_arrays_are_read_as_they_were_stored(tmp_path, pair):
    generator = np.random.default_rng(0)
    x, y = np.asfortranarray(generator.normal(size=(200, 3))), generator.normal(size=(200, 2))
    path, target = tmp_path / f"x.{pair}", None
    if pair == "npz":
        np.savez(path, x=x, y=y)
    else:
        target = str(tmp_path / "targets.npy")
        np.save(path, x)
        np.save(target, y)
    task = file(path=str(path), target=target, scale="none")
    assert np.array_equal(sorted_rows(together(task)), sorted_rows(x)) and task.outputs == 2
    rows = {tuple(row): value for row, value in zip(x.tolist(), y.tolist(), strict=True)}
    wanted = np.array([rows[tuple(row)] for row in task.train.x.tolist()])
    assert np.allclose(task.train.y, (wanted - wanted.mean(0)) / wanted.std(0, ddof=1))


def test_images_of_bytes_are_flat_and_of_unit_mean_square(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=generator.integers(0, 256, (60, 4, 4), np.uint8), y=np.arange(60) % 3)
    task = file(path=str(tmp_path / "a.npz"))
    assert task.train.x.shape == (42, 16) and task.train.x.dtype == torch.float32 and task.outputs == 3
    torch.testing.assert_close(together(task).square().mean(1), torch.ones(60))


def test_scales_are_those_of_the_training_split():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 4, generator=generator, dtype=F64) * torch.tensor([1.0, 10, 100, 0.1]) + 5
    splits = Splits(*(Split(part, torch.zeros(len(part))) for part in x.split((30, 10, 10))))
    standard = scaled(splits, "standard")
    torch.testing.assert_close(standard.train.x.mean(0), torch.zeros(4, dtype=F64))
    torch.testing.assert_close(standard.train.x.std(0), torch.ones(4, dtype=F64))
    torch.testing.assert_close(standard.test.x, (x[40:] - x[:30].mean(0)) / x[:30].std(0))
    sphere = scaled(splits, "sphere")
    torch.testing.assert_close(sphere.test.x.square().mean(1), torch.ones(10, dtype=F64))
    torch.testing.assert_close(
        sphere.test.x * (x[40:] - x[:30].mean(0)).norm(dim=1, keepdim=True) / 2, x[40:] - x[:30].mean(0)
    )


@pytest.mark.parametrize("classes", [2, 3, 37])
def test_a_classification_has_as_many_outputs_as_classes(classes):
    x, y = torch.randn(400, 5, generator=torch.Generator().manual_seed(0)), torch.arange(400) % classes
    assert task_of(x, y).outputs == classes
    part = Split(x, y)
    assert classification("any", Splits(part, part, part)).objective.constant(y).shape == (classes,)


def test_rare_classes_have_examples_to_train_on():
    y = torch.tensor([0] * 60 + [1] * 1 + [2] * 2)
    for seed in range(20):
        task = task_of(torch.randn(63, 5), y, data_seed=seed)
        assert torch.bincount(task.train.y, minlength=3).min() >= 1


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_classes_may_be_whole_numbers_of_any_kind_and_inputs_too(dtype):
    x, y = torch.randint(0, 9, (50, 3), generator=torch.Generator().manual_seed(0)), torch.arange(50) % 2
    task, wanted = task_of(x.to(torch.uint8), y.to(dtype)), task_of(x.float(), y)
    assert torch.equal(task.train.x, wanted.train.x) and torch.equal(task.train.y, wanted.train.y)
    half = task_of(x.half().requires_grad_(), x.half())
    assert half.train.x.dtype == half.train.y.dtype == torch.float32 and not half.train.x.requires_grad


NUMBERED = "without a gap; torch.unique(y, return_inverse=True)[1] numbers them so"


def test_tensors_that_cannot_be_learnt_from_are_refused():
    x, y = torch.randn(30, 2), torch.arange(30) % 2
    broken = x.index_put((torch.tensor(7), torch.tensor(1)), torch.tensor(torch.nan))
    for given, message in (
        ((broken, y), "x[7] is not finite: fill what is missing, or leave the example out"),
        ((x, broken), "y[7] is not finite: fill what is missing, or leave the example out"),
        ((x.tolist(), y), "x is a list: must be a torch.Tensor"),
        ((x, y.numpy()), "y is a ndarray: must be a torch.Tensor"),
        ((x + 1j, y), "x is torch.complex64 of shape (30, 2): must be real, a row an example"),
        ((x.to_sparse(), y), "x is torch.sparse_coo: must be dense; x.to_dense() is, if the memory holds it"),
        ((x, x.to_sparse()), "y is torch.sparse_coo: must be dense; y.to_dense() is, if the memory holds it"),
        ((x, y[0]), "y is torch.int64 of shape (): must be real, a row an example"),
        ((x, y[:, None]), "y is torch.int64 of shape (30, 1): must be whole numbers (B,), or real ones (B, C)"),
        ((x, x[:, :, None]), "y is torch.float32 of shape (30, 2, 1): must be whole numbers (B,), or real ones (B, C)"),
        ((x[:1].expand(30, 2), y), "no column of x ever changes: nothing can be learnt from it"),
        ((x, y - 1), f"y holds classes [-1, 0]: must be 0, 1, 2 and so on {NUMBERED}"),
        ((x, y * 10**12), f"y holds classes [0, 1000000000000]: must be 0, 1, 2 and so on {NUMBERED}"),
        ((x, torch.full((30,), 0.1, dtype=F64)), "y has a column with one value only: nothing is to be learnt"),
        ((x / x.abs().max() * 1e25, y), "x holds numbers of up to 1e+25: squares leave torch.float32; rescale it"),
        ((x, x / x.abs().max() * 1e-25), "y holds numbers of up to 1e-25: squares leave torch.float32; rescale it"),
    ):
        with pytest.raises(ValueError) as error:
            task_of(*given)  # pyright: ignore
        assert str(error.value) == message


HEAD = "a,b,y\n"
GOOD = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
MISTAKES: dict[str, tuple[str, str]] = {
    "missing": (HEAD + GOOD + "1,,0\n", "line 42, column b: is empty; fill it"),
    "nan": (HEAD + GOOD + "1,nan,0\n", "row 41, column b: holds nan; fill what is missing"),
    "word": (HEAD + GOOD + "1,two,0\n", "line 42, column b: holds 'two', which is not a number; correct it"),
    "target missing": (HEAD + GOOD + "1,2,\n", "column y: 1 values are missing, first in row 41"),
    "mixed target": (HEAD + GOOD + "1,2,yes\n", "column y: holds numbers, and words such as 'yes'"),
    "one class": (HEAD + GOOD.replace(",1\n", ",0\n"), "column y: holds one class only, 0"),
    "constant": (HEAD + "".join(f"1,2,{i % 2}\n" for i in range(40)), "no column of x ever changes"),
    "short": (HEAD + GOOD + "1,2\n", "line 42: has 2 cells, the header 3"),
    "few": (
        HEAD + "".join(GOOD.splitlines(keepends=True)[:10]),
        "10 examples are too few for three splits; at least 20 are needed",
    ),
    "many": (HEAD + "".join(f"{i},2,{i}\n" for i in range(40)), "column y: holds 40 different values in 40 examples"),
    "empty": ("", "a.csv: has no header; its first line must name the columns"),
    "no header": (GOOD, "a.csv: line 1 holds no names; write a line with the names of the columns above it"),
    "semicolons": ((HEAD + GOOD).replace(",", ";"), "a.csv: cells stand apart by ';'; write a comma in its place"),
    "no y": (HEAD.replace("y", "z") + GOOD, "task.target=COLUMN y is not in the header; columns are a, b, z"),
    "no text": ("\udcff", "is not text in UTF-8, as which it must be saved ('utf-8' codec can't decode"),
    "no rows": (HEAD, "a.csv: holds no example; nothing to learn"),
    "twice": ("a,y,y\n" + GOOD, "task.target=COLUMN y is 2 times in the header; columns are a, y, y"),
    "no name": ("a,,y\n1,,1\n" + GOOD, "line 2, column without a name: is empty"),
    "far away": (HEAD + "".join(f"{i}e150,2,{i % 2}\n" for i in range(40)), "x holds numbers of up to 4e+151"),
    "a tenth": (HEAD + "".join(f"{i},2,0.1\n" for i in range(40)), "y has a column with one value only"),
}


def test_true_and_false_are_one_and_zero_and_two_classes(tmp_path):
    """pandas writes True, R TRUE, JSON true."""
    path, rows = tmp_path / "a.csv", [(i % 3 == 0, i * i % 7, i % 2 == 0) for i in range(40)]
    tables = []
    for write in (str, lambda cell: str(cell).upper(), lambda cell: f" {str(cell).lower()} "):
        path.write_text("a,b,kind\n" + "".join(f"{write(a)},{b},{write(kind)}\n" for a, b, kind in rows))
        tables.append(file(path=str(path), target="kind", scale="none"))
        assert np.array_equal(sorted_rows(together(tables[-1])), sorted_rows([row[:2] for row in rows]))
    assert [task.outputs for task in tables] == [2, 2, 2]


def test_names_may_have_blanks_around_them_and_digits_in_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a, b, kind\n" + "".join(f"{i}, {i * i % 7}, 1_{i % 3}\n" for i in range(40)))
    assert "column kind: 3 classes (1_0 14, 1_1 13, 1_2 13)" in file(path=str(path), target="kind").source


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_learnt_from_is_one_line(tmp_path, name):
    content, said = MISTAKES[name]
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode(errors="surrogateescape"))
    overrides = ["task=file", f"task.path={path}", "task.target=y"]
    with pytest.raises(ConfigError) as caught:
        build(compose_jobs("train", overrides)[0].config)
    message = str(caught.value)
    assert said in message and message.startswith("task.") and "\n" not in message


REFUSED = {
    "task=file": "task.path: is needed",
    "task=file task.path=none.csv": "task.path=none.csv: there is no such file",
    "task=file task.path=a.txt": "task.path=a.txt: is none of .csv, .npz, .npy",
    "task=file task.path=a.csv": "task.path=a.csv: task.target=COLUMN is needed; columns are a, b, y",
    "task=file task.path=x.npy": "task.path=x.npy: holds the inputs; add task.target=FILE.npy",
    "task=file task.path=x.npy task.target=z.npy": "task.target=z.npy: there is no such file",
    "task=file task.path=x.npy task.target=objects.npy": "task.target=objects.npy: objects.npy: it holds Python obj",
    "task=file task.path=objects.npz": "task.path=objects.npz: x: it holds Python objects",
    "task=file task.path=bomb.npz": "task.path=bomb.npz: x: it holds 8796.1 GB; valid are up to 2",
    "task=file task.path=cut.npz": "task.path=cut.npz: File is not a zip file",
    "task=file task.path=other.npz": "task.path=other.npz: holds a, b; must hold x and y",
    "task=file task.path=good.npz task.scale=unit": "task.scale=unit: must be one of sphere, standard, none",
    "task=file task.path=good.npz task.criterion=1.0001": "task.criterion=1.0001: must be a finite number of at least "
    "-1e+09 and at most 1 (",
    "task=file task.path=still.npz task.scale=standard": "task.scale=standard: column 1 of x (from 0) has one value",
    "task=file task.path=one.npz": "task.scale=sphere: leaves of one input its sign alone",
    "task=digits task.path=a.csv": "task.path=a.csv: belongs to task=file, but here it is digits",
    "task=digits task.target=a": "task.target=a: belongs to task=polynomial or function or file",
    "task=digits task.scale=none": "task.scale=none: belongs to task=file",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_mistakes_name_key_cause_and_cure(overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(HEAD + GOOD)
    Path("a.txt").write_text(HEAD + GOOD)
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    np.save("x.npy", x)
    np.save("objects.npy", np.array([{}] * 30))
    np.savez("good.npz", x=x, y=y)
    np.savez("other.npz", a=x, b=y)
    np.savez("one.npz", x=x[:, :1], y=y)
    np.savez("still.npz", x=x * [1, 0], y=y)
    np.savez("objects.npz", x=np.array([{}] * 30), y=y)
    Path("cut.npz").write_bytes(Path("good.npz").read_bytes()[:-40])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    with stored.ZipFile("bomb.npz", "w") as bomb:
        bomb.writestr("x.npy", header.getvalue())
        bomb.writestr("y.npy", header.getvalue())
    with pytest.raises(ConfigError) as caught:
        build(compose_jobs("train", overrides.split())[0].config)
    assert str(caught.value).startswith(REFUSED[overrides]) and "\n" not in str(caught.value)


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "wb") as sparse:
        sparse.truncate(10**10)
    with pytest.raises(ValueError, match=r"a.csv: has 10.0 GB; valid are up to 2, since data are held in memory"):
        file(path=str(path), target="y")


def test_the_run_is_that_of_the_content_wherever_it_lies(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    iris_csv(tmp_path / "iris.csv")

    def folder(*overrides: str) -> str:
        return compose_jobs("train", ["task=file", "task.target=kind", *overrides])[0].folder.name

    first = folder("task.path=iris.csv")
    (tmp_path / "there").mkdir()
    iris_csv(tmp_path / "there" / "iris.csv")
    assert folder("task.path=there/iris.csv") == first
    changed = (tmp_path / "iris.csv").read_text().replace("5.1", "5.2", 1)
    (tmp_path / "iris.csv").write_text(changed)
    os.utime(tmp_path / "iris.csv", ns=(10**18, 10**18))
    assert folder("task.path=iris.csv") != first

    settings = ["depth=2", "width=16", "steps=200", "batch_size=32", "probe=8", "statistics=false", "activation=tanh"]
    line = ["train", "task=file", "task.path=iris.csv", "task.target=kind", "task.scale=standard", *settings]
    assert main([*line, "hydra.run.dir=run", "require=trained"]) == 0
    assert "data:     iris.csv: 150 examples of 4 inputs; column kind: 3 classes" in capfd.readouterr().out
    assert "iris.csv" in (tmp_path / "run" / "manifest.json").read_text()
    assert main(["train", "resume=run", "steps=210"]) == 0
    (tmp_path / "iris.csv").write_text(changed.replace("4.9", "4.8", 1))
    capfd.readouterr()
    assert main(["train", "resume=run", "steps=220"]) == 2
    assert "iris.csv" in capfd.readouterr().err
