"""`repu-lab results`: every run folder, whatever state it is in, as rows."""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from made_up import record, write_run, write_sweep
from repu_lab.catalogue import Member, rows, scan, summarise, wilson
from repu_lab.catalogue.printing import as_table
from repu_lab.catalogue.selection import arrange, parse_filter, select
from repu_lab.configs.config import ConfigError


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path)


# --- numbers


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 7), (7, 7), (3, 16), (12, 16), (999, 1000), (1, 40)])
def test_wilson_against_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_covers_what_it_says():
    """Of a share of 0.2 in 30 networks the interval holds the truth in about 95 of 100: summed over all outcomes."""
    n, truth = 30, 0.2
    covered = sum(stats.binom.pmf(s, n, truth) for s in range(n + 1) if wilson(s, n)[0] <= truth <= wilson(s, n)[1])
    assert 0.92 < covered < 0.98


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_of_no_share(successes, n):
    with pytest.raises(ValueError, match=f"{successes} of {n} is no share"):
        wilson(successes, n)


def test_a_network_without_a_metric_ranks_as_the_worst():
    good, bad = [Member("trained", metric=metric) for metric in (0.9, 0.8, 0.7)], Member("exploded")
    assert summarise([*good, bad, bad]).quartiles == (None, 0.7, 0.8)
    assert summarise([*good, bad, bad, bad, bad]).quartiles == (None, None, 0.75)


# --- folders


def test_every_network_is_a_row(sweep):
    table = rows(scan(sweep))
    assert len(table) == 12
    row = next(row for row in table if row.cells["folder"] == "repu-20" and row.cells["seed"] == 1)
    assert {key: row.cells[key] for key in ("activation", "depth", "outcome", "layer", "state", "optimizer.lr")} == {
        "activation": "repu",
        "depth": 20,
        "outcome": "exploded",
        "layer": 10,
        "state": "finished",
        "optimizer.lr": "auto",
    }


