"""The pages of runs, sweeps and reproductions: what they say, and that nothing in a folder can harm or stop them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from folders import EVIL, Checked, write_claim, write_run
from matplotlib.figure import Figure

from repu_lab.cli import main
from repu_lab.configs.command import job_command
from repu_lab.configs.composition import compose_jobs
from repu_lab.report import page_of, write_report
from repu_lab.report.page import LIMIT
from repu_lab.runs.job import run_job


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of three small networks."""
    folder = tmp_path_factory.mktemp("real") / "run"
    tiny = ["depth=3", "width=16", "members=3", "steps=8", "batch_size=32", "probe=8", "activation=tanh"]
    (job,) = compose_jobs("train", [*tiny, f"hydra.run.dir={folder}"])
    assert run_job(job_command("train"), job.config, job.folder) == 0
    return folder


def checked(folder: Path) -> Checked:
    content = page_of(folder)
    assert len(content.encode()) < LIMIT
    page = Checked(content)
    page.assert_harmless()
    return page


# --- a run


def test_a_run(trained):
    page = checked(trained)
    result = json.loads((trained / "result.json").read_text())
    forecast, measured = result["verdict"].removeprefix("forecast: ").split(" | measured: ")
    assert page.words.index(forecast) < page.words.index(measured) < page.words.index("Config")
    for needle in ("Train tanh, depth 3, width 16", "finished", "Layer by layer", "Training", "batch_size", "torch"):
        assert needle in page.words
    assert len(page.all("img")) == 2 and all(picture["alt"] for picture in page.all("img"))
    assert "Lines are theory" in page.words
    members = result["members"]
    (all_of,) = page.table("networks")
    assert all_of["outcome"] == members[0]["outcome"] and all_of["networks"] == "3"
    for name, key in (("median accuracy", "metric"), ("median loss", "loss"), ("median step", "step")):
        assert all_of[name] == f"{np.median([member[key] for member in members]):.4g}"
    for row, member in zip(page.table("seed"), members, strict=True):
        for name, key in (("seed", "seed"), ("accuracy", "metric"), ("loss", "loss"), ("step", "step")):
            assert row[name] == f"{member[key]:.4g}"


def test_a_run_that_failed(tmp_path):
    folder = write_run(tmp_path / "run", status="failed")
    (folder / "traceback.txt").write_text(f"Traceback\n  File\nRuntimeError: {EVIL}\n")
    page = checked(folder)
    assert page.words.count("RuntimeError: <script>alert(1)</script>") == 2  # the reason, and the traceback
    assert "\\x1b[2J\\u202e" in page.words


def test_propagate(tmp_path):
    tiny = ["depth=2", "width=8", "activation=gelu", "members=2", "probe=4", f"hydra.run.dir={tmp_path / 'run'}"]
    (job,) = compose_jobs("propagate", tiny)
    assert run_job(job_command("propagate"), job.config, job.folder) == 0
    page = checked(job.folder)
    assert len(page.all("img")) == 1 and "Lines are theory" in page.words


def test_theory(tmp_path):
    folder = write_run(tmp_path / "run", command="theory")
    (folder / "theory.json").write_text(
        json.dumps({"fate": "survives", "text": "GELU: half-stable\n  critical at <b>"})
    )
    for name in ("kernel", "phase_diagram"):
        Figure(figsize=(1, 1)).savefig(folder / f"{name}.png")
    page = checked(folder)
    assert len(page.all("img")) == 2 and all(picture["alt"] for picture in page.all("img"))
    assert "half-stable\n  critical at <b>" in page.words


# --- a sweep


def test_a_sweep(tmp_path):
    for name, good in (("repu", 1), ("tanh", 4)):
        for depth in (5, 10, 20):
            folder = tmp_path / f"{name}-{depth}"
            write_run(folder, ["trained"] * good + ["exploded"] * (4 - good), activation={"name": name}, depth=depth)
    page = checked(tmp_path)
    assert "Sweep over activation, depth" in page.words
    assert "6 runs, 24 networks: trained 15, exploded 9" in page.words
    assert len(page.tables) == 1  # every run is a config of its own, and stands there
    for row in page.table("activation", "depth", "trained"):  # Wilson's intervals of 1 and of 4 of 4
        trained = {"repu": "1 of 4, 0.25 [0.05, 0.70]", "tanh": "4 of 4, 1.00 [0.51, 1.00]"}[row["activation"]]
        assert row["trained"] == trained and row["forecast"] == "explodes, float32 overflow at layer 9"
        columns = list(row)
        assert columns.index("depth") < columns.index("forecast") == columns.index("trained") - 1
    assert "repu: share trained from 0.25 to 0.25; tanh: share trained from 1.00 to 1.00." in page_of(tmp_path)
    assert len(page.all("img")) == 1 and "repu-lab train 'task=a b'" in page.words
    assert page.names.index("img") < page.names.index("table")


