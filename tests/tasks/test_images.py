"""MNIST and CIFAR-10 from a stand-in for openml.org on this machine that answers in its format; and without any."""

import gzip
import hashlib
import io
import json
import os
import pickle
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import _openml

from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.config import ConfigError
from repu_lab.runs.building import build
from repu_lab.tasks import DataUnavailable, cifar10, datasets, fashion_mnist, images, mnist, stored, tables
from repu_lab.tasks import openml as openml_module
from repu_lab.tasks.datasets import CIFAR10, FASHION_MNIST, MNIST, Dataset, cache_folder

EXAMPLES, VALIDATION, TEST = 60, 10, 10
SOURCES = {"mnist": (mnist, MNIST, 554, "pixel{}", 1), "cifar10": (cifar10, CIFAR10, 40927, "a{}", 0)}
URLS = ("_SEARCH_NAME", "_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES")


def test_the_classes_of_a_data_set_hold_its_examples():
    for dataset in (MNIST, FASHION_MNIST, CIFAR10):
        assert sum(dataset.counts) == dataset.examples > dataset.test + dataset.validation


def data(name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    generator = np.random.default_rng(len(name))
    x = generator.integers(0, 256, (EXAMPLES, SOURCES[name][1].pixels))
    x[0, :2] = (0, 255)
    return x, np.arange(EXAMPLES) % 10


def answers(name: str, address: str) -> dict[str, bytes]:
    """What openml.org says of one data set: its entry, description, features, qualities and the ARFF file itself."""
    _, dataset, number, pattern, first = SOURCES[name]
    x, y = data(name)
    columns = [pattern.format(first + i) for i in range(dataset.pixels)]
    head = [f"@RELATION {dataset.openml_name}", *(f"@ATTRIBUTE {column} REAL" for column in columns)]
    head += ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
    rows = [",".join(map(str, [*pixels, label])) for pixels, label in zip(x.tolist(), y.tolist(), strict=True)]
    arff = ("% images\n" + "\n".join(head + rows) + "\n").encode()
    common = {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    features = [
        {"index": str(i), "name": column, "data_type": "numeric", "is_target": "false"} | common
        for i, column in enumerate(columns)
    ]
    features.append(
        {
            "index": str(len(columns)),
            "name": "class",
            "data_type": "nominal",
            "is_target": "true",
            "nominal_values": json.dumps([str(i) for i in range(10)]),
        }
        | common
    )
    quality = [{"name": "NumberOfInstances", "value": f"{EXAMPLES}.0"}, {"name": "NumberOfClasses", "value": "10.0"}]
    entry = {"did": number, "name": dataset.openml_name, "version": 1, "status": "active", "format": "ARFF"}
    description = {
        "id": str(number),
        "name": dataset.openml_name,
        "version": "1",
        "description": "images",
        "format": "ARFF",
        "status": "active",
        "file_id": "52667",
        "default_target_attribute": "class",
        "url": f"{address}/data/v1/download/52667/{dataset.openml_name}.arff",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }
    api = "/api/v1/json/data"
    said = {
        f"{api}/list/data_name/{dataset.openml_name.lower()}/limit/2/data_version/1": {"data": {"dataset": [entry]}},
        f"{api}/{number}": {"data_set_description": description},
        f"{api}/features/{number}": {"data_features": {"feature": features}},
        f"{api}/qualities/{number}": {"data_qualities": {"quality": quality}},
    }
    return {path: json.dumps(answer).encode() for path, answer in said.items()} | {
        f"/data/v1/download/52667/{dataset.openml_name}.arff": arff
    }


SPOILT: dict[str, tuple[str, str]] = {}  # "now": which answer is spoilt, and how


@pytest.fixture
def openml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Serve a data set on this machine in openml.org's place; return the paths that were asked for."""
    said: dict[str, bytes] = {}
    asked: list[str] = []
    cut = 0

    def spoilt(path: str, body: bytes) -> bytes:
        nonlocal cut
        wanted, what = SPOILT.get("now", ("nothing", ""))
        cut = 0
        if wanted not in path:
            return body
        cut = 10 if what == "cut" else 0
        return {
            "cut": body[:-10],
            "broken gzip": body[: len(body) // 2],
            "not gzip": b"x" * 100,
            "empty": b"",
            "HTML": gzip.compress(b"<html>Service unavailable</html>"),
            "a list": gzip.compress(b"[]"),
            "null": gzip.compress(b"null"),
            "no keys": gzip.compress(b"{}"),
            "deep": gzip.compress(b"[" * 100_000),
        }[what]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path not in said:
                self.send_error(412)
                return
            body = spoilt(self.path, gzip.compress(said[self.path]))
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body) + cut))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"

        def serve(name: str) -> list[str]:
            said.update(answers(name, address))
            small(monkeypatch, name)
            redirect(monkeypatch, address)
            return asked

        try:
            yield serve
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where openml.org should be: the discard port of this machine."""
    redirect(monkeypatch, "http://127.0.0.1:9")


def redirect(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in URLS:
        monkeypatch.setattr(_openml, name, getattr(_openml, name).replace("https://www.openml.org", address))
    monkeypatch.setattr(_openml, "time", SimpleNamespace(sleep=lambda seconds: None))  # between attempts


def tiny(dataset: Dataset) -> Dataset:
    return replace(dataset, examples=EXAMPLES, validation=VALIDATION, test=TEST, counts=(EXAMPLES // 10,) * 10)


def small(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(images, name.upper(), tiny(SOURCES[name][1]))


@pytest.mark.parametrize("name", SOURCES)
def test_images_are_fetched_once_and_kept(openml, tmp_path, name):
    make = SOURCES[name][0]
    asked = openml(name)
    task = make(cache=str(tmp_path / "data"))
    assert asked[-1].endswith(".arff")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [f"{name}.npz"]
    count = len(asked)
    again = make(data_seed=1, cache=str(tmp_path / "data"))
    assert len(asked) == count and torch.equal(again.test.y, task.test.y)
    assert not torch.equal(again.train.y, task.train.y)  # which images validate follows from data_seed

    x, y = data(name)
    check_splits(task, x, y)


def check_splits(task, x: NDArray, y: NDArray) -> None:
    """The last images test; of the others each is in one split; inputs are less the training mean, of mean square 1."""
    order = torch.randperm(EXAMPLES - TEST, generator=torch.Generator().manual_seed(0))
    parts = (order[VALIDATION:], order[:VALIDATION], torch.arange(EXAMPLES - TEST, EXAMPLES))
    mean = x[parts[0]].mean(0)
    for split, part in zip((task.train, task.validation, task.test), parts, strict=True):
        assert torch.equal(split.y, torch.from_numpy(y[part]).long())
        centred = torch.from_numpy(x[part] - mean)
        wanted = centred / centred.square().mean(1, keepdim=True).sqrt()
        torch.testing.assert_close(split.x.double(), wanted, rtol=1e-4, atol=1e-5)


def test_progress_tells_how_much_has_come(monkeypatch, tmp_path, capfd):
    shown: list[int] = []
    seen = threading.Event()

    class Bar:
        n = 0

        def __init__(self, **settings: object):
            pass

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, more: int) -> None:
            self.n += more
            shown.append(self.n)
            seen.set()

    monkeypatch.setattr(openml_module, "tqdm", Bar)
    monkeypatch.setattr(openml_module, "POLL", 0.001)
    with openml_module.progress(MNIST, tmp_path):
        (tmp_path / "some").write_bytes(bytes(1000))
        assert seen.wait(60)
    assert shown[-1] == 1000
    assert capfd.readouterr().err == f"fetching mnist from openml.org into {tmp_path.parent}: {MNIST.wait}, once\n"


def test_the_folder_is_that_of_the_key_else_of_the_variable_else_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("REPU_LAB_DATA", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "repu-lab"
    monkeypatch.setenv("REPU_LAB_DATA", str(tmp_path / "there"))
    assert cache_folder() == tmp_path / "there" and cache_folder("~/here") == tmp_path / "here"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", SOURCES)
def test_offline_and_without_a_cache_one_line_says_what_to_do(monkeypatch, tmp_path, capfd, name):
    monkeypatch.setenv("REPU_LAB_DATA", str(tmp_path / "data"))
    with pytest.raises(ConfigError) as caught:
        build(compose_jobs("train", [f"task={name}"])[0].config)
    message = str(caught.value)
    assert message.startswith(f"task={name}: is not in {tmp_path / 'data'} and cannot be fetched from openml.org (")
    assert f"copy {name}.npz here" in message and "REPU_LAB_DATA=DIR" in message and "\n" not in message
    assert capfd.readouterr() == ("", "") and not list((tmp_path / "data").iterdir())


@pytest.mark.filterwarnings("ignore")  # scikit-learn's of every attempt, in threads of the server's time
@pytest.mark.parametrize(
    "what", ["cut", "broken gzip", "not gzip", "empty", "HTML", "a list", "null", "no keys", "deep"]
)
@pytest.mark.parametrize("path", ["list/data_name", "features", "v1/download"])
def test_a_strange_answer_is_one_line_and_leaves_nothing(openml, monkeypatch, tmp_path, path, what):
    openml("mnist")
    monkeypatch.setitem(SPOILT, "now", (path, what))
    with pytest.raises(DataUnavailable) as caught:
        mnist(cache=str(tmp_path))
    message = str(caught.value)
    assert "cannot be fetched from openml.org (" in message and "\n" not in message and len(message) < 700
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_an_answer_without_end_is_cut_off(openml, monkeypatch, tmp_path):
    openml("mnist")  # some 60 kB
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(openml_module, "LARGEST", 20_000)
    with pytest.raises(DataUnavailable, match=r"from openml.org \(more than 0.02 MB came\)"):
        mnist(cache=str(tmp_path))
    assert not list(tmp_path.iterdir()) and resource.getrlimit(resource.RLIMIT_FSIZE) == before


def test_an_interrupted_fetch_leaves_nothing(openml, monkeypatch, tmp_path):
    openml("mnist")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist(cache=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_two_fetches_at_once_do_not_meet(openml, monkeypatch, tmp_path):
    """The second one comes while the first has what it got, and has not stored it yet."""
    openml("mnist")
    original, inside = np.savez, []

    def second(*arguments, **arrays):
        if not inside:
            inside.append(True)
            openml_module.fetch(images.MNIST, tmp_path / "mnist.npz")
        original(*arguments, **arrays)

    monkeypatch.setattr(np, "savez", second)
    assert mnist(cache=str(tmp_path)).train.x.shape == (EXAMPLES - TEST - VALIDATION, 784)
    assert inside and [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]


@pytest.mark.usefixtures("offline")
def test_a_made_up_file_is_named_whatever_it_holds(monkeypatch, tmp_path):
    small(monkeypatch, "mnist")
    x, y = (part.astype(np.uint8) for part in data("mnist"))
    file = tmp_path / "mnist.npz"
    for shape in ((1 << 42,), (EXAMPLES, 1 << 36)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with ZipFile(file, "w") as made_up:
            made_up.writestr("x.npy", header.getvalue())
        with pytest.raises(DataUnavailable, match=r"is damaged \(mnist.npz: (x|it) holds "):
            mnist(cache=str(tmp_path))
    np.savez(file, x=x, y=y)
    whole = file.read_bytes()
    for content in (b"", b"PK", whole[:-30], whole.replace(b"'fortran_order'", b"'fortran_ordxr'"), whole[:60]):
        file.write_bytes(content)
        with pytest.raises(DataUnavailable, match=r"mnist in .* is damaged \(mnist.npz: .*\): delete it"):
            mnist(cache=str(tmp_path))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataUnavailable, match="it is no file"):
        mnist(cache=str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_a_copied_cache_serves_offline_and_a_damaged_one_is_named(monkeypatch, tmp_path):
    small(monkeypatch, "mnist")
    x, y = data("mnist")
    file = tmp_path / "mnist.npz"
    np.savez(file, x=x.astype(np.uint8), y=y.astype(np.uint8))
    assert mnist(cache=str(tmp_path)).train.x.shape == (EXAMPLES - TEST - VALIDATION, 784)
    other = tmp_path / "other"
    for content in (file.read_bytes()[:5000], b"no zip"):
        other.mkdir(exist_ok=True)
        (other / "mnist.npz").write_bytes(content)
        with pytest.raises(DataUnavailable, match=r"mnist in .* is damaged \(mnist.npz: .*\): delete it"):
            mnist(cache=str(other))
    np.savez(other / "mnist.npz", x=x[:, :100].astype(np.uint8), y=y.astype(np.uint8))
    with pytest.raises(DataUnavailable, match=r"x holds \(60, 100\) of uint8 instead of \(60, 784\) of uint8"):
        mnist(cache=str(other))


def test_what_is_not_the_data_set_is_refused(openml, monkeypatch, tmp_path):
    openml("mnist")
    monkeypatch.setattr(images, "MNIST", MNIST)  # 70,000 images, where the server has 60
    with pytest.raises(DataUnavailable, match=r"what came holds \(60, 784\)"):
        mnist(cache=str(tmp_path))
    assert not list(tmp_path.iterdir())


def idx(values: NDArray, *, packed: bool) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    content = head + values.astype(np.uint8).tobytes()
    return gzip.compress(content) if packed else content


def published(form: str, folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write a data set of 60 images as it is published, and return its pixels and classes."""
    folder.mkdir(parents=True)
    end = EXAMPLES - TEST
    if form.startswith("idx"):
        x, y = data("mnist")
        x = x.reshape(-1, 28, 28)
        for split, part in (("train", slice(end)), ("t10k", slice(end, None))):
            ending = ".gz" if form == "idx.gz" else ""
            (folder / f"{split}-images-idx3-ubyte{ending}").write_bytes(idx(x[part], packed=bool(ending)))
            (folder / f"{split}-labels-idx1-ubyte{ending}").write_bytes(idx(y[part], packed=bool(ending)))
        return x.reshape(-1, 784), y
    x, y = data("cifar10")
    for i, name in enumerate(datasets.BATCHES):
        rows, labels = x[10 * i : 10 * i + 10].astype(np.uint8), y[10 * i : 10 * i + 10]
        if form == "binary":
            content = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True))
            (folder / f"{name}.bin").write_bytes(content)
        else:
            batch = {b"data": rows, b"labels": labels.tolist(), b"batch_label": name.encode()}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return x, y


