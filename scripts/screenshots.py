"""Photograph the TensorBoard tabs of a log folder: python scripts/screenshots.py LOGDIR [OUT].

Writes OUT/<tab>.png (OUT = docs/pictures if left out), and of each a part that a phone's width can show, at twice the
size, as OUT/<tab>.narrow.png. Needs Chromium or Chrome (found on the path, or named by
--browser); TensorBoard and the browser listen on nothing but a free port of this machine's loopback interface.
"""

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repu_lab.runs.paths import CHARTS

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# Smoothing and "ignore outliers" are on by default in Time Series and bend or cut a curve: off before a page loads.
SETTINGS = {"scalarSmoothing": 0, "ignoreOutliers": False, "timeSeriesSettingsPaneOpened": False}
SETTLED = 10  # seconds: the last charts draw themselves after their text is there
CURVES = "?smoothing=0&tagFilter=(log10_loss|metric|z_log10_K.*)$#timeseries"
# name -> address, (width, height), text that is on the page once it is ready, text that is scrolled to, the part for
# phones: x, y, width, height
TABS: dict[str, tuple[str, tuple[int, int], str, str, tuple[int, int, int, int]]] = {
    "profiles": (CHARTS, (1500, 1150), "By layer", "By layer", (378, 110, 350, 550)),
    "curves": (CURVES, (1400, 1050), "z_log10_K", "", (664, 170, 352, 420)),
    "hparams": ("#hparams", (1400, 500), "Trial ID", "", (286, 128, 520, 280)),
}


def main() -> int:
    """Photograph every tab, or those named by --tab."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("logdir", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/pictures"))
    parser.add_argument("--tab", action="append", choices=TABS, help="only this tab; may be repeated")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, BROWSERS)), None))
    arguments = parser.parse_args()
    if arguments.browser is None:
        parser.error(f"no browser found: install chromium, or name one with --browser (looked for {BROWSERS})")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tensorboard(arguments.logdir) as address:
        for name in arguments.tab or TABS:
            where, size, ready, seen, part = TABS[name]
            with browser(arguments.browser, size) as call:  # a fresh profile each: no tab remembers another's settings
                pictures = photograph(call, address + where, ready, seen, part)
            for ending, picture in zip((".png", ".narrow.png"), pictures, strict=True):
                path = arguments.out / f"{name}{ending}"
                path.write_bytes(picture)
                print(path)
    return 0


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """Start TensorBoard on a free port and yield its address once it has found runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(lambda: json.load(urllib.request.urlopen(f"{address}data/runs", timeout=5)), "runs in TensorBoard")
        yield address
    finally:
        server.terminate()
        server.wait()


@contextmanager
def browser(program: str, size: tuple[int, int]) -> Iterator[Callable[..., Any]]:
    """Start a headless browser and yield a function that sends it one command of the DevTools protocol."""
    to_browser, ours_out = os.pipe()
    ours_in, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol's pipe wants its ends as file descriptors 3 and 4: a shell puts them there.
        command = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"]
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "sh", *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            with os.fdopen(ours_out, "wb", buffering=0) as sending, os.fdopen(ours_in, "rb") as receiving:
                yield conversation(sending, receiving)
        finally:
            process.terminate()
            process.wait()


def conversation(sending: Any, receiving: Any) -> Callable[..., Any]:
    """Return call(method, session=None, **parameters) -> result; messages end with a zero byte."""
    number = 0
    buffer = bytearray()

    def call(method: str, session: str | None = None, **parameters: Any) -> Any:
        nonlocal number
        number += 1
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        sending.write(json.dumps(message).encode() + b"\0")
        while True:
            end = buffer.find(b"\0")
            if end < 0:
                part = receiving.read1(1 << 20)
                if not part:
                    raise RuntimeError("the browser ended; start it by hand to see why")
                buffer.extend(part)
                continue
            reply = json.loads(buffer[:end])
            del buffer[: end + 1]
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]

    return call


def photograph(
    call: Callable[..., Any], address: str, ready: str, seen: str, part: tuple[int, int, int, int]
) -> tuple[bytes, bytes]:
    """Open an address, wait until its text (also in shadow roots) says that it is ready, return a PNG and its part."""
    target = call("Target.createTarget", url="about:blank")["targetId"]
    session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    stored = {name: json.dumps(SETTINGS) for name in ("_tb_global_settings", "_tb_global_settings.timeseries")}
    source = f"if (location.protocol === 'http:') Object.assign(localStorage, {json.dumps(stored)})"
    call("Page.enable", session)
    call("Page.addScriptToEvaluateOnNewDocument", session, source=source)
    call("Page.navigate", session, url=address)

    def evaluate(expression: str) -> Any:
        result = call("Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")

    def text() -> str:
        return evaluate(f"({VISIBLE_TEXT})(document)") or ""

    wait_for(
        lambda: ready in (shown := text()) and "Matches (0)" not in shown, f"{ready!r} and all charts of {address}"
    )
    time.sleep(SETTLED)
    evaluate(f"({SCROLL_TO})(document, {json.dumps(seen)})")
    time.sleep(2)
    clip = dict(zip(("x", "y", "width", "height"), part, strict=True)) | {"scale": 2}
    shots = call("Page.captureScreenshot", session, format="png"), call("Page.captureScreenshot", session, clip=clip)
    whole, narrow = (base64.b64decode(shot["data"]) for shot in shots)
    return whole, narrow


SCROLL_TO = """function find(node, text) {
  if (text && node.nodeType === 3 && node.textContent.includes(text)) {
    node.parentElement.scrollIntoView();
    return true;
  }
  return [node.shadowRoot, ...node.childNodes].some((child) => child && find(child, text));
}"""

VISIBLE_TEXT = """function text(node) {
  let all = node.nodeType === 3 ? node.textContent : "";
  if (node.shadowRoot) all += text(node.shadowRoot);
  if (node.nodeName === "IFRAME" && node.contentDocument) all += text(node.contentDocument);
  if (!["SCRIPT", "STYLE"].includes(node.nodeName)) for (const child of node.childNodes) all += text(child);
  return all;
}"""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 300.0) -> None:
    """Ask until the condition holds; TimeoutError names what did not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"waited {seconds:.0f} s for {what}")


if __name__ == "__main__":
    sys.exit(main())
