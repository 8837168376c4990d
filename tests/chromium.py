"""A headless Chromium, driven through a pipe: opens a page, and tells its requests, console messages and contents."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--remote-debugging-pipe", "--disable-dev-shm-usage", "--hide-scrollbars"),
)


class Browser:
    """One tab.

    Attributes:
        requests: addresses that pages asked for.
        messages: what was written to the console, errors of the security policy included.
    """

    def __init__(self, to: int, back: int):
        self.to, self.back, self.last, self.session = to, back, 0, ""
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.last:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path, width: int = 1400, dark: bool = False, scripts: bool = True) -> None:
        """Open a file, and wait until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.loaded = False
        self.requests.clear()
        self.messages.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.loaded:
            self._note(self._next())

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            codes = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowDown": 40}
            text = {"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}
            kind = "keyDown" if text else kind
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def picture(self, path: Path, top: int = 0, height: int | None = None) -> None:
        """Write a picture of the page, or of a part of it."""
        whole = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": whole["width"], "height": height or whole["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def printed(self, path: Path) -> None:
        """Write the page as PDF, as it is printed."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"]))

    def _next(self) -> dict[str, Any]:
        message = bytearray()
        while not message.endswith(b"\0"):
            byte = os.read(self.back, 1) if not message else self._rest()
            assert byte, "Chromium has ended"
            message += byte
        return json.loads(message[:-1])

    def _rest(self) -> bytes:
        """Return the bytes up to the end of a message; nothing is read beyond it."""
        found = bytearray()
        while not found.endswith(b"\0"):
            found += os.read(self.back, 1)
        return bytes(found)

    def _note(self, event: dict[str, Any]) -> None:
        params, method = event.get("params", {}), event.get("method")
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.messages.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loaded = True


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it."""
    assert CHROMIUM is not None
    (child_in, to), (back, child_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = f'exec "$@" 3<&{child_in} 4>&{child_out}'
        words = ["bash", "-c", command, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        started = subprocess.Popen(words, pass_fds=(child_in, child_out), stderr=subprocess.DEVNULL)
        os.close(child_in)
        os.close(child_out)
        try:
            yield Browser(to, back)
        finally:
            os.close(to)
            os.close(back)
            started.terminate()
            started.wait(20)
