"""A sample of what scripts/fuzz.py types: every command, option and kind of file; and what it takes for a failure."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import fuzz  # pyright: ignore[reportMissingImports]

SAMPLE = range(20_000, 20_060)


def test_a_sample_of_command_lines_ends_as_it_should(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    codes, failed = fuzz.fuzz(SAMPLE, 0, tmp_path / "fuzz")
    assert failed == []
    assert codes[0] > 5 and codes[2] > 20 and codes.total() == len(SAMPLE)


def test_the_lines_of_a_seed_are_the_same_and_reach_every_command():
    lines = [fuzz.line_of(0, number) for number in range(500)]
    assert lines == [fuzz.line_of(0, number) for number in range(500)]
    assert lines != [fuzz.line_of(1, number) for number in range(500)]
    assert {line[0] for line in lines} >= {"train", "propagate", "theory", "reproduce", "results", "report"}


def test_a_query_without_a_line_offers_every_command(monkeypatch, capsys):
    """Line 1,324 of the first fuzz: a traceback."""
    monkeypatch.delenv("COMP_LINE", raising=False)
    assert fuzz.cli.main(["-sc", "query=bash"]) == 0
    assert {"train", "report", "--help"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (0, "Traceback (most recent call last):", ""), (0, "\x1b[2J", ""), (2, "", "one\ntwo\n"), (2, "out", "one\n"),
        (2, "", ""), (1, "", ""), (5, "", "what\n"), (1, "failed: RuntimeError: boom", ""),
    ],
)  # fmt: skip
def test_what_should_not_be_is_seen(code, out, err):
    assert fuzz.complaint(code, out, err)


@pytest.mark.parametrize(("code", "out", "err"), [(0, "a\n", ""), (2, "", "one\n"), (3, "x\n", ""), (1, "", "full\n")])
def test_what_may_be_is_not(code, out, err):
    assert not fuzz.complaint(code, out, err)