def test_a_sweep_leads_to_its_runs(tmp_path):
    for name in ("relu", "tanh"):
        write_run(tmp_path / f"{name} run", activation={"name": name})
    (tmp_path / "tanh run" / "report.html").write_text("x")
    assert [link["href"] for link in checked(tmp_path).all("a")] == ["./relu%20run/", "./tanh%20run/report.html"]
    write_report(tmp_path, tmp_path / "pages.html")
    other = Checked(page_of(tmp_path, tmp_path / "elsewhere"))
    assert other.all("a")[0]["href"] == "./../relu%20run/"


def test_runs_that_share_a_config_are_listed_behind_a_click(tmp_path):
    for seed in (0, 1):
        for name in ("relu", "tanh"):
            write_run(tmp_path / f"{name}-{seed}", activation={"name": name}, seed=seed)
    page = checked(tmp_path)
    assert [row["run"] for row in page.table("run", "trained")] == ["2 runs", "2 runs"]
    assert [row["folder"] for row in page.table("folder")] == ["relu-0", "relu-1", "tanh-0", "tanh-1"]
    assert all(f"relu-{seed}" in page.folded for seed in (0, 1)) and "2 runs" not in page.folded
    assert len(page.all("a")) == 4


def test_damaged_running_and_hostile_runs_are_listed(tmp_path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "evil<b>", activation={"name": EVIL, "p": 2}, task=EVIL)
    (write_run(tmp_path / "cut") / "result.json").write_text('{"members": [')
    (write_run(tmp_path / "gone") / "manifest.json").write_text("{")
    write_run(tmp_path / "killed", status="running")
    (write_run(tmp_path / "statistics") / "statistics.npz").write_bytes(b"PK\x03\x04 and no more")
    page = checked(tmp_path)
    for needle in (
        "result.json is cut short",
        "manifest.json is cut short",
        "its process is gone",
        "statistics.npz is cut short",
        "evil<b>",
        "<script>alert(1)</script>",
    ):
        assert needle in page.words
    for folder in ("cut", "gone", "killed", "statistics", "evil<b>"):
        checked(tmp_path / folder)


@pytest.mark.parametrize(
    "arrays",
    [
        {"step": [0], "log10_K": np.zeros((1, 3))},
        {"step": [0], "log10_K": np.full((1, 3, 2, 4), np.nan)},
        {"step": ["x"], "log10_K": 3},
        {"step": [0, 1], "train_loss": np.full((2, 2), math.inf), "test_loss": np.zeros((2, 2)),
         "test_metric": np.full((2, 2), np.nan)},
        {},
    ],
)  # fmt: skip
def test_statistics_of_odd_shapes_do_not_stop_the_page(arrays, tmp_path):
    np.savez(write_run(tmp_path / "run") / "statistics.npz", **arrays)
    checked(tmp_path / "run")


def test_many_runs_fit(tmp_path):
    for number in range(310):
        write_run(tmp_path / f"run-{number:04d}", activation={"name": "x" * 200 + str(number)})
    page = checked(tmp_path)
    assert "first 300 of 310 rows" in page.words


# --- a reproduction


def test_a_reproduction(tmp_path):
    home = write_claim(tmp_path, 2, figures=[{"name": "lines", "caption": "A caption.", "alt": "rising lines"}])
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2])
    figure.savefig(home / "lines.svg")
    write_claim(
        tmp_path,
        10,
        verdict="refuted",
        title="Claim ten",
        family="cures",
        commands=[f"repu-lab train seed={i}" for i in range(9)],
    )
    write_claim(tmp_path, 1, verdict="inconclusive")
    write_run(tmp_path / "runs" / "a")
    (tmp_path / "manifest.json").write_text(json.dumps({"status": "finished", "command": "reproduce"}))
    page = checked(tmp_path)
    places = [page.words.index(f"{number}. Claim") for number in (1, 2, 10)]
    assert places == sorted(places) and page.words.index("Verdicts") < places[0]
    acts = [page.words.index(act) for act in ("What fails, and why", "What cures it")]
    assert acts == sorted(acts) and acts[1] < places[0] and page.words.count("What fails, and why") == 1
    assert page.names.index("table") < page.names.index("img")
    for needle in (
        "1 run, 2 networks: trained 1, exploded 1",
        "Rule, fixed before the run",
        "slope within 0.05",
        "32 networks",
        "0.6931",
        "repu-lab train seed=8",
        "A caption.",
        "scale smoke",
    ):
        assert needle in page.words
    assert "rising lines" in page_of(tmp_path) and len(page.all("img")) == 1
    for behind_a_click in ("0.6931", "slope within 0.05", "The slope is 0.693.", "repu-lab train seed=8", "Slopes"):
        assert behind_a_click in page.folded
    assert "K grows." in page.words and "K grows." not in page.folded and "A caption." not in page.folded
    targets = [a["href"] for a in page.all("a")]
    assert targets == ["#claim-01-claim", "#claim-02-claim", "#claim-10-claim", "#top", "#top", "#top"]


