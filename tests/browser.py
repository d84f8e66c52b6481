"""A headless Chromium, driven through ChromeDriver by the WebDriver protocol (W3C 2018)."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOSTILE = (
    "</script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>&amp;$title\"'\x1b\u202e\r\u2028\n"
)
"""A text that would like to do harm."""

CHROMEDRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("chromium-browser")

_SWITCHES = (
    "--headless",
    "--no-sandbox",  # as root, in a container
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1000,800",
)


class Browser:
    """One window."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        options = {"binary": CHROMIUM, "args": [*_SWITCHES, f"--user-data-dir={folder}"]}
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._session = self._send("POST", "/session", {"capabilities": capabilities})["sessionId"]

    def open(self, page: Path, *, dark: bool = False) -> None:
        """Open a file with a preference for dark or light pages."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._emulate("setEmulatedMedia", {"features": [scheme]})
        self.command("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function and return its result."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse."""
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        mouse = {"type": "pointer", "id": "mouse", "actions": [move]}
        self.command("POST", "/actions", {"actions": [mouse]})

    def press(self, *keys: str) -> None:
        """Press keys one after the other; WebDriver has special characters for keys that write nothing."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    @contextmanager
    def size(self, width: int, height: int) -> Iterator[None]:
        """Give the page this size for the length of the context; a window cannot be as small as a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._emulate("setDeviceMetricsOverride", metrics)
        try:
            yield
        finally:
            self._emulate("clearDeviceMetricsOverride", {})

    def _emulate(self, command: str, parameters: dict[str, Any]) -> None:
        """Send a command of Chromium's own protocol, which is not part of WebDriver."""
        self.command("POST", "/goog/cdp/execute", {"cmd": f"Emulation.{command}", "params": parameters})

    def complaints(self) -> list[str]:
        """What the browser logged about the page."""
        return [entry["message"] for entry in self.command("POST", "/se/log", {"type": "browser"})]

    def command(self, method: str, path: str, content: Any = None) -> Any:
        """Send a command to the window."""
        return self._send(method, f"/session/{self._session}{path}", content)

    def _send(self, method: str, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)["value"]


def assert_self_contained(page: str) -> None:
    """Check that a page loads nothing, runs only its own two scripts, and has no characters that control a terminal."""
    from tests.command_line import controls  # which imports conftest, which imports this file

    assert controls(page) == set() and not set("\u2028\u202e") & set(page)
    assert page.count("<script") == page.count("</script>") == 2
    markup = re.sub(r"(<(style|script)\b[^>]*>).*?</\2>", r"\1", page, flags=re.DOTALL)
    assert not re.search(r"<(img|link|iframe|object|base)\b", markup)
    tags = re.findall(r"<[a-z][^<>]*>", markup)
    assert not [tag for tag in tags if re.search(r"\s(src|href|style|on\w+)=", tag)]
    assert "url(" not in page and "http" not in page.replace("http-equiv", "")
    assert "content=\"default-src 'none'; script-src 'sha256-" in page
    assert "unsafe" not in page and "innerHTML" not in page


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps its files in a folder, and end it."""
    assert CHROMEDRIVER is not None
    with subprocess.Popen([CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        assert driver.stdout is not None
        try:
            line = next(line for line in driver.stdout if b"successfully on port" in line)
            window = Browser(f"http://127.0.0.1:{int(line.split()[-1].strip(b'.'))}", folder)
            try:
                yield window
            finally:
                window.command("DELETE", "")
        finally:
            driver.terminate()
