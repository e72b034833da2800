"""Draw docs/pictures again: python scripts/pictures.py [NAME ...], all of them if none is named (20 minutes of CPU).

Of story and propagation there is a second one for phones, which the site shows on narrow screens.

story          K by layer, as claim 1 of `repu-lab reproduce` draws it
propagation    `repu-lab propagate` of RePU, 50 layers
boundary       scripts/trace_boundary.py: where MRePU ceases to learn
tensorboard    the browser pictures: scripts/screenshots.py of a sweep over three activations and four depths
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from repu_lab.figures import signal_propagation
from repu_lab.figures.narrow import FOR_PHONES, narrow
from repu_lab.report.stored import Statistics, theory_of_rows

PICTURES = Path(__file__).resolve().parents[1] / "docs/pictures"
LAB = [sys.executable, "-m", "repu_lab"]
SCRIPTS = Path(__file__).parent
CUSTOM = ["initialization=custom", "initialization.c_w=1"]
NETWORK = ["activation=mrepu", "activation.p=1", "depth=20", "width=64", *CUSTOM, "initialization.k1=5e-4"]
BOUNDARY = ["c_w", "1", "100", "--learns", "--precision", "0.03", *NETWORK, "optimizer.lr=1e-4", "batch_size=32"]
SWEEP = ["activation=repu,mrepu,relu", "depth=5,10,20,50", "width=48", "members=8", "steps=300"]


def story(place: Path) -> None:
    run(*LAB, "reproduce", "claim=1", f"hydra.run.dir={place}")
    (claim,) = place.glob("claims/*")
    for file in ("story.png", f"story{FOR_PHONES}"):
        shutil.copyfile(claim / file, PICTURES / file)


def propagation(place: Path) -> None:
    run(*LAB, "propagate", "activation=repu", "depth=50", "width=256", *CUSTOM, f"hydra.run.dir={place}")
    shutil.copyfile(place / "propagation.png", PICTURES / "propagation.png")
    layers = json.loads((place / "result.json").read_text(encoding="utf-8"))["layers"]
    figure = signal_propagation(Statistics(place).profiles(), theory_of_rows(layers))
    narrow(figure)
    figure.savefig(PICTURES / f"propagation{FOR_PHONES}", metadata={"Date": None})


def boundary(place: Path) -> None:
    run(sys.executable, SCRIPTS / "trace_boundary.py", *BOUNDARY, "--picture", PICTURES / "boundary.png")


def tensorboard(place: Path) -> None:
    run(*LAB, "train", "-m", *SWEEP, f"hydra.sweep.dir={place}")
    run(sys.executable, SCRIPTS / "screenshots.py", place, PICTURES)


def run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)


def main() -> None:
    drawn = {draw.__name__: draw for draw in (story, propagation, boundary, tensorboard)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(drawn)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(drawn):
        parser.error(f"{', '.join(sorted(unknown))}: must be one of {', '.join(drawn)}")
    for name in arguments.names or drawn:
        with tempfile.TemporaryDirectory() as place:
            drawn[name](Path(place) / name)


if __name__ == "__main__":
    main()
