"""`repu-lab results DIR`: one table of all runs below a folder."""

from repu_lab.configs.command import PathCommand, lazy

HELP = """\
usage: repu-lab results DIR [--by member|run|config] [--filter CONDITIONS] [--sort COLUMNS]
                            [--columns COLUMNS] [--limit N] [--csv FILE] [--json FILE] [--all]

One table of all runs below a folder, damaged, running, interrupted and failed ones included and marked.

options:
  --by member        a row per network (default): its outcome, layer of failure, metric
  --by run           a row per run: outcomes counted, median of the metric [quartiles]
  --by config        a row per config: runs that differ only in seed and members are one; n, share trained with its
                     95 % Wilson interval, median of the metric [quartiles], layers of failure
  --filter TEXT      rows that meet every condition, COLUMN SIGN VALUE without blanks, in quotes for the shell:
                     --filter 'activation=repu depth>=20 outcome=trained'
                     =, != equal to one of the values (with commas); ~ contains; <, <=, > and >= compare numbers.
                     Columns are keys of the config, and folder, command, state, note, seed, outcome, layer, step,
                     loss, metric, validation_metric; by run or config also n, trained, share, share_low,
                     share_high, metric_q25, metric_q75; and what a task measures beside its metric (relative_l2).
                     A row of several networks meets outcome=, layer=, seed= if one of them does.
  --sort TEXT        by columns, - in front for the largest first: --sort depth,-metric
  --columns TEXT     these columns, in this order, as they are: --columns outcome,metric,activation,folder
  --limit N          the first N rows
  --csv FILE         write every column as CSV, - for standard output instead of the table. A text that a spreadsheet
                     could take for a formula starts with an apostrophe; control characters are spelt out
  --json FILE        the same as a JSON list of objects
  --all              also hidden folders (.groups) and what a later run moved aside (<name>.1)

The table shows the keys of the config that differ between its rows, as many as 120 columns hold. A network without a
metric ranks as the worst.
By config, a network (config and seed) that lies in several folders counts once.

examples:
  repu-lab results outputs
  repu-lab results outputs/sweeps/first --by config --sort=-share
  repu-lab results outputs --filter 'outcome=exploded depth<10' --csv exploded.csv
"""


COMMAND = PathCommand(
    name="results",
    purpose="one table of all runs below a folder, also as CSV or JSON",
    text=HELP,
    run=lazy("repu_lab.catalogue.command:command"),
)