def test_hostile_claims_do_nothing(tmp_path):
    texts = dict.fromkeys(("title", "statement", "reference", "setup", "rule", "reason", "family", "version"), EVIL)
    home = write_claim(
        tmp_path,
        1,
        **texts,
        verdict=EVIL,
        numbers={EVIL: EVIL, "deep": [[{}]]},
        commands=[EVIL, 3],
        runs=[EVIL, None],
        tables=[{"caption": EVIL, "columns": [EVIL], "rows": [[EVIL]]}, {"columns": ["a"], "rows": [[1, 2]]}, 7],
        figures=[{"name": "evil", "caption": EVIL, "alt": EVIL}, {"name": "../../secret"}, 3, {"name": "gone"}],
    )
    (home / "evil.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(3)</script><g onload="x"/></svg>'
    )
    (tmp_path / "secret.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><text>key</text></svg>'
    )
    page = checked(tmp_path)
    assert "key" not in page.words and "alert(3)" not in page.words
    assert "gone.png is missing" in page.words and "do not fit" in page.words


def test_damaged_failed_and_open_claims_are_listed(tmp_path):
    (write_claim(tmp_path, 1) / "claim.json").write_text('{"number": 1')
    (write_claim(tmp_path, 2) / "claim.json").unlink()
    failed = write_claim(tmp_path, 3)
    (failed / "claim.json").unlink()
    (failed / "traceback.txt").write_text("Traceback\nValueError: no data\n")
    write_claim(tmp_path, 4)
    page = checked(tmp_path)
    for needle in (
        "claim.json is cut short",
        "there is no claim.json yet",
        "ValueError: no data",
        "4. Claim 4",
        "Not every claim has been judged yet",
    ):
        assert needle in page.words


def test_a_damaged_svg_gives_way_to_the_png(tmp_path):
    home = write_claim(tmp_path, 1, figures=[{"name": "a", "caption": "", "alt": "seen"}, {"name": "b", "alt": "none"}])
    Figure(figsize=(1, 1)).savefig(home / "a.png")
    for name in "ab":
        (home / f"{name}.svg").write_text("<svg")
    (home / "b.png").write_bytes(b"GIF89a")
    page = checked(tmp_path)
    (picture,) = page.all("img")
    assert picture["alt"] == "seen" and str(picture["src"]).startswith("data:image/png;base64,")
    assert "figure b: is damaged" in page.words


def test_pictures_that_do_not_fit_are_named(tmp_path):
    figures = [{"name": f"f{i}", "caption": "", "alt": "x"} for i in range(9)]
    home = write_claim(tmp_path, 1, figures=figures, statement="s" * 3_000_000)
    points = " ".join(f"L {i} {i}" for i in range(60_000))
    for figure in figures:
        path = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M 0 0 {points}"/></svg>'
        (home / f"{figure['name']}.svg").write_text(path)
    page = checked(tmp_path)
    assert 0 < len(page.all("img")) < 9 and "the page would be too large" in page.words


def test_a_reproduction_without_a_claim_yet(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"status": "running", "command": "reproduce"}))
    assert "Not every claim has been judged yet" in checked(tmp_path).words


# --- the command


def test_command(trained, tmp_path, capsys):
    assert main(["report", str(trained), "--output", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"report:   {tmp_path / 'page.html'} (") and out.endswith(" MiB): open it in a browser\n")
    assert (tmp_path / "page.html").read_text() == page_of(trained)
    assert write_report(write_run(tmp_path / "run")) == tmp_path / "run" / "report.html"
    assert main(["report", "--help"]) == 0
    assert "--output" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["DIR", "none was given"]),
        (["nowhere"], ["nowhere", "is not a folder"]),
        (["empty"], ["empty", "has no run in it"]),
        (["run", "--output", "run/result.json"], ["is no name of a page", ".html"]),
        (["run", "--output", "no/page.html"], ["there is no folder no"]),
        (["run", "--outptu", "x.html"], ["--outptu", "did you mean --output?"]),
        (["-m", "run"], ["-m", "no such option"]),
    ],
)
def test_mistakes_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(Path("run"))
    Path("empty").mkdir()
    before = sorted(path.name for path in Path().rglob("*"))
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("repu-lab report: "), err
    for word in words:
        assert word in err
    assert sorted(path.name for path in Path().rglob("*")) == before
