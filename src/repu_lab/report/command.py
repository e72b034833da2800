"""`repu-lab report DIR`: one HTML page of a run, a sweep or a reproduction."""

from collections.abc import Sequence
from pathlib import Path

from repu_lab.catalogue.arguments import parse
from repu_lab.configs.config import ConfigError
from repu_lab.configs.text import printable
from repu_lab.runs.output import check_output, write_output

OPTIONS = {"--output": None}


def command(arguments: Sequence[str]) -> int:
    """Write the page of a folder and say where it is; exit code 0. ConfigError for what the user can mend."""
    folder, options = parse("DIR", arguments, OPTIONS)
    output = options.get("--output", [None])[-1]
    path = write_report(Path(folder), None if output is None else Path(output))
    print(f"report:   {printable(str(path))} ({path.stat().st_size / 2**20:.2f} MiB): open it in a browser")
    return 0


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a run, a sweep or a reproduction and return its path, DIR/report.html unless told otherwise.

    ConfigError if the folder holds none of them, or the page cannot be written there.
    """
    target = folder / "report.html" if output is None else output
    if target.suffix not in (".html", ".htm"):
        raise ConfigError(f"--output {printable(str(target))}: is no name of a page; let it end in .html")
    if output is None and (target.is_symlink() or (target.exists() and not target.is_file())):
        cure = "remove it, or name another place with --output"
        raise ConfigError(f"{printable(str(target))}: is a link, a folder or a device; {cure}")
    if folder.is_dir():  # else the page says so
        check_output("--output", target)
    write_output("--output", target, page_of(folder, target.parent))
    return target


def page_of(folder: Path, beside: Path | None = None) -> str:
    """Return the page of a folder as HTML; links lead from the folder `beside`, where it will lie, this one if None."""
    from repu_lab.catalogue.command import find_runs
    from repu_lab.catalogue.scanning import scan
    from repu_lab.report.reproduction import find_claims, is_reproduction, reproduction_page
    from repu_lab.report.run import run_page
    from repu_lab.report.sweep import sweep_page

    if is_reproduction(folder):
        return reproduction_page(folder, find_claims(folder), scan(folder)).html()
    runs = find_runs(str(folder))
    alone = len(runs) == 1 and runs[0].folder == "."
    return (run_page(runs[0]) if alone else sweep_page(folder, runs, beside or folder)).html()