FORMS = {
    "idx": (mnist, "MNIST", "MNIST/raw"), "idx.gz": (fashion_mnist, "FASHION_MNIST", "."),
    "binary": (cifar10, "CIFAR10", "cifar-10-batches-bin"), "python": (cifar10, "CIFAR10", "."),
}  # fmt: skip


@pytest.fixture
def place(monkeypatch, tmp_path) -> Callable[[str], tuple[Any, Path, tuple[NDArray, NDArray]]]:
    """Make a published data set of 60 images; return its task, folder and content."""

    def made(form: str) -> tuple[Any, Path, tuple[NDArray, NDArray]]:
        make, name, below = FORMS[form]
        monkeypatch.setattr(images, name, tiny(getattr(datasets, name)))
        monkeypatch.setattr(stored, "CIFAR_IMAGES", EXAMPLES // 6)
        content = published(form, tmp_path / "data" / below)
        return make, tmp_path / "data", content

    return made


@pytest.mark.parametrize("form", FORMS)
def test_images_are_read_as_they_are_published(place, form):
    make, folder, (x, y) = place(form)
    task = make(folder=str(folder))
    check_splits(task, x, y)
    assert task.source.startswith(f"{task.name} from {folder / FORMS[form][2]} (") and "50 images and 10" in task.source
    assert torch.equal(make(cache=str(folder)).train.x, task.train.x)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_or_another_is_named(place, form):
    make, folder, _ = place(form)
    last = sorted((folder / FORMS[form][2]).iterdir())[-1]
    content = last.read_bytes()
    for wrong in (content[:-3], b"", b"x" * (len(content) + 1)):
        last.write_bytes(wrong)
        with pytest.raises(DataUnavailable, match=rf"is damaged \({last.name}: ") as caught:
            make(folder=str(folder))
        assert "\n" not in str(caught.value) and str(caught.value).endswith("again, or name another folder")
    last.unlink()
    with pytest.raises(DataUnavailable, match=rf"is damaged \({last.name}: there is no such file"):
        make(folder=str(folder))


def test_of_idx_files_some_may_be_unpacked(place):
    make, folder, (x, y) = place("idx.gz")
    packed = next(folder.rglob("t10k-images*.gz"))
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    check_splits(make(folder=str(folder)), x, y)


def test_fashion_in_the_place_of_digits_is_noticed(place, monkeypatch):
    """The files have the same names and shapes; the classes tell them apart."""
    make, folder, _ = place("idx")
    monkeypatch.setattr(images, "MNIST", replace(tiny(MNIST), counts=(5, 7, *(6,) * 8)))
    with pytest.raises(DataUnavailable, match=r"is not mnist: of its classes it holds \(6, 6,"):
        make(folder=str(folder))


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def test_no_code_of_a_pickle_is_run(place, monkeypatch, tmp_path):
    make, folder, _ = place("python")
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": Harm(), b"labels": []}, protocol=2))
    with pytest.raises(DataUnavailable, match=r"names posix.mkdir, which is no data, and was not run"):
        make(folder=str(folder))
    assert not (tmp_path / "harmed").exists()
    pickle.loads((folder / "data_batch_2").read_bytes())  # which pickle itself does run
    assert (tmp_path / "harmed").exists()


def test_a_folder_without_the_images_says_what_was_looked_for(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build(compose_jobs("train", ["task=fashion_mnist", f"task.folder={tmp_path}"])[0].config)
    assert str(caught.value) == (
        f"task=fashion_mnist: task.folder={tmp_path}: holds no fashion_mnist; looked for fashion_mnist.npz or "
        "train-images-idx3-ubyte or train-images-idx3-ubyte.gz, there and in FashionMNIST/raw, fashion-mnist, "
        "fashion_mnist"
    )


def test_tables_as_kaggle_has_them_are_for_another_task(tmp_path):
    table = tmp_path / "fashion-mnist_train.csv"
    table.write_text("label,pixel1,pixel2\n" + "".join(f"{i % 3},{i},{i * i % 256}\n" for i in range(60)))
    for named in (tmp_path, table):
        with pytest.raises(DataUnavailable) as caught:
            fashion_mnist(folder=str(named))
        assert str(caught.value).endswith(f"; a table is read by task=file task.path={table} task.target=COLUMN")
    task = tables.file(path=str(table), target="label")
    assert (task.outputs, task.train.x.shape) == (3, (42, 2))


def test_a_subset_has_as_many_of_each_class(place):
    make, folder, _ = place("idx")
    task, whole = make(folder=str(folder), examples=23), make(folder=str(folder))
    assert sorted(torch.bincount(task.train.y).tolist()) == [2] * 7 + [3] * 3
    assert torch.equal(task.test.y, whole.test.y) and torch.equal(task.validation.y, whole.validation.y)
    with pytest.raises(ValueError, match=r"examples=41: a class has \d only; at most \d0"):
        make(folder=str(folder), examples=41)


@pytest.mark.skipif(not Path(FASHION_MNIST.installed).is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_debians_fashion_mnist_is_found_by_itself(tmp_path):
    task = fashion_mnist(cache=str(tmp_path))
    assert (len(task.train), len(task.validation), len(task.test)) == (55_000, 5000, 10_000)
    torch.testing.assert_close(task.train.x.square().mean(1), torch.ones(55_000))
