"""One thread for every test: networks here are small, and threads that wait for each other cost more than they give.

And no test sees the module `mine` that another one has written, or a signal ignored because a shell started the tests
in the background: those of signals would wait for ever.
"""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ("run_fixtures",)

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the commands that tests start
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def forgotten_module() -> Iterator[None]:
    """Forget a user's module, which every folder has another one of."""
    yield
    sys.modules.pop("mine", None)
