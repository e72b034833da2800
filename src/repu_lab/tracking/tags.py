"""Every TensorBoard tag of the lab, declared once: what it is, its formula and its unit.

A pattern stands for a family of tags: {share} is a share of the depth (0.00 is the first layer, 1.00 the output),
{step} a training step (000064, ...), {curve} is `start` (step 0), `step_{step}` or `end` (the last step measured),
{outcome} a word. Medians, quantiles and counts are over all members and probe inputs of a run. TensorBoard sorts tags
by name: what is not train or test begins with z.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Literal

from repu_lab.networks.quantiles import RULE
from repu_lab.networks.quantities import QUANTITIES, Quantity, over_depth

Kind = Literal["scalar", "histogram", "text", "plugin"]


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


@lru_cache(maxsize=10_000)
def declared(tag: str) -> Tag:
    """Return the declaration of a tag; UndeclaredTag if there is none."""
    for expression, declaration in _patterns():
        if expression.fullmatch(tag):
            return declaration
    raise UndeclaredTag(tag)


def tags_as_markdown() -> str:
    """Return TAGS as a Markdown table: tag, what it shows, formula, unit, horizontal axis."""
    rows = ["| tag | what it shows | formula | unit | against |", "|---|---|---|---|---|"]
    for tag in TAGS:
        cells = (f"`{tag.pattern}`", tag.meaning, tag.formula, tag.unit, tag.axis)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _over_depth(quantity: Quantity) -> Iterator[Tag]:
    curves = {"{curve}": quantity.meaning} | ({"theory": "the same by theory"} if quantity.theory else {})
    for curve, meaning in curves.items():
        pattern = f"z_depth_{quantity.name}/{curve}"
        yield Tag(pattern, "scalar", quantity.formula, quantity.unit, "depth, 0 to 1000", f"{meaning}; start and end")
    if quantity.name == "log10_K":
        curves |= {f"theory_q{q}": f"{int(q)} % quantile over finite networks, by theory" for q in ("05", "95")}
    for curve, meaning in curves.items():
        pattern = f"z_profile_{quantity.name}/{curve}"
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
    Tag("train/active", "scalar", "count", "members", "training step", "members still training (finite so far)"),
    Tag("train_outcome/{outcome}", "scalar", "count", "members", "training step", "members that ended with it"),
    Tag("train/steps", "scalar", "count", "updates", "training step", "updates done when the run ended"),
    *(Tag(f"z_{q.name}/depth_{{share}}", "scalar", q.formula, q.unit, "training step", q.meaning) for q in QUANTITIES),
    *chain.from_iterable(map(_over_depth, over_depth())),
    Tag(
        "z_profile_nonfinite/{curve}", "scalar", "count of NaN, +inf, -inf", "entries", "layer",
        "values without a number",
    ),
    Tag(
        "z_profile_zeros/{curve}", "scalar", "count of z_i = 0", "entries", "layer",
        "exact zeros, not in the histogram",
    ),
    Tag("z_nonfinite/nan", "scalar", "count", "entries", "training step", "preactivations that are NaN, all layers"),
    Tag("z_nonfinite/plus_inf", "scalar", "count", "entries", "training step", "preactivations that are +inf"),
    Tag("z_nonfinite/minus_inf", "scalar", "count", "entries", "training step", "preactivations that are -inf"),
    Tag("z_nonfinite/members", "scalar", "count", "members", "training step", "members with a non-finite z_i"),
    Tag("z_nonfinite/first_layer", "scalar", "min l", "layer", "training step", "first layer with a non-finite entry"),
    Tag("z_nonfinite/scalars", "scalar", "count", "values", "training step", "scalars that were not finite, not drawn"),
    Tag(
        "z_histogram/step_{step}", "histogram", "log10 abs(z_i), zeros left out", "decades", "layer",
        "distribution of the preactivations' size, layers stacked; NaN and inf are counted at z_nonfinite/",
    ),
    Tag("outcome", "text", "", "", "", "what theory forecast and what happened"),
    Tag("config", "text", "", "", "", "the layers of a network that is watched"),
    Tag("_hparams_/experiment", "plugin", "", "", "", "columns of the HParams table"),
    Tag("_hparams_/session_start_info", "plugin", "", "", "", "this run's row of the HParams table"),
    Tag("_hparams_/session_end_info", "plugin", "", "", "", "how this run ended"),
    Tag("custom_scalars__config__", "plugin", "", "", "", "the charts of the Custom Scalars tab"),
)  # fmt: skip

PLACEHOLDERS = {
    "share": r"[01]\.\d\d",
    "step": r"\d{6,}",
    "curve": r"(?:start|end|step_\d{6,})",
    "outcome": "[a-z]+",
}


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Tag], ...]:
    def expression(pattern: str) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", pattern)  # text, placeholder, text, ...
        return re.compile("".join(PLACEHOLDERS[part] if i % 2 else re.escape(part) for i, part in enumerate(parts)))

    return tuple((expression(tag.pattern), tag) for tag in TAGS)
