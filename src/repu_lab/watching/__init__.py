"""Any torch network, seen layer by layer: in a training loop of the user's own, or with one batch in a test suite."""

from repu_lab.watching.examining import assert_healthy, examine
from repu_lab.watching.health import LayerRow, Report
from repu_lab.watching.watcher import Watch, watch

__all__ = ["LayerRow", "Report", "Watch", "assert_healthy", "examine", "watch"]
