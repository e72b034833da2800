"""Values as people read them; what a file says can move no cursor and end no line."""

from repu_lab.catalogue.reading import Scalar


def visible(text: str, longest: int | None = None) -> str:
    """Return text on one line with every control character spelt out, cut in the middle if too long."""
    line = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if longest is not None and len(line) > longest:
        line = f"{line[: longest // 2]}...{line[-(longest - 3 - longest // 2) :]}"
    return line


def shown(value: Scalar) -> str:
    """Return a value with at most four digits, '' for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def measured(value: Scalar) -> str:
    """Return a number of a network as `shown` does, a dash where there is none: untrained, or not finite."""
    return shown(value) or "-"


def is_number(text: str) -> bool:
    """Say whether a shown value is a number, a dash or nothing."""
    try:
        float(text.removeprefix("-") or 0)
    except ValueError:
        return False
    return True
