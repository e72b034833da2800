"""`repu-lab results`: what is shown and written, which can do no harm, and what is typed."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import repu_lab
from made_up import record, write_run, write_sweep
from repu_lab.catalogue import Run, rows, scan
from repu_lab.catalogue.printing import as_csv, as_json, as_table, table_cells
from repu_lab.cli import main


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path)


# --- what is shown


def test_only_what_differs_is_shown(sweep):
    titles, cells = table_cells(rows(scan(sweep)), "member")
    assert titles == ["outcome", "accuracy", "layer", "activation", "depth", "seed", "folder"]
    assert ["exploded", "0.9", "9", "repu", "10", "0", "repu-10"] in cells
    write_run(sweep / "cut", status="interrupted")
    assert "state" in table_cells(rows(scan(sweep)), "member")[0]
    assert table_cells(rows(scan(sweep), "config"), "config")[0] == [
        "trained",
        "outcome",
        "accuracy",
        "layer",
        "activation",
        "depth",
        "n",
        "no result",
    ]


def test_a_key_that_only_one_run_names_is_shown(tmp_path):
    """The other has it at its default; an argument that only one activation has says nothing beside its name."""
    write_run(tmp_path / "a", activation={"name": "repu", "p": 2.0}, block={"norm": "rms"})
    write_run(tmp_path / "b", activation={"name": "tanh"})
    titles, cells = table_cells(rows(scan(tmp_path)), "member")
    assert "block.norm" in titles and "activation.p" not in titles
    assert {row[titles.index("block.norm")] for row in cells} == {"rms", "none"}


def test_a_table_fits_120_columns_and_names_what_it_leaves_out(tmp_path):
    for number in range(3):
        keys: dict[str, Any] = {f"key_of_some_length_{i}": f"value {number} of {i}" for i in range(8)}
        write_run(tmp_path / f"a-name-of-a-folder-as-long-as-those-of-the-lab-{number}-1234567{number}", **keys)
    every = as_table(rows(scan(tmp_path)), "member").splitlines()
    lines, last = every[:7], " ".join(map(str.strip, every[7:]))
    assert max(map(len, every)) <= 120 and not any(line.startswith(" ") for line in lines)
    assert lines[0].split()[:3] == ["outcome", "accuracy", "layer"] and lines[0].endswith("folder")
    assert lines[1].endswith("12345670")  # the end of the name tells folders apart
    assert last.startswith("left out: key_of_some_length_") and last.endswith("--columns names what to show")
    names = [f"key_of_some_length_{i}" for i in range(8)]
    assert all((name in lines[0]) != (name in last) for name in names)


def test_of_columns_that_do_not_fit_the_emptiest_go_first(tmp_path):
    for number in range(3):
        keys: dict[str, Any] = {f"key_of_some_length_{i}": f"value {number} of {i}" for i in range(8) if i or number}
        write_run(tmp_path / f"a-name-of-a-folder-as-long-as-those-of-the-lab-{number}-1234567{number}", **keys)
    assert "key_of_some_length_0" not in as_table(rows(scan(tmp_path)), "member").splitlines()[0]


def test_columns_and_limit_choose_what_is_shown(sweep, capsys):
    assert main(["results", str(sweep), "--columns", "depth,outcome", "--limit", "2", "--sort=-depth"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out[:3]] == [["depth", "outcome"], ["20", "trained"], ["20", "trained"]]
    assert out[3] == "2 rows of 12"
    # The metric goes by the name that the table gives it, too.
    write_run(sweep / "best", [record(0, metric=0.95)], depth=3)
    for named in ("accuracy", "metric"):
        chosen = ["--columns", f"{named},depth", f"--sort=-{named}", "--filter", f"{named}>0.85"]
        assert main(["results", str(sweep), *chosen]) == 0
        head, first, second, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
        assert (head, first, second[0]) == (["accuracy", "depth"], ["0.95", "3"], "0.9")
    for wrong, message in (
        (["--columns", "dpth"], "--columns dpth: no such column, did you mean depth?"),
        (["--limit", "0"], "--limit 0: must be a whole number of at least 1"),
        (["--limit", "x"], "--limit x: must be"),
    ):
        assert main(["results", str(sweep), *wrong]) == 2
        assert message in capsys.readouterr().err


def test_results_are_rows_in_python(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not there
    table = repu_lab.results(sweep)
    assert list(table[0])[:4] == ["outcome", "metric", "layer", "activation"]
    assert len(table) == 12 and {row["outcome"] for row in table} == {"trained", "exploded"}
    assert {row["depth"] for row in repu_lab.results(sweep, by="config")} == {5, 10, 20}
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("frame", rows)))
    assert repu_lab.results(sweep) == ("frame", table)
    with pytest.raises(ValueError, match="by='network': must be one of member, run, config"):
        repu_lab.results(sweep, by="network")
    with pytest.raises(ValueError, match="is not a folder"):
        repu_lab.results(sweep / "nowhere")


HOSTILE = [
    "=cmd()",
    "+1",
    "-1+2",
    "@SUM(1)",
    "\t=1",
    "\x1b[2Jx",
    "a\nb",
    "a\rb",
    "\u202etxt",
    "＝1",
    " =1",
    "a;=1",
    'x",=1',
]


def hostile_runs(folder: Path) -> list[Run]:
    for number, name in enumerate(HOSTILE):
        write_run(folder / f"run{number}", activation={"name": name, "_target_": "x"}, task=name)
    write_run(folder / "\x1b]0;owned\x07\n=1")
    return scan(folder)


@pytest.mark.parametrize("by", ["member", "run", "config"])
def test_nothing_from_a_folder_reaches_the_terminal_as_control(by, tmp_path):
    text = as_table(rows(hostile_runs(tmp_path), by), by)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.split("\n")) == 1 + len(rows(scan(tmp_path), by))


def test_no_cell_of_csv_can_start_a_formula(tmp_path):
    text = as_csv(rows(hostile_runs(tmp_path)))
    assert text.isascii() or all(line.isprintable() for line in text.splitlines())
    for separator in (",", ";", "\t", "|"):  # of the spreadsheet's language
        cells = [cell for line in csv.reader(io.StringIO(text), delimiter=separator) for cell in line]
        numbers = [cell for cell in cells if cell.lstrip('" ')[:1] in ("-", "+") and cell.strip('" ')[1:2].isdigit()]
        assert not [cell for cell in cells if cell not in numbers and cell.strip('" ')[:1] in tuple("=+-@＝＋－＠")]
        assert all(float(cell) < 0 for cell in numbers)


def test_numbers_of_csv_stay_numbers(tmp_path):
    write_run(tmp_path / "run", [record(0, loss=-1.5e-7, metric=None)])
    (row,) = csv.DictReader(io.StringIO(as_csv(rows(scan(tmp_path)))))
    assert float(row["loss"]) == -1.5e-7 and row["metric"] == "" and row["depth"] == "5"


def test_json_is_strict(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "result.json").write_text(
        '{"members": [{"seed": 0, "outcome": "diverged", "loss": NaN, "metric": 1e999}]}'
    )
    (row,) = json.loads(as_json(rows(scan(tmp_path))), parse_constant=pytest.fail)
    assert row["loss"] is None and row["metric"] is None and row["outcome"] == "diverged"


# --- the command


def test_command(sweep, capsys):
    assert main(["results", str(sweep), "--by", "config", "--sort=-share", "--filter", "depth>5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["trained", "outcome", "accuracy", "layer", "activation", "depth", "n"]
    assert lines[1].split()[-3:] == ["mrepu", "10", "2"] and lines[-1] == "4 rows of 6"
    assert main(["results", str(sweep)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 rows; 6 runs: trained 8, exploded 4"


def test_csv_and_json_go_where_they_are_sent(sweep, tmp_path, capsys):
    assert main(["results", str(sweep), "--csv", "-", "--json", str(tmp_path / "rows.json")]) == 0
    out, err = capsys.readouterr()
    table = list(csv.DictReader(io.StringIO(out)))
    assert len(table) == 12 and {row["activation"] for row in table} == {"repu", "mrepu"}
    assert "12 rows" in err and len(json.loads((tmp_path / "rows.json").read_text())) == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["DIR", "none was given"]),
        (["a", "b"], ["DIR", "got 2"]),
        (["nowhere"], ["nowhere", "is not a folder"]),
        (["."], ["has no run in it"]),
        (["sweep", "--by", "fig"], ["--by fig", "member, run, config"]),
        (["sweep", "--bye"], ["--bye", "did you mean --by?"]),
        (["sweep", "--by"], ["--by", "needs a value", "member, run, config"]),
        (["sweep", "--all=yes"], ["--all takes no value"]),
        (["sweep", "-m"], ["-m", "no such option"]),
        (["sweep", "--csv", "-", "--json", "-"], ["standard output"]),
        (["sweep", "--csv", "no/where.csv"], ["no/where.csv", "there is no folder no"]),
        (["sweep", "--json", "sweep"], ["--json sweep", "is a folder"]),
        (["sweep", "--sort", "shape"], ["--sort shape", "no such column"]),
    ],
)
def test_mistakes_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "empty" / "sweep" / "run")
    monkeypatch.chdir(tmp_path / "empty")
    if arguments == ["."]:
        monkeypatch.chdir(tmp_path / "empty" / "sweep" / "run")
        for path in Path().iterdir():
            path.unlink()
    assert main(["results", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("repu-lab results: "), err
    for word in words:
        assert word in err


def test_help_and_completion(monkeypatch, capsys):
    assert main(["results", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("--by", "--filter", "--sort", "--csv", "--json", "--all", "examples:"))
    monkeypatch.setenv("COMP_LINE", "repu-lab re")
    assert main(["-sc", "query=bash"]) == 0
    assert {"results", "report"} <= set(capsys.readouterr().out.split())


def test_a_real_run_read_without_torch(run, tmp_path):
    result, folder = run("members=3", "activation=relu")
    (scanned,) = scan(tmp_path)
    assert (scanned.state, scanned.command, scanned.path) == ("finished", "train", folder.path)
    assert [(m.seed, m.outcome, m.metric, m.layer) for m in scanned.members] == [
        (stored["seed"], stored["outcome"], stored["metric"], stored["layer"]) for stored in result["members"]
    ]
    code = "import sys; from repu_lab.cli import main; print(main(['results', sys.argv[1]]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
