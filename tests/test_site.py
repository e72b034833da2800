"""The site of docs/: it builds without a warning, and its numbers are those of the code."""

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


class Text(HTMLParser):
    """The text of a page, in one line."""

    def __init__(self, page: Path):
        super().__init__()
        self.parts: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.parts).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, built with warnings as errors."""
    place = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run([*sphinx, "-d", place / "trees", DOCS, place / "html"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return place / "html"


def test_the_gallery_says_where_activations_are_critical(site: Path) -> None:
    text = str(Text(site / "gallery.html"))
    # Roberts, Yaida, Hanin, section 5.3.4: GELU is half-stable at K* = 3.57 (two digits of theirs), C_W = 1.983.
    assert re.search(r" gelu critical: K = 3\.56\d* \(half-stable\).* C_W = 1\.983, C_b = 0\.1729", text)
    assert " relu critical: any K (scale-invariant) C_W = 2, C_b = 0, k1 = 1 10 layers: survives" in text
    assert re.search(r" repu critical: nowhere C_W = 0\.6667, .*? 50 layers: explodes", text)


def test_narrow_screens_get_the_narrow_picture(site: Path) -> None:
    for page, name, up in (("index", "story.narrow.svg", ""), ("how-to/tensorboard", "profiles.narrow.png", "../")):
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        assert f'<picture><source media="(max-width: 34rem)" srcset="{up}_static/{name}"><img' in text
        assert text.count("<picture>") == text.count("</picture>") and (site / "_static" / name).exists()
    assert "<picture>" not in (site / "how-to" / "boundaries.html").read_text(encoding="utf-8")  # which has one picture


def test_the_notebook_was_run(site: Path) -> None:
    """RePU_2 from K = 1: log10(K^l / K_*) = 2^(l-1) log10(1 / K_*), K_* = 2/3."""
    text = str(Text(site / "notebook.html"))
    for l in range(1, 11):
        log10_K = math.log10(2 / 3) + 2 ** (l - 1) * math.log10(1.5)
        assert f"layer {l}: 10^{abs(log10_K):.2f}" in text


def test_the_reference_has_every_key_and_the_claims_their_verdicts(site: Path) -> None:
    keys = str(Text(site / "reference" / "keys.html"))
    for key in ("depth=10", "width=128", "optimizer.lr=auto", "task.criterion=null", "checkpoint.every_seconds=60.0"):
        assert f" {key} :" in keys
    verdicts = re.findall(r"\d+ [^|]+? (?:supported|refuted|inconclusive)", str(Text(site / "claims.html")))
    assert len(verdicts) >= 17


def test_formulas_are_drawn_without_a_network(site: Path) -> None:
    page = (site / "theory.html").read_text(encoding="utf-8")
    assert page.count("<math ") > 20 and not re.search(r'src="https?:', page)
