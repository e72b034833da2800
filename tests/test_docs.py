"""What the documents say of the code."""

import contextlib
import html
import importlib.util
import inspect
import io
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import repu_lab
from repu_lab.claims import CLAIMS
from repu_lab.claims.base import prose
from repu_lab.claims.lab import Lab
from repu_lab.claims.verdicts import Verdict
from repu_lab.configs.command import COMMANDS, JobCommand
from repu_lab.configs.composition import compose_jobs
from repu_lab.configs.spelling import spelt_out
from repu_lab.tracking.tags import tags_as_markdown

ROOT = Path(__file__).parents[1]


def test_the_page_of_tags_is_the_table_in_the_code():
    assert tags_as_markdown() in (ROOT / "docs" / "tags.md").read_text(), (
        "write tags_as_markdown() of repu_lab.tracking.tags into docs/tags.md"
    )


MADE = {"gallery.md", "commands.md", "keys.md"}  # by docs/made.py
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in MADE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists() or Path(link).name in MADE, f"{page.name} links to {link}"


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200


LINES = [
    line
    for page in PAGES
    for line in re.findall(r"^ *(?:scripts/run|repu-lab) .*", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("line", sorted({line.strip() for line in LINES}))
def test_a_command_that_a_page_shows_can_be_typed(line: str) -> None:
    """Up to where it would run: every key is checked; what is the reader's own (my_module, outputs/RUN) is left out."""
    words = shlex.split(re.split(r"  +|\.\.\.|; ", line.replace("scripts/run ", "repu-lab "))[0])
    command, *arguments = words[1:]
    assert command in {*COMMANDS, "--help", "--version"}
    if isinstance(COMMANDS.get(command), JobCommand) and not {"--help"} & set(arguments):
        arguments = [word for word in arguments if "outputs/" not in word and "my_module" not in word]
        overrides = [word for word in arguments if word != "-m" and not word.startswith("+activation.alpha")]
        overrides = ["activation=gelu" if word == "activation=custom" else word for word in overrides]
        assert compose_jobs(command, spelt_out(command, overrides), "-m" in arguments)


def script(name: str) -> Any:
    """Return a script of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_traced_boundary_ends_with_a_command_on_the_side_that_works(monkeypatch, capsys):
    """RePU's signal is held by a C_W below the boundary; another width or rate of the user's stays in the command."""
    where = ["activation=repu", "depth=8", "width=8", "initialization=custom", "initialization.c_w=1", "steps=7"]
    typed = ["trace_boundary.py", "c_w", "0.01", "100", "--survives", "--precision", "0.5", *where]
    monkeypatch.setattr("sys.argv", typed)
    script("trace_boundary").main()
    half, *_, last = capsys.readouterr().out.splitlines()
    boundary = float(half.partition(" = ")[2].split()[0])
    value = float(re.findall(r"survive the first pass at c_w = (\S+): repu-lab train", last)[0])
    (job,) = compose_jobs("train", shlex.split(last.partition("repu-lab train ")[2]))
    assert last.startswith("next: ") and value < boundary
    start = job.config.initialization
    assert (start.c_w, job.config.width, job.config.steps) == (value, 8, 7)
    (other,) = compose_jobs("train", [*where, f"initialization.c_w={value}"])
    assert start == other.config.initialization


def test_the_page_of_other_tools_is_as_its_script_writes_it():
    """The numbers take the other tools and 20 minutes; words, rows and columns are compared here."""
    peers, page = script("compare_peers"), (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    rows = peers.rows_of(ROOT / "docs" / "peers.md")
    assert page == peers.page_of(rows), "run scripts/compare_peers.py again"
    assert list(rows) == list(itertools.product(peers.ROWS, peers.TOOLS))


def test_the_table_of_verdicts_is_that_of_the_published_results():
    """scripts/publish_results.py writes both from a reproduction; claims that say more or other things since wait."""
    findings = {
        finding["number"]: finding
        for finding in (json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "results").glob("*.json")))
    }
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \| (\w+) \|$", readme, re.MULTILINE)
    assert rows == [(str(number), finding["title"], finding["verdict"]) for number, finding in findings.items()]
    waiting = re.findall(r"^Not yet run at full scale: (.*?)\n\n", readme, re.MULTILINE | re.DOTALL)
    named = [int(number) for number in re.findall(r"\d+", "".join(waiting))]
    current = {claim.number: (claim.title, prose(claim.rule)) for claim in CLAIMS}
    published = {number: (finding["title"], finding["rule"]) for number, finding in findings.items()}
    assert named == [number for number in current if published.get(number) != current[number]]
    assert findings.keys() <= current.keys()
    assert {(finding["scale"], finding["verdict"] in set(Verdict)) for finding in findings.values()} == {("full", True)}
    pages = [page.read_text() for page in (ROOT / "docs" / "results").glob("*.html")]
    assert all(len(page) < 5 << 20 for page in pages)
    assert all(any(finding["title"] in html.unescape(page) for page in pages) for finding in findings.values())


def test_publishing_writes_the_table_that_is_there_and_takes_away_what_waited():
    publishing = script("publish_results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = sorted((ROOT / "docs" / "results").glob("*.json"))
    findings = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    assert publishing.with_verdicts(readme, findings) == readme
    published = {finding["number"]: finding for finding in findings}
    current = [
        published.get(c.number, findings[0]) | {"number": c.number, "title": c.title, "rule": prose(c.rule)}
        for c in CLAIMS
    ]
    written = publishing.with_verdicts(readme, current)
    assert "Not yet run at full scale: none." in written and f"| {CLAIMS[5].title} |" in written
    with pytest.raises(ValueError, match="must hold"):
        publishing.with_verdicts(readme.replace("Not yet run", "Run"), findings)


CURES = script("publish_results").CURES


@pytest.mark.parametrize("cure", CURES, ids=lambda cure: cure.name)
def test_a_cure_keeps_polynomials_exact_where_its_networks_are_piecewise_polynomials(cure: Any) -> None:
    """Along some lines no unit switches: there two layers of degree 2 are of degree 4, unless a norm divides."""
    lab = Lab(Path("nowhere"), scale="smoke", versions={})
    sizes = ("depth=2", "width=4", "task=polynomial", "dtype=float64")
    population = lab.build(*cure.keys.split(), *sizes).population()
    generator = torch.Generator().manual_seed(0)
    t = np.linspace(-1, 1, 30)
    centre, direction = torch.randn(2, 300, 1, 3, generator=generator, dtype=torch.float64)
    x = centre + torch.from_numpy(t)[:, None] / 2 * direction
    with torch.no_grad():
        population.theta.normal_(std=0.4, generator=generator)  # the branches of ReZero and the frozen scales too
        lines = population(x.flatten(0, 1))[0, :, 0].reshape(300, 30).numpy()

    def missed(line: np.ndarray, degree: int) -> float:
        return float(np.abs(np.polynomial.Chebyshev.fit(t, line, degree)(t) - line).max() / np.ptp(line))

    curved = [line for line in lines if np.ptp(line) > 0 and missed(line, 1) > 0.01]
    assert (min(missed(line, 4) for line in curved) < 1e-13) == ("polynomials exact" in cure.keeps)


NETWORK_LINES, DATA_LINES = (
    re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8"), re.DOTALL)[0]
    for page in ("networks.md", "data.md")
)
HELP_LINES = re.findall(r"((?:^    .*\n|^\n)+)", inspect.cleandoc(repu_lab.__doc__ or ""), re.MULTILINE)


@pytest.mark.parametrize(
    "code",
    [NETWORK_LINES, DATA_LINES, inspect.cleandoc("\n" + max(HELP_LINES, key=len))],
    ids=["networks", "data", "help"],
)
def test_the_ten_lines_run_and_print_what_they_say(code: str) -> None:
    """`print(...)  # text` prints that text, where `...` stands for anything."""
    lines = [line for line in code.splitlines() if line and not line.startswith(("from ", "import "))]
    assert 5 <= len(lines) <= 10
    said = [line.partition("  # ")[2].strip() for line in lines if line.startswith("print(")]
    shown = io.StringIO()
    with torch.random.fork_rng(), contextlib.redirect_stdout(shown):
        torch.manual_seed(0)
        exec(code, {})
    for text, printed in zip(said, shown.getvalue().splitlines(), strict=True):
        assert re.fullmatch(re.escape(text).replace(r"\.\.\.", ".*"), printed), f"says {text!r}, prints {printed!r}"
