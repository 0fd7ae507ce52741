"""A headless Chromium to use a page with as a person does; tests skip where none is installed."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def installed(names: tuple[str, ...]) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"none of {', '.join(names)} is installed to open the page with")


class Driver:
    """The few WebDriver calls that take."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"binary": installed(CHROMIUM), "args": [*SWITCHES, "--window-size=1280,900"]}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self.address += "/" + self.call("POST", "", {"capabilities": wanted})["sessionId"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        content = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, content, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def chrome(self, command: str, **parameters: object) -> Any:
        """A command of Chromium's own protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def state(self) -> dict[str, str]:
        """The body's data attributes, two pictures later."""
        wait = "const done = arguments[0], s = () => done({...document.body.dataset});"
        wait += "requestAnimationFrame(() => requestAnimationFrame(s))"
        result: dict[str, str] = self.call("POST", "/execute/async", {"script": wait, "args": []})
        return result

    def screen(self, width: int, height: int) -> None:
        """As large as that; a phone where it is narrow."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.chrome("Emulation.setDeviceMetricsOverride", **size)

    def hover(self, x: float, y: float) -> None:
        """The mouse, at a point of what is visible."""
        moves = [{"type": "pointerMove", "x": int(x), "y": int(y)}]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}
        self.call("POST", "/actions", {"actions": [mouse]})
        self.state()  # the page has heard of it

    def box(self, selector: str) -> list[float]:
        """Left, top, width and height of the first element that fits, brought to the top of the screen."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.scrollIntoView()")
        self.state()  # a pointer that moves before the next picture would be where the page was
        script = f"const b = {element}.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        found: list[float] = self.run(script)
        return found

    def keys(self, keys: str) -> None:
        press = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": press}]})

    def drag(self, x: int, y: int, by: int, pointer: str = "mouse") -> None:
        moves = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": x + by, "y": y, "duration": 100},
            {"type": "pointerUp", "button": 0},
        ]
        kind = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": moves}
        self.call("POST", "/actions", {"actions": [kind]})

    def pinch(self, x: int, y: int, apart: int, by: int) -> None:
        """Two fingers, each ``apart`` from the middle, moved outwards."""

        def finger(name: str, sign: int) -> dict[str, Any]:
            moves = [
                {"type": "pointerMove", "x": x + sign * apart, "y": y},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerMove", "x": x + sign * (apart + by), "y": y, "duration": 100},
                {"type": "pointerUp", "button": 0},
            ]
            return {"type": "pointer", "id": name, "parameters": {"pointerType": "touch"}, "actions": moves}

        self.call("POST", "/actions", {"actions": [finger("left", -1), finger("right", 1)]})

    def click(self, selector: str, text: str) -> None:
        """The first element that fits the selector and has this text."""
        fits = f"[...document.querySelectorAll({json.dumps(selector)})]"
        self.run(f"{fits}.find((e) => e.textContent === {json.dumps(text)}).click()")

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector({json.dumps(selector)}).innerText"))

    def open(self, page: Path) -> None:
        self.call("POST", "/url", {"url": page.as_uri()})

    def picture(self, path: Path, whole: bool = False) -> None:
        """As PNG: what is visible, or the whole page."""
        found = self.chrome("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def finish(self, page: Path) -> None:
        """Nothing went wrong, and the page asked nobody for anything."""
        assert self.state()["errors"] == "0"
        assert self.call("POST", "/se/log", {"type": "browser"}) == []
        events = [
            json.loads(line["message"])["message"]
            for line in self.call("POST", "/se/log", {"type": "performance"})
        ]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert page.as_uri() in asked
        assert {url for url in asked if not url.startswith("data:,")} == {page.as_uri()}


@contextmanager
def browser() -> Iterator[Driver]:
    """One that is closed at the end; skips the test where none is installed or none starts."""
    binary = installed(("chromedriver",))
    with subprocess.Popen([binary, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = next(
            (int(found[1]) for line in process.stdout if (found := re.search(r"on port (\d+)\.", line))), 0
        )
        try:
            driver = _started(port)
            yield driver
            driver.call("DELETE", "")
        finally:
            process.terminate()


def _started(port: int) -> Driver:
    try:
        return Driver(port)
    except urllib.error.HTTPError as error:
        pytest.skip(f"the browser does not start here: {error.read().decode()[:200]}")