def cut(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


def pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def put(text: str | bytes) -> Callable[[Path, str], None]:
    def write(folder: Path, name: str) -> None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def remove(folder: Path, name: str) -> None:
    (folder / name).unlink()


ALIASES = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
DAMAGE = [
    ("result.json", cut, "result.json is cut short"),
    ("result.json", remove, "result.json is missing"),
    ("result.json", put("[" * 100_000), "result.json is cut short or no JSON"),
    ("result.json", put('{"members": [1]}'), "result.json holds no result"),
    ("result.json", put('{"outcomes": {"trained": 1e18}}'), "result.json holds no result"),
    ("result.json", pipe, "result.json is no file"),
    ("manifest.json", cut, "manifest.json is cut short"),
    ("manifest.json", put("[]"), "manifest.json holds no object"),
    ("manifest.json", put('{"status": "\\u001b[2J", "command": "train"}'), "manifest.json has the status"),
    ("config.yaml", remove, "config.yaml is missing"),
    ("config.yaml", put("a: [1"), "config.yaml is no YAML"),
    ("config.yaml", put(b"\xff\xfe\x00"), "config.yaml is no text"),
    ("config.yaml", put(ALIASES), "config.yaml has an alias"),
    ("config.yaml", put("!!python/object/apply:os.getcwd []"), "config.yaml is no plain YAML"),
    ("config.yaml", put("x" * 300_000), "config.yaml is larger"),
    ("statistics.npz", cut, "statistics.npz is cut short"),
]


@pytest.mark.parametrize(
    ("name", "harm", "note"), DAMAGE, ids=lambda value: getattr(value, "__name__", str(value))[:30]
)
def test_damaged_folders_are_rows_that_say_what_is_damaged(name, harm, note, tmp_path):
    harm(write_run(tmp_path / "bad"), name)
    write_run(tmp_path / "good")
    bad, good = scan(tmp_path)
    assert bad.state == "damaged" and note in bad.note
    assert good.state == "finished" and len(good.members) == 2
    for by in ("member", "run", "config"):
        assert "bad" in as_table(rows([bad], by), by) or by == "config"
    # What can still be read is read: only a result that is gone takes the networks away.
    assert len(bad.members) == (0 if name == "result.json" else 2)


def test_states(tmp_path):
    for status in ("running", "interrupted", "failed", "finished"):
        write_run(tmp_path / status, status=status)
    (tmp_path / "failed" / "traceback.txt").write_text("Traceback\n  line\nRuntimeError: out of memory\n\n")
    with open(tmp_path / "running" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        states = {run.folder: (run.state, run.note, len(run.members)) for run in scan(tmp_path)}
    assert states == {
        "running": ("running", "", 0),
        "interrupted": ("interrupted", "", 0),
        "failed": ("failed", "RuntimeError: out of memory", 0),
        "finished": ("finished", "", 2),
    }
    gone = next(run for run in scan(tmp_path) if run.folder == "running")
    assert (gone.state, gone.note) == ("interrupted", "its process is gone")


def test_asking_for_the_lock_leaves_it_free(tmp_path):
    folder = write_run(tmp_path / "run", status="running")
    (folder / "lock").touch()
    scan(tmp_path)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_was_moved_aside_is_left_out(tmp_path):
    for name in ("run", "run.1", ".groups/abc", "v1.2", "sub/run"):
        write_run(tmp_path / name)
    assert [run.folder for run in scan(tmp_path)] == ["run", "sub/run", "v1.2"]
    assert len(scan(tmp_path, everything=True)) == 5
    assert [run.folder for run in scan(tmp_path / "run.1")] == ["."]


def test_links_are_not_followed(tmp_path):
    write_run(tmp_path / "a" / "run")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert [run.folder for run in scan(tmp_path)] == ["a/run"]


def test_the_runs_of_a_reproduction_count_and_it_does_not(tmp_path):
    write_run(tmp_path / "reproduce", command="reproduce")
    write_run(tmp_path / "reproduce" / "runs" / "one")
    assert [run.folder for run in scan(tmp_path)] == ["reproduce/runs/one"]


# --- rows by config


def test_configs_that_differ_in_seed_and_members_are_one(tmp_path):
    write_run(tmp_path / "a", [record(0), record(1, "exploded", layer=9)], seed=0)
    write_run(tmp_path / "b", [record(2), record(3), record(4)], seed=2)
    write_run(tmp_path / "c", [record(0)], depth=6)
    write_run(tmp_path / "d", seed=7, status="failed")
    one, other = rows(scan(tmp_path), "config")
    expected = {"n": 5, "trained": 4, "share": 0.8, "runs": 3, "without_result": 1, "layer": "9 (1)", "depth": 5}
    assert {key: one.cells[key] for key in expected} == expected
    assert (one.cells["share_low"], one.cells["share_high"]) == wilson(4, 5)
    assert other.cells["n"] == 1 and "seed" not in other.cells


def test_the_same_network_in_two_folders_counts_once(tmp_path):
    write_run(tmp_path / "a", [record(0), record(1)], seed=0)
    write_run(tmp_path / "sweep" / "a", [record(1), record(2)], seed=1)
    (row,) = rows(scan(tmp_path), "config")
    assert row.cells["n"] == 3


def test_theory_is_no_network(tmp_path):
    folder = write_run(tmp_path / "theory", command="theory")
    (folder / "theory.json").write_text(json.dumps({"fate": "explodes"}))
    (row,) = rows(scan(tmp_path), "config")
    assert row.cells["outcome"] == "explodes 1" and row.cells["n"] is None


def test_propagate_counts(tmp_path):
    folder = write_run(tmp_path / "p", command="propagate")
    (folder / "result.json").write_text(json.dumps({"outcomes": {"exploded": 3, "survived": 1}}))
    (row,) = rows(scan(tmp_path), "run")
    assert (row.cells["outcome"], row.cells["n"], row.cells["survival"]) == ("exploded 3, survived 1", 4, 0.25)
    assert [row.cells[name] for name in ("trained", "share", "share_low", "share_high")] == [None] * 4
    (by_config,) = rows(scan(tmp_path), "config")
    assert "trained" not in as_table([by_config], "config") and "exploded 3, survived 1" in as_table(
        [by_config], "config"
    )


def test_measures_of_the_task_are_columns(tmp_path):
    errors = [record(i, measures={"relative_l2": value}) for i, value in enumerate((0.1, None, 0.3))]
    write_run(tmp_path / "run", errors)
    table = rows(scan(tmp_path), "run")
    assert table[0].cells["relative_l2"] == 0.3  # the one without ranks as the worst
    assert "relative_l2" in as_table(table, "run").splitlines()[0]
    assert [row.cells["relative_l2"] for row in rows(scan(tmp_path))] == [0.1, None, 0.3]


# --- filter and sort


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 12), ("activation=repu", 6), ("activation=repu depth>=10", 4), ("depth<10", 4), ("depth!=10", 8),
        ("depth=5,20", 8), ("depth==20", 4), ("outcome=exploded", 4), ("layer=9", 2), ("folder~REPU-2", 4),
        ("initialization.c_w=null", 12), ("activation=mrepu outcome=exploded", 0), ("optimizer.lr=auto", 12),
        ("depth>=10 depth<20", 4), ("metric>0.95", 0), ("activation='mrepu'", 6), ("outcome<3", 0),
    ],
)  # fmt: skip
def test_filter(text, count, sweep):
    assert len(select(rows(scan(sweep)), parse_filter([text]))) == count


