"""A real headless Chromium, spoken to over its own pipe (DevTools protocol): no driver, no port, no package."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 20.0
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40, "ArrowUp": 38, "Escape": 27, "End": 35, "Home": 36}


class Failed(Exception):
    """Chromium answered with an error, or not at all."""


def program() -> str:
    """Where Chromium is. Raises Failed with what to do when it is not there."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        raise Failed("no Chromium: make browser-setup, or install the package chromium")
    return found


class Browser:
    """One Chromium with an empty profile of its own."""

    def __init__(self, profile: Path) -> None:
        to_it, our_out = os.pipe()
        our_in, from_it = os.pipe()

        def wire() -> None:  # Chromium reads commands from 3 and writes to 4
            theirs = os.dup2(to_it, 103), os.dup2(from_it, 104)
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self._process = subprocess.Popen(
            [program(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=wire,  # noqa: PLW1509  # no threads yet, and only two descriptors are moved
            start_new_session=True,
        )
        os.close(to_it)
        os.close(from_it)
        self._out, self._in = our_out, our_in
        self._number, self._left = 0, b""
        self.pages: dict[str, Page] = {}

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Ask and wait for the answer; events that come meanwhile are kept with their page."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest) :]
        number, deadline = self._number, time.monotonic() + PATIENCE_S
        while True:
            answer = self.next(deadline)
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise Failed(f"{method}: {answer['error']}")
            found: dict[str, Any] = answer["result"]
            return found

    def next(self, deadline: float) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            if not chunk:
                raise Failed("Chromium says nothing more")
            self._left += chunk
        one, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        if "method" in message and message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].events.append(message)
        return message

    def open(
        self, file: Path, *, dark: bool = False, width: int = 1400, height: int = 1000, scripts: bool = True
    ) -> "Page":
        """Load a file in a profile of its own, and wait until it is loaded."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self.pages[session] = page
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        page.media("screen", dark=dark)
        page.call("Page.navigate", url=file.as_uri())
        page.wait("Page.loadEventFired")
        return page

    def close(self) -> None:
        """End it."""
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (Failed, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)


@dataclass
class Page:
    """One tab, and what Chromium told of it."""

    browser: Browser
    session: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask this tab."""
        return self.browser.call(method, self.session, **params)

    def wait(self, method: str) -> None:
        """Until that event came."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.told(method):
            self.browser.next(deadline)

    def told(self, method: str) -> list[dict[str, Any]]:
        """What it told under this name."""
        return [event["params"] for event in self.events if event["method"] == method]

    def evaluate(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failed(str(answer["exceptionDetails"].get("exception", {}).get("description", answer)))
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.evaluate(script):
            if time.monotonic() > deadline:
                raise Failed(f"never true: {script}")
            time.sleep(0.02)

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        text = {"Enter": "\r", " ": " "}.get(name, name if len(name) == 1 else "")
        common = {"key": name, "code": name, "windowsVirtualKeyCode": KEYS.get(name, ord(name[0].upper()))}
        modifiers = 8 if shift else 0
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", modifiers=modifiers, **common, **({"text": text} if text else {})
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **common)

    def tab_to(self, script: str, limit: int = 60) -> None:
        """Press Tab until the element that has the focus is the one."""
        for _ in range(limit):
            self.key("Tab")
            if self.evaluate(f"document.activeElement === ({script})"):
                return
        raise Failed(f"Tab never came to {script}")

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        for char in text:
            self.key(char)

    def media(self, media: str, *, dark: bool) -> None:
        """Screen or print, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme, still])

    def shoot(self, file: Path) -> None:
        """Keep a picture of what is seen."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def requests(self) -> list[str]:
        """Addresses of everything that was asked for."""
        return [params["request"]["url"] for params in self.told("Network.requestWillBeSent")]


type Opener = Callable[..., Page]
