"""Folders for the pages, made up by hand, and a reader of pages that trusts nothing."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>&\x1b[2J\u202e"
VOID = ("meta", "img", "br", "source")


class Checked(HTMLParser):
    """A page read tag by tag: its words, tags, ids and the cells of its tables; AssertionError if it does not nest."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.folded = ""  # of these the words behind a click
        self.tables: list[list[list[str]]] = []  # rows of cells, the first row the columns' names
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.words += data
            if "details" in self._open and "summary" not in self._open:
                self.folded += data
        if {"th", "td"} & set(self._open):
            self.tables[-1][-1][-1] += data

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.tags]

    def table(self, *columns: str) -> list[dict[str, str]]:
        """Return the rows, by column, of the only table that has these columns."""
        (table,) = [rows for rows in self.tables if {*columns} <= {*rows[0]}]
        return [dict(zip(table[0], row, strict=True)) for row in table[1:]]

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def assert_harmless(self) -> None:
        """No script, no handler, no address outside the page, no name twice."""
        assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(self.names)
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for tag, attributes in self.tags:
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name == "src":
                    assert tag == "img" and value is not None and value.startswith("data:image/"), (tag, value)
                elif name == "href":  # a place of this page, or a folder beside it
                    assert tag == "a" and value is not None and re.fullmatch(r"#[\w-]+|\./[\w./%~-]+", value), value
                    assert not value.startswith("#") or value[1:] in ids, (tag, value)
        policy = [tag.get("content") for tag in self.all("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def write_run(
    folder: Path,
    outcomes: Sequence[str] = ("trained", "exploded"),
    *,
    status: str = "finished",
    command: str = "train",
    **config: Any,
) -> Path:
    """Write the folder of a run that has no statistics."""
    folder.mkdir(parents=True)
    members = [
        {"seed": i, "outcome": outcome, "metric": 0.9, "metric_name": "accuracy", "layer": 9, "loss": 0.1, "step": 3}
        for i, outcome in enumerate(outcomes)
    ]
    manifest = {"status": status, "command": command, "command_line": ["/opt/bin/repu-lab", "train", "task=a b"]}
    manifest |= {"versions": {"repu-lab": "0.1.0"}, "start": "2026-01-02T03:04:05+00:00"}
    tree = {"activation": {"name": "repu", "_target_": "x", "p": 2}, "depth": 5, "dtype": "float32"} | config
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    if status == "finished":
        verdict = "forecast: explodes at layer 9 | measured: exploded"
        forecast = {"summary": "first pass explodes, float32 overflow at layer 9", "fate": "explodes"}
        (folder / "result.json").write_text(json.dumps({"members": members, "verdict": verdict, "forecast": forecast}))
    return folder


def write_claim(folder: Path, number: int = 1, **more: Any) -> Path:
    """Write claims/<NN>-<slug>/claim.json of a reproduction's folder."""
    home = folder / "claims" / f"{number:02d}-claim"
    home.mkdir(parents=True)
    finding = {
        "number": number,
        "slug": "claim",
        "family": "signal",
        "title": f"Claim {number}",
        "statement": "K grows.",
        "reference": "section 3",
        "setup": "32 networks",
        "rule": "slope within 0.05",
        "verdict": "supported",
        "reason": "The slope is 0.693.",
        "numbers": {"slope": 0.69314, "none": None},
        "tables": [{"caption": "Slopes", "columns": ["p", "slope"], "rows": [[2, 0.693], [3, None]]}],
        "figures": [],
        "commands": ["repu-lab propagate activation=repu"],
        "runs": ["runs/a"],
        "seeds": 32,
        "scale": "smoke",
        "seconds": 12.5,
        "version": "0.1.0",
        "versions": {"torch": "2.13.0"},
    }
    (home / "claim.json").write_text(json.dumps(finding | more))
    return home
