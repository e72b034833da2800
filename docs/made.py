"""Pages that follow from the code: the gallery of activations, and the help of every command as a reference."""

import contextlib
import io
import os
import re
from pathlib import Path

import numpy as np
import torch

from repu_lab import ACTIVATIONS, analyse, cli, critical_initialization, forecast
from repu_lab.activations import Activation
from repu_lab.configs.command import COMMANDS, job_commands
from repu_lab.figures.style import QUIET, canvas, quiet
from repu_lab.theory import Criticality

DEPTHS = (10, 50)
WIDTH, BATCH = 128, 128
NOTE = "% Made by docs/made.py; not to be edited.\n\n"


def write(docs: Path) -> None:
    """Write gallery.md with its pictures, reference/commands.md and reference/keys.md below a folder."""
    (docs / "made").mkdir(exist_ok=True)
    (docs / "gallery.md").write_text(NOTE + gallery(docs / "made"), encoding="utf-8")
    (docs / "reference" / "commands.md").write_text(NOTE + commands(), encoding="utf-8")
    (docs / "reference" / "keys.md").write_text(NOTE + keys(), encoding="utf-8")


def commands() -> str:
    """Return what `repu-lab --help` and the help of the commands without keys print."""
    parts = ["# Commands", block(said("--help"))]
    parts += [f"## repu-lab {name}\n\n{block(said(name, '--help'))}" for name in COMMANDS if name not in job_commands()]
    return "\n\n".join(parts) + "\n"


def keys() -> str:
    """Return the keys of each command that has some, from its help."""
    parts = ["# Every key", "What `repu-lab train --help` and the help of the other commands print."]
    for name in job_commands():
        text = said(name, "--help")
        for title, section in (("groups and their options", "groups"), ("keys and their defaults", "keys")):
            if rows := entries(text, section):
                parts.append(f"## repu-lab {name}: {title}")
                parts.append("\n".join(f"- `{left}`: {right}" for left, right in rows))
    return "\n\n".join(parts) + "\n"


def entries(text: str, section: str) -> list[tuple[str, str]]:
    """Return the entries of a section of a help text: what stands left, and all that stands right of it."""
    found = re.search(rf"^{section}.*:\n((?:  .*\n)+)", text, re.MULTILINE)
    lines = found[1].splitlines() if found else []
    rows: list[tuple[str, str]] = []
    for line in lines:
        if line[2] != " ":
            left, _, right = line.strip().partition(" ")
            rows.append((left, right.strip()))
        else:
            rows[-1] = rows[-1][0], f"{rows[-1][1]} {line.strip()}"
    return [(left, right.replace("*", "\\*")) for left, right in rows]


def block(text: str) -> str:
    """Return a text as a block of markdown."""
    return f"```text\n{text}```"


def said(*arguments: str) -> str:
    """Return what a command line prints, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert cli.main(arguments) == 0
    return shown.getvalue()


def gallery(pictures: Path) -> str:
    """Return a page of all activations: s and s', where each is critical, and what becomes of deep networks."""
    cards = []
    for name, make in sorted(ACTIVATIONS.items()):
        draw(make(), pictures / f"{name}.svg")
        cards.append(card(name, make()))
    return (
        f"""# All activations

What theory says of each at its default parameters, for networks of width {WIDTH} with `initialization=critical` and a
batch of {BATCH} inputs: the size of the signal K at which it is critical, the variances and the k1 that the lab chooses
for {DEPTHS[-1]} layers, and what becomes of the signal on the first pass. The blue curve is s(z), the orange one its
slope, for z from -3 to 3. The words are in the [glossary](glossary.md).

::::{{container}} gallery
"""
        + "\n".join(cards)
        + "\n::::\n"
    )


def card(name: str, activation: Activation) -> str:
    """Return an activation's part of the gallery."""
    chosen = critical_initialization(activation, DEPTHS[-1])
    fates = "\n".join(f"- {depth} layers: {fate(activation, depth)}" for depth in DEPTHS)
    return f""":::{{container}} card
**{name}**

![{name}, blue, and its slope, orange](made/{name}.svg)

- critical: {kind(analyse(activation))}
- C_W = {chosen.C_W:.4g}, C_b = {chosen.C_b:.4g}, k1 = {chosen.k1:.4g}
{fates}
:::"""


def kind(found: Criticality) -> str:
    """Return the best critical point in a few words."""
    if not found.points:
        return "nowhere"
    point = found.points[0]
    if point.K is None:
        return "any K (scale-invariant)"
    named = "" if point.K == 0 else f" ({point.universality_class})"
    return f"K = {point.K:.4g}{named}, {point.stability}"


def fate(activation: Activation, depth: int) -> str:
    """Return the forecast of the first pass at the variances that the lab chooses for a depth."""
    chosen = critical_initialization(activation, depth)
    return (
        forecast(activation, C_W=chosen.C_W, C_b=chosen.C_b, k1=chosen.k1, depth=depth, width=WIDTH, inputs=BATCH)
        .summary()
        .removeprefix("first pass ")
    )


def draw(activation: Activation, file: Path) -> None:
    """Draw s and s' from -3 to 3."""
    z = torch.linspace(-3, 3, 601, dtype=torch.float64)
    figure = canvas(3, 1.8)
    axes = figure.subplots()
    quiet(axes)
    axes.axhline(0, color=QUIET, linewidth=0.5)
    axes.axvline(0, color=QUIET, linewidth=0.5)
    for values, colour in ((activation(z), "#0072b2"), (activation.derivative(z), "#d55e00")):
        axes.plot(z.numpy(), np.clip(values.numpy(), -2, 4), color=colour, linewidth=1.2)
    axes.set_ylim(-1.6, 3.4)
    figure.savefig(file)
