"""A Chromium without a window, driven over the WebDriver protocol (W3C) by Debian's chromedriver.

Only what the tests need of it, over the standard library's HTTP client: no further dependency.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
from pathlib import Path
from typing import Any

from tests.live.processes import NotInTime, Program, free_ports, wait_until

START_SECONDS, CALL_SECONDS, PAGE_SECONDS = 60.0, 60.0, 15.0
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# Code points of the protocol for keys that print nothing.
TAB, ENTER, SPACE, SHIFT = "\ue004", "\ue007", " ", "\ue008"


class WebDriverError(AssertionError):
    """The browser did not do what it was told."""


class Driver:
    """A running chromedriver, which starts browsers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        self._program = Program("chromedriver", folder / "chromedriver.log")

    def __enter__(self) -> Driver:
        path = shutil.which("chromedriver")
        assert path is not None, "no chromedriver: `make test-browser` installs Debian's chromium and chromium-driver"
        self._program.start([path, f"--port={self.port}"], death_signal="TERM")
        self._program.ready_when(self._is_ready, seconds=START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One command. Raises: WebDriverError with what the browser says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_SECONDS)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        if answer.status != 200:
            raise WebDriverError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def _is_ready(self) -> bool:
        try:
            return bool(self.call("GET", "/status")["ready"])
        except OSError:
            return False


class Chromium:
    """One browser with a profile of its own."""

    def __init__(self, driver: Driver, *, scripts: bool = True) -> None:
        """Without `scripts` it runs none, as if the user had switched them off."""
        self._driver = driver
        preferences = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        options = {
            "args": [
                "--headless=new",
                # As root, as in a container, it has no sandbox of its own; it sees nothing but our pages.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=900,1100",
            ],
            "prefs": preferences,
        }
        wanted = {
            "browserName": "chrome",
            # The service's certificate is of a CA that this machine does not know.
            "acceptInsecureCerts": True,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._path = f"/session/{session['sessionId']}"

    def close(self) -> None:
        self._call("DELETE", "")

    # --- pages ----------------------------------------------------------------------------------

    def go(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def back(self) -> None:
        self._call("POST", "/back", {})

    def reload(self) -> None:
        self._call("POST", "/refresh", {})

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    @property
    def title(self) -> str:
        return str(self._call("GET", "/title"))

    @property
    def text(self) -> str:
        """What the page shows."""
        return self.find("body").text

    def shows(self, words: str) -> bool:
        """Whether the page shows these words, or soon does: a key that was pressed may lead to another page."""
        try:
            return wait_until(lambda: words in self._text_now(), seconds=PAGE_SECONDS, what=words)
        except NotInTime:
            return False

    def hides(self, words: str) -> bool:
        """Whether the page does not show these words, or soon no more: a click ends before its page is there."""
        what = f"no {words}"
        try:
            return wait_until(lambda: words not in self._text_now(), seconds=PAGE_SECONDS, what=what)
        except NotInTime:
            return False

    def find(self, selector: str) -> Element:
        """The first element of a CSS selector, once it is there. Raises: NotInTime."""
        found = wait_until(lambda: self._all(selector), seconds=PAGE_SECONDS, what=f"{selector} is on the page")
        return Element(self, found[0][_ELEMENT])

    def has(self, selector: str) -> bool:
        """Whether it is there now."""
        return bool(self._all(selector))

    def _all(self, selector: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._call("POST", "/elements", {"using": "css selector", "value": selector})
        return found

    def _text_now(self) -> str:
        try:
            return self.text
        except WebDriverError:
            # The page went away while it was read.
            return ""

    def enter_frame(self, selector: str) -> None:
        self._call("POST", "/frame", {"id": {_ELEMENT: self.find(selector).id}})

    def fill(self, selector: str, text: str) -> None:
        self.find(selector).type(text)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    # --- keys -----------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        strokes = [{"type": kind, "value": key} for pressed in keys for key in pressed for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    @property
    def focused(self) -> Element:
        return Element(self, self._call("GET", "/element/active")[_ELEMENT])

    # --- looks ----------------------------------------------------------------------------------

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`, as the user's system would say."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        """The whole page, as long as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = self.devtools("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def devtools(self, command: str, parameters: dict[str, object]) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def refusals(self) -> list[str]:
        """What the browser refused by a page's own policy since it was asked last, from its console."""
        said = [str(entry["message"]) for entry in self._call("POST", "/se/log", {"type": "browser"})]
        return [line for line in said if "Content Security Policy" in line]

    def refuses(self, directive: str) -> bool:
        """Whether the page's own policy refused something by this directive. The line in the console comes some time
        after what it tells of, so it is waited for."""
        try:
            return wait_until(
                lambda: any(directive in line for line in self.refusals()), seconds=PAGE_SECONDS, what=directive
            )
        except NotInTime:
            return False

    def _call(self, method: str, path: str, body: object = None) -> Any:
        return self._driver.call(method, self._path + path, body)


class Element:
    """Something on a page."""

    def __init__(self, browser: Chromium, element_id: str) -> None:
        self._browser, self.id = browser, element_id

    @property
    def text(self) -> str:
        return str(self._get("/text"))

    @property
    def role(self) -> str:
        """What a screen reader says that it is."""
        return str(self._get("/computedrole"))

    @property
    def label(self) -> str:
        """What a screen reader calls it."""
        return str(self._get("/computedlabel"))

    def attribute(self, name: str) -> str | None:
        value = self._get(f"/attribute/{name}")
        return None if value is None else str(value)

    def css(self, name: str) -> str:
        return str(self._get(f"/css/{name}"))

    def click(self) -> None:
        self._browser._call("POST", f"/element/{self.id}/click", {})

    def type(self, text: str) -> None:
        self._browser._call("POST", f"/element/{self.id}/value", {"text": text})

    def _get(self, path: str) -> Any:
        return self._browser._call("GET", f"/element/{self.id}{path}")
