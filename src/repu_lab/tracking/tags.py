"""Every TensorBoard tag of the lab, declared once: what it is, its formula and its unit.

A pattern stands for a family of tags: {layer} is a layer's number (01, 02, ...), {step} a training step (000000, ...),
{outcome} and {name} a word. Medians, quantiles and counts are over all members and probe inputs of a run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Literal

from repu_lab.networks.quantiles import RULE
from repu_lab.networks.quantities import QUANTITIES, Quantity, over_depth

Kind = Literal["scalar", "histogram", "image", "text", "plugin"]


@dataclass(frozen=True)
class Tag:
    """A declared tag: its pattern, kind, formula, unit, horizontal axis and one line of explanation."""

    pattern: str
    kind: Kind
    formula: str
    unit: str
    axis: str
    meaning: str


class UndeclaredTag(KeyError):
    """A tag that stands in no row of TAGS."""

    def __str__(self) -> str:
        return f"the tag {self.args[0]!r} is not declared: add it to TAGS in repu_lab/tracking/tags.py"


def declared(tag: str) -> Tag:
    """Return the declaration of a tag; UndeclaredTag if there is none."""
    return _find(tag)


def tags_as_markdown() -> str:
    """Return TAGS as a Markdown table: tag, what it shows, formula, unit, horizontal axis."""
    rows = ["| tag | what it shows | formula | unit | against |", "|---|---|---|---|---|"]
    for tag in TAGS:
        cells = (f"`{tag.pattern}`", tag.meaning, tag.formula, tag.unit, tag.axis)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _over_training(quantity: Quantity) -> Tag:
    pattern = f"layer_{quantity.name}/layer_{{layer}}"
    return Tag(pattern, "scalar", quantity.formula, quantity.unit, "training step", quantity.meaning)


def _over_depth(quantity: Quantity) -> Iterator[Tag]:
    curves = {"step_{step}": quantity.meaning}
    if quantity.theory:
        curves["theory"] = "the same by theory"
    if quantity.name == "log10_K":
        curves |= {f"theory_q{q}": f"{int(q)} % quantile over finite networks, by theory" for q in ("05", "95")}
    for curve, meaning in curves.items():
        pattern = f"profile_{quantity.name}/{curve}"
        yield Tag(pattern, "scalar", quantity.formula, quantity.unit, "layer", meaning)


def _by_member(name: str, formula: str, unit: str, meaning: str, *, counted: bool = True) -> list[Tag]:
    tags = [
        Tag(name, "scalar", formula, unit, "training step", f"{meaning}: median, {RULE}"),
        Tag(f"{name}_q05", "scalar", formula, unit, "training step", "its 5 % quantile over members"),
        Tag(f"{name}_q95", "scalar", formula, unit, "training step", "its 95 % quantile over members"),
        Tag(f"{name}_nonfinite", "scalar", "count", "members", "training step", "members for which it is not finite"),
    ]
    return tags if counted else tags[:-1]


TAGS: tuple[Tag, ...] = (
    *_by_member("train/loss", "mean loss over the batch", "loss", "training loss"),
    *_by_member("train/log10_loss", "log10 of train/loss", "decades", "the same for any size of loss", counted=False),
    *_by_member("test/loss", "mean loss over the test split", "loss", "test loss"),
    *_by_member("test/log10_loss", "log10 of test/loss", "decades", "the same for any size of loss", counted=False),
    *_by_member("test/metric", "accuracy, or R² for regression", "1", "test metric"),
    Tag("members/active", "scalar", "count", "members", "training step", "members still training (finite so far)"),
    Tag("outcome/{outcome}", "scalar", "count", "members", "training step", "members that ended with this outcome"),
    Tag("run/steps", "scalar", "count", "updates", "training step", "updates done when the run ended"),
    *map(_over_training, QUANTITIES),
    *chain.from_iterable(map(_over_depth, over_depth())),
    Tag(
        "profile_nonfinite/step_{step}", "scalar", "count of NaN, +inf, -inf", "entries", "layer",
        "values without a number",
    ),
    Tag(
        "profile_zeros/step_{step}", "scalar", "count of z_i = 0", "entries", "layer",
        "exact zeros, not in the histogram",
    ),
    Tag("nonfinite/nan", "scalar", "count", "entries", "training step", "preactivations that are NaN, all layers"),
    Tag("nonfinite/plus_inf", "scalar", "count", "entries", "training step", "preactivations that are +inf"),
    Tag("nonfinite/minus_inf", "scalar", "count", "entries", "training step", "preactivations that are -inf"),
    Tag("nonfinite/members", "scalar", "count", "members", "training step", "members with a non-finite preactivation"),
    Tag("nonfinite/first_layer", "scalar", "min l", "layer", "training step", "first layer with a non-finite entry"),
    Tag("nonfinite/scalars", "scalar", "count", "values", "training step", "scalars that were not finite, not drawn"),
    Tag(
        "histogram_log10_abs_z/step_{step}", "histogram", "log10 abs(z_i), zeros left out", "decades", "layer",
        "distribution of the preactivations' size, layers stacked; NaN and inf are counted at nonfinite/",
    ),
    Tag("figure/{name}", "image", "", "", "training step", "the depth profiles with their spread, unsmoothed"),
    Tag("outcome", "text", "", "", "", "what theory forecast and what happened"),
    Tag("config", "text", "", "", "", "the resolved configuration"),
    Tag("_hparams_/experiment", "plugin", "", "", "", "columns of the HParams table"),
    Tag("_hparams_/session_start_info", "plugin", "", "", "", "this run's row of the HParams table"),
    Tag("_hparams_/session_end_info", "plugin", "", "", "", "how this run ended"),
    Tag("custom_scalars__config__", "plugin", "", "", "", "the charts of the Custom Scalars tab"),
)  # fmt: skip

PLACEHOLDERS = {"layer": r"\d{2,}", "step": r"\d{6,}", "outcome": "[a-z]+", "name": r"[\w ]+"}


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Tag], ...]:
    def expression(pattern: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", pattern)  # text, placeholder, text, ...
        return re.compile("".join(PLACEHOLDERS[part] if i % 2 else re.escape(part) for i, part in enumerate(parts)))

    return tuple((expression(tag.pattern), tag) for tag in TAGS)


@lru_cache(maxsize=10_000)
def _find(tag: str) -> Tag:
    for expression, declaration in _patterns():
        if expression.fullmatch(tag):
            return declaration
    raise UndeclaredTag(tag)
