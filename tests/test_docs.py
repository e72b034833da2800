"""What the documents say of the code."""

import contextlib
import html
import inspect
import io
import json
import re
from pathlib import Path

import pytest
import torch

import repu_lab
from repu_lab.claims import CLAIMS
from repu_lab.claims.verdicts import Verdict
from repu_lab.tracking.tags import tags_as_markdown

ROOT = Path(__file__).parents[1]


def test_the_page_of_tags_is_the_table_in_the_code():
    assert tags_as_markdown() in (ROOT / "docs" / "tags.md").read_text(), (
        "write tags_as_markdown() of repu_lab.tracking.tags into docs/tags.md"
    )


def test_readme_names_pictures_and_pages_that_are_there():
    readme = (ROOT / "README.md").read_text()
    for name in ("story", "propagation", "profiles", "images", "curves", "hparams"):
        assert f"docs/pictures/{name}.png" in readme and (ROOT / "docs" / "pictures" / f"{name}.png").is_file()
    for page in ("tags", "learning_rates", "decisions", "performance"):
        assert f"docs/{page}.md" in readme and (ROOT / "docs" / f"{page}.md").is_file()


def test_the_table_of_verdicts_is_that_of_the_published_results():
    """scripts/publish_results.py writes both from a reproduction of the claims as they are now."""
    findings = [json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "results").glob("*.json"))]
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \| (\w+) \|$", readme, re.MULTILINE)
    assert rows == [(str(found["number"]), found["title"], found["verdict"]) for found in findings]
    claims = {claim.number: claim for claim in CLAIMS}
    # A claim without a published result is named as one.
    waiting = re.findall(r"^Not yet run at full scale: (.*?)\n\n", readme, re.MULTILINE | re.DOTALL)
    unpublished = [int(number) for number in re.findall(r"(\d+) \(", "".join(waiting))]
    assert [found["number"] for found in findings] + unpublished == sorted(claims)
    for found in findings:
        claim = claims[found["number"]]
        assert (found["scale"], found["title"], found["rule"]) == ("full", claim.title, claim.rule)
        assert found["verdict"] in set(Verdict)
    pages = [page.read_text() for page in (ROOT / "docs" / "results").glob("*.html")]
    assert all(len(page) < 5 << 20 for page in pages)
    assert all(any(found["title"] in html.unescape(page) for page in pages) for found in findings)


README_LINES = re.findall(
    r"## The library in ten lines\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
)
DATA_LINES = re.findall(r"Data of your own.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
HELP_LINES = re.findall(r"((?:^    .*\n|^\n)+)", inspect.cleandoc(repu_lab.__doc__ or ""), re.MULTILINE)


@pytest.mark.parametrize(
    "code",
    [README_LINES[0], DATA_LINES[0], inspect.cleandoc("\n" + max(HELP_LINES, key=len))],
    ids=["README", "data", "help"],
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
