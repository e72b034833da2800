"""`repu-lab reproduce`: judge the claims one after another; what has been judged is kept."""

import logging
import os
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
from tqdm import tqdm

from repu_lab import __version__
from repu_lab.claims import select
from repu_lab.claims.base import Claim, Evidence, Picture
from repu_lab.claims.lab import Lab
from repu_lab.claims.verdicts import Verdict
from repu_lab.configs.command import Prepared
from repu_lab.configs.config import ConfigError
from repu_lab.configs.schema import ReproduceConfig
from repu_lab.figures.narrow import FOR_PHONES, narrow
from repu_lab.runs.building import pick_device
from repu_lab.runs.folder import RunFolder

# The packages whose version can change a number; a page that mixes two of them would say so nowhere.
DECISIVE = ("torch", "numpy", "scipy", "scikit-learn")
logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the fonts' dates as it puts them into a PDF


def prepare(config: ReproduceConfig, path: Path) -> Prepared:
    """Choose the claims and the device; ConfigError for an unknown claim, a missing device, or other versions there."""
    claims, device, folder = select(config.claim), pick_device(config.device), RunFolder(path)
    mixed = _other_versions(folder)
    if mixed and not config.rerun:
        raise ConfigError(mixed)
    return Prepared(
        parts=claims,
        circumstances={"device": str(device), "scale": config.scale},
        afresh=config.rerun and (claims == select(None) or bool(mixed)),
    )


def judge_all(claims: Sequence[Claim], config: ReproduceConfig, folder: RunFolder) -> list[Claim]:
    """Judge every claim that has not been judged yet and return those that failed."""
    failed = []
    # In units of each claim's expected seconds, so that the time left is that of the work left.
    layout = "{desc} |{bar:30}| {percentage:3.0f} %, {elapsed} gone, {remaining} left"
    total = sum(claim.cost[config.scale] for claim in claims)
    with tqdm(total=total, bar_format=layout, disable=None, leave=False) as bar:
        for claim in claims:
            end = bar.n + claim.cost[config.scale]
            stored = None if config.rerun else _stored(RunFolder(folder.path / claim.folder))
            bar.set_description(f"claim {claim.number}")
            line = f"{stored['verdict']:12} {stored['reason']} (stored)" if stored is not None else None
            if line is None:
                line = _judge(claim, config, folder, bar)
                failed += [claim] if line.startswith("failed") else []
            bar.clear()
            folder.log(f"{claim.number:2} {line}")
            bar.update(end - bar.n)
    return failed


def _stored(home: RunFolder) -> dict[str, Any] | None:
    """Return what was found of a claim, None if it has to be judged; older reproductions have no manifest of it."""
    unreadable = os.path.lexists(home.path / "manifest.json") and home.manifest() is None
    return None if unreadable or home.damaged() else home.read_json("claim.json")


def _judge(claim: Claim, config: ReproduceConfig, folder: RunFolder, bar: "tqdm[Any]") -> str:
    """Examine a claim, write its folder, and return the line that says what was found."""
    before = bar.n

    def progress(share: float) -> None:
        bar.update(before + share * claim.cost[config.scale] - bar.n)

    manifest = folder.manifest() or {}
    lab = Lab(
        folder.path,
        scale=config.scale,
        versions=manifest["versions"],
        device=config.device,
        threads=config.threads,
        rerun=config.rerun,
        seed=config.seed,
        progress=progress,
    )
    home = RunFolder(folder.path / claim.folder)
    home.path.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        evidence = claim.examine(lab)
    except ConfigError as error:
        evidence = Evidence(setup="nothing could be run", verdict=Verdict.INCONCLUSIVE, reason=str(error), seeds=0)
    except Exception as error:
        home.write_text("traceback.txt", traceback.format_exc())
        return f"failed       {type(error).__name__}: {error}; see {home.path / 'traceback.txt'}"
    for picture in evidence.pictures:
        save(picture, home)
    finding = claim.finding(lab, evidence, time.perf_counter() - start)
    home.write_json("claim.json", finding)
    home.write_json("manifest.json", {"status": "finished", "command": "claim", "files": home.written()})
    (home.path / "traceback.txt").unlink(missing_ok=True)  # of an earlier attempt
    return f"{finding['verdict']:12} {finding['reason']} ({finding['seconds']:.0f} s)"


def save(picture: Picture, home: RunFolder) -> None:
    """Write a figure as SVG, PDF and PNG, the same bytes each time, and as an SVG for phones if it is wide."""
    # The salt names the ids inside an SVG: two figures on one page must not share them.
    with matplotlib.rc_context({"svg.hashsalt": picture.name, "pdf.fonttype": 42}):
        for form, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None}), ("png", {})):
            with home.writing(f"{picture.name}.{form}") as path:
                # Of an SVG the planes alone have dots; at 200 an inch they are two thirds of its bytes.
                picture.figure.savefig(path, format=form, metadata=metadata, dpi=120 if form == "svg" else 200)
            picture.figure.set_layout_engine(None)  # one layout for all: each took as long as the drawing
        picture.figure.set_layout_engine("constrained")
        if narrow(picture.figure):
            with home.writing(f"{picture.name}{FOR_PHONES}") as path:
                picture.figure.savefig(path, format="svg", metadata={"Date": None})


def _other_versions(folder: RunFolder) -> str:
    """Say under which other versions the claims of a folder were judged, '' if under these."""
    there = (folder.manifest() or {}).get("versions", {})
    here = {"repu-lab": __version__} | {name: version(name) for name in DECISIVE}
    differing = [name for name in here if there and there.get(name) != here[name]]
    listed = ", ".join(f"{name} is {there.get(name)} there and {here[name]} here" for name in differing)
    return listed and f"{folder.path} holds a reproduction of other versions: {listed}; rerun=true starts afresh"
