"""`repu-lab report DIR`: one HTML page of a run, a sweep or a reproduction."""

from repu_lab.configs.command import PathCommand, lazy

HELP = """\
usage: repu-lab report DIR [--output FILE]

One HTML page of what lies in a folder: DIR/report.html, self-contained (it opens offline, on a phone too), below 8 MiB.

  a run              forecast beside measurement, outcomes, depth profiles, losses, config
  a sweep            any folder with runs below it: configs with the share that trained, a picture of it, every run
  a reproduction     the verdicts, then a section per claim: figures, numbers, exact commands

Folders that are damaged, or whose run goes on, are listed as such.

options:
  --output FILE      write the page there instead; its name must end in .html

examples:
  repu-lab report outputs/sweeps/first
  repu-lab report outputs/reproduce-smoke --output paper.html
"""


COMMAND = PathCommand(
    name="report",
    purpose="one HTML page of a run, a sweep or a reproduction",
    text=HELP,
    run=lazy("repu_lab.report.command:command"),
)