def test_a_key_that_is_left_out_at_its_default_is_found_by_it(tmp_path):
    """Where another run names it; theory has no such key, and of a folder without a config nothing is known."""
    write_run(tmp_path / "ends", looks="ends")
    write_run(tmp_path / "along")
    write_run(tmp_path / "theory", command="theory")
    write_run(tmp_path / "unknown")
    (tmp_path / "unknown" / "config.yaml").unlink()
    for by, count in (("member", 2), ("run", 1), ("config", 1)):
        table = rows(scan(tmp_path), by)
        assert (
            len(select(table, parse_filter(["looks=along"])))
            == len(select(table, parse_filter(["looks=ends"])))
            == count
        )
        assert "block.norm" not in table[0].cells  # which none of them names


def test_a_row_of_several_networks_meets_what_one_of_them_meets(sweep):
    table = rows(scan(sweep), "config")
    assert len(select(table, parse_filter(["layer=10"]))) == 2
    assert len(select(table, parse_filter(["outcome!=exploded"]))) == 4
    assert len(select(table, parse_filter(["share<0.5"]))) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth", ["--filter depth", "is no condition", "depth>=20"]),
        ("depth >= 3", ["is no condition"]),
        ("dpth=3", ["no such column", "did you mean depth?", "valid: ", "outcome"]),
        ("depth>=deep", [">= needs a number"]),
        ("a='b", ["quotation mark is not closed"]),
        ("\x1b[2J=1", ["is no condition"]),
    ],
)
def test_mistakes_in_a_filter_are_one_line(text, words, sweep):
    with pytest.raises(ConfigError) as error:
        select(rows(scan(sweep)), parse_filter([text]))
    assert str(error.value).isprintable()
    for word in words:
        assert word in str(error.value)


def test_sort_puts_missing_values_last(sweep):
    table = rows(scan(sweep))
    layers = [row.cells["layer"] for row in arrange(table, ["-layer", "folder"])]
    assert layers == [10, 10, 9, 9] + [None] * 8
    assert [row.cells["depth"] for row in arrange(table, ["depth"])] == [5] * 4 + [10] * 4 + [20] * 4
    assert [row.cells["folder"] for row in arrange(table, ["activation", "-depth"])][:2] == ["mrepu-20"] * 2
