"""`repu-lab compare DIR DIR ...`: runs side by side, in one table and one picture."""

from repu_lab.configs.command import PathCommand, lazy

HELP = """\
usage: repu-lab compare DIR [DIR ...] [--picture FILE]

Runs side by side: one table with a row per run, and one picture of the size of the signal by depth, measured (points)
and by theory (lines), and of the metric while training. Each DIR is a run, or a folder with runs below it, such as a
sweep; runs of train, propagate and theory may be mixed.

options:
  --picture FILE     write the picture there (.png, .svg or .pdf); left out: comparison.png here

examples:
  repu-lab compare outputs/sweeps/first
  repu-lab compare outputs/train-relu-* outputs/train-tanh-* --picture relu_tanh.svg
"""


COMMAND = PathCommand(
    name="compare",
    purpose="runs or activations side by side, in one table and one picture",
    text=HELP,
    run=lazy("repu_lab.report.comparing:command"),
)
