"""`repu-lab reproduce` as people meet it: stored, interrupted, refused, failed, and what lies in its folder."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from repu_lab import claims
from repu_lab.claims.base import Claim, Evidence, Picture, Table
from repu_lab.claims.lab import Lab
from repu_lab.claims.verdicts import Verdict
from repu_lab.cli import main
from repu_lab.configs.config import ConfigError
from repu_lab.figures.style import canvas
from repu_lab.report.page import template

HOME = Path("outputs/reproduce-smoke")
DAMAGED = str(template("pieces").badge("damaged"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def asked(monkeypatch) -> dict[int, int]:
    """Replace the claims by small ones; return how often each has been examined."""
    times: dict[int, int] = {}

    def claim(number: int, family: str, examine) -> Claim:
        def counted(lab: Lab) -> Evidence:
            times[number] = times.get(number, 0) + 1
            return examine(lab, times[number])

        return Claim(
            number=number,
            slug=f"claim-{number}",
            family=family,
            title="t",
            statement="s",
            reference="r",
            rule="u",
            cost={"smoke": 1, "full": 2},
            examine=counted,
        )

    def fine(lab: Lab, _: int) -> Evidence:
        lab.note("train", ["depth=3", "activation.p=2"])
        figure = canvas(2, 1)
        figure.subplots().plot([0, 1])
        return Evidence(
            setup="three networks",
            verdict=Verdict.SUPPORTED,
            reason=f"{lab.seeds} of 3",
            seeds=lab.seeds,
            numbers={"share": float("nan")},
            tables=[Table(caption="c", columns=("a",), rows=[[float("inf")]])],
            pictures=[Picture(name="line", caption="a line", alt="a line rises", figure=figure)],
        )

    def without_data(lab: Lab, _: int) -> Evidence:
        raise ConfigError("task=mnist: is not here")

    def broken(lab: Lab, time: int) -> Evidence:
        if time == 1:
            raise RuntimeError("boom")
        return fine(lab, time)

    def stopped(lab: Lab, time: int) -> Evidence:
        if time == 1:
            raise KeyboardInterrupt
        return fine(lab, time)

    made = [
        claim(1, "signal", fine),
        claim(2, "vision", without_data),
        claim(3, "signal", broken),
        claim(4, "training", stopped),
    ]
    monkeypatch.setattr(claims, "CLAIMS", tuple(made))
    return times


def finding(number: int) -> dict:
    return json.loads((HOME / f"claims/0{number}-claim-{number}/claim.json").read_text())


def test_it_ends_with_the_page_of_all_that_was_judged(asked, capsys):
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 0
    page = HOME / "report.html"
    assert f"report:   {page}" in capsys.readouterr().out
    assert "1. t" in page.read_text() and "2. t" not in page.read_text()
    assert main(["reproduce", "claim=3", "scale=smoke"]) == 1  # a claim that failed is damage there too
    assert "RuntimeError: boom" in page.read_text() and "1. t" in page.read_text()


def test_few_networks_end_with_the_command_for_many_of_the_same_claims_or_of_the_cheapest_family(asked, capsys):
    for chosen, following in (
        ("1,4", "4 s: repu-lab reproduce claim=1,4"),
        ("2,3", "4 s: repu-lab reproduce claim=1,3"),
    ):
        for _ in range(2):  # claims that fail at first
            with suppress(KeyboardInterrupt):
                main(["reproduce", f"claim={chosen}", "scale=smoke"])
        assert capsys.readouterr().out.splitlines()[-1].endswith(following)
    assert main(["reproduce", "claim=1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "report:   outputs/reproduce-full/report.html: open it in a browser"


def test_a_claims_folder_keeps_the_contract(asked, capsys):
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 0
    stored = finding(1)
    assert set(stored) == {
        "number",
        "slug",
        "family",
        "title",
        "statement",
        "reference",
        "setup",
        "rule",
        "verdict",
        "reason",
        "numbers",
        "tables",
        "figures",
        "commands",
        "runs",
        "seeds",
        "scale",
        "seconds",
        "version",
        "versions",
    }
    assert (stored["verdict"], stored["seeds"], stored["scale"]) == ("supported", 3, "smoke")
    assert stored["numbers"] == {"share": None}
    assert stored["tables"] == [{"caption": "c", "columns": ["a"], "rows": [[None]]}]
    assert stored["figures"] == [{"name": "line", "caption": "a line", "alt": "a line rises"}]
    assert stored["commands"] == ["repu-lab reproduce claim=1 scale=smoke", "repu-lab train depth=3 activation.p=2"]
    assert {"repu-lab", "torch", "numpy"} <= stored["versions"].keys()
    files = {path.name for path in (HOME / "claims/01-claim-1").iterdir()}
    assert files == {"claim.json", "line.svg", "line.pdf", "line.png", "manifest.json"}
    assert json.loads((HOME / "manifest.json").read_text())["status"] == "finished"
    assert " 1 supported    3 of 3" in (HOME / "run.log").read_text()
    assert "supported" in capsys.readouterr().out


def test_figures_are_the_same_bytes_each_time(asked):
    drawn = []
    for _ in range(2):
        assert main(["reproduce", "claim=1", "scale=smoke", "rerun=true"]) == 0
        drawn.append([(HOME / f"claims/01-claim-1/line.{form}").read_bytes() for form in ("svg", "pdf", "png")])
    assert drawn[0] == drawn[1]


def test_what_is_judged_is_kept_and_claims_share_a_folder(asked):
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 0
    assert main(["reproduce", "claim=1,2", "scale=smoke"]) == 0
    assert asked == {1: 1, 2: 1}
    assert main(["reproduce", "claim=1", "scale=smoke", "rerun=true"]) == 0
    assert asked == {1: 2, 2: 1} and finding(2)


@pytest.mark.parametrize("name", ["claim.json", "line.svg", "line.pdf", "manifest.json"])
def test_what_was_altered_in_a_claims_folder_is_marked_and_judged_again(asked, name):
    line = ["reproduce", "claim=1", "scale=smoke"]
    assert main(line) == 0
    file = HOME / "claims/01-claim-1" / name
    before = file.read_bytes()
    file.write_bytes(before.replace(b"3 of 3", b"9 of 9") if name == "claim.json" else before[:-20])
    assert main(["report", str(HOME)]) == 0
    page = (HOME / "report.html").read_text()
    damage = {"line": "bytes", "claim": "claim.json is not as it was written", "manifest": "manifest.json is cut short"}
    assert damage[name.partition(".")[0]] in page and DAMAGED in page and "9 of 9" not in page
    assert main(line) == 0
    assert asked == {1: 2} and file.read_bytes()[:5] == before[:5] and len(file.read_bytes()) >= len(before) - 9
    assert DAMAGED not in (HOME / "report.html").read_text()


def test_a_claim_of_an_older_reproduction_has_no_manifest_and_is_kept(asked):
    line = ["reproduce", "claim=1", "scale=smoke"]
    assert main(line) == 0
    (HOME / "claims/01-claim-1/manifest.json").unlink()
    assert main(line) == 0
    page = (HOME / "report.html").read_text()
    assert asked == {1: 1} and "3 of 3" in page and "data:image/svg" in page and DAMAGED not in page


def test_a_claim_without_its_data_is_inconclusive_and_the_others_run(asked):
    assert main(["reproduce", "claim=vision,1", "scale=smoke"]) == 0
    assert finding(2)["verdict"] == "inconclusive" and "task=mnist" in finding(2)["reason"]
    assert finding(1)["verdict"] == "supported"


def test_a_bug_is_one_line_the_others_run_and_it_is_tried_again(asked, capsys):
    assert main(["reproduce", "claim=signal", "scale=smoke"]) == 1
    said = capsys.readouterr()
    assert "RuntimeError: boom" in said.out and "Traceback" not in said.out + said.err
    assert "boom" in (HOME / "claims/03-claim-3/traceback.txt").read_text()
    assert main(["reproduce", "claim=signal", "scale=smoke"]) == 0
    assert asked == {1: 1, 3: 2} and finding(3)["verdict"] == "supported"
    assert not (HOME / "claims/03-claim-3/traceback.txt").exists()


def test_an_interrupted_reproduction_goes_on(asked):
    with pytest.raises(KeyboardInterrupt):
        main(["reproduce", "claim=1,4", "scale=smoke"])
    assert json.loads((HOME / "manifest.json").read_text())["status"] == "interrupted"
    assert main(["reproduce", "claim=1,4", "scale=smoke"]) == 0
    assert asked == {1: 1, 4: 2}


def test_another_version_is_refused_with_what_differs_and_rerun_starts_afresh(asked, capsys):
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 0
    manifest = json.loads((HOME / "manifest.json").read_text())
    manifest["versions"] |= {"repu-lab": "0.0.1", "torch": "1.0"}
    (HOME / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 2
    complaint = capsys.readouterr().err
    assert "repu-lab is 0.0.1 there" in complaint and "torch is 1.0 there" in complaint and "numpy" not in complaint
    assert main(["reproduce", "claim=1", "scale=smoke", "rerun=true"]) == 0
    assert (HOME.with_name("reproduce-smoke.1") / "claims").is_dir() and asked == {1: 2}


def test_another_device_needs_another_folder(asked, capsys):
    assert main(["reproduce", "claim=1", "scale=smoke"]) == 0
    assert main(["reproduce", "claim=1", "scale=smoke", "threads=1"]) == 2
    assert "threads is None there and 1 here" in capsys.readouterr().err
    assert main(["reproduce", "claim=1", "scale=smoke", "threads=1", "hydra.run.dir=elsewhere"]) == 0
    assert Path("elsewhere/claims/01-claim-1/claim.json").exists()


MISTAKES = [
    (["claim=99"], ["claim=99", "1, 2, 3, 4, 5, 6", "signal"]),
    (["claim=sgnal,3"], ["claim=sgnal", "did you mean signal?"]),
    (["claim=[]"], ["names no claim"]),
    (["scale=big"], ["scale=big", "smoke, full"]),
    (["device=cuda:99"], ["device=cuda:99", "cpu"]),
    (["-m", "claim=1,2"], ["leave it out", "claim=6,7"]),
    (["clam=1"], ["clam=1", "did you mean claim?"]),
]


@pytest.mark.parametrize(("arguments", "needles"), MISTAKES, ids=lambda value: " ".join(value))
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, needles, capsys):
    assert main(["reproduce", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    for needle in needles:
        assert needle in err
    assert list(Path().iterdir()) == []


def test_claims_are_numbered_once_and_say_what_they_need():
    numbers = [claim.number for claim in claims.CLAIMS]
    assert numbers == sorted(set(numbers))
    for claim in claims.CLAIMS:
        assert claim.cost.keys() == {"smoke", "full"}
        assert all((claim.title, claim.statement, claim.reference, claim.rule, claim.slug, claim.family))
    for family in ("signal", "training"):
        assert claims.select(family) == tuple(claim for claim in claims.CLAIMS if claim.family == family) != ()
    several = [claim.number for claim in claims.select(["5", 9, "signal"])]
    assert several == sorted({9, *(claim.number for claim in claims.select("signal"))})
