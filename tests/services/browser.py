"""Chromium without a window, over Chrome's DevTools protocol: open a page, wait for what it shows, take a picture.

It is one of this machine; where root may install Debian packages, the first test that asks installs it. Nothing is
loaded from elsewhere.
"""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.debian import can_install, install
from typing_extensions import Self
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to be root with one; the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # what would load something from elsewhere fails
)
# A promise that ends when the page shows all of some texts and loads nothing, or with what is missing after a while.
SHOWS = """
new Promise(done => {
  const texts = %s;
  const missing = () => {
    const shown = document.body?.innerText ?? '';
    const loads = shown.includes('Loading...') || document.querySelector('[class*=keleton], [class*=pinner]');
    return [...texts.filter(text => !shown.includes(text)), ...(loads ? ['the end of loading'] : [])];
  };
  let settled;
  const end = found => { observer.disconnect(); clearTimeout(timer); clearTimeout(settled); done(found); };
  const look = () => {
    clearTimeout(settled);
    if (missing().length === 0) settled = setTimeout(() => end([]), 500);  // nothing changes any more
  };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, characterData: true});
  const timer = setTimeout(() => end(missing()), %d);
  look();
})
"""


def program() -> str | None:
    """Return the program, None where there is none and none can be installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and can_install():
        install("chromium")
        found = shutil.which("chromium")
    return found


class Page:
    """A tab of the browser."""

    def __init__(self, url: str, patience: float) -> None:
        self.patience = patience
        self.events: list[dict[str, Any]] = []  # of what was enabled: the console, requests, and more
        self._connecting = connect(url, max_size=None, open_timeout=patience)
        self._last = 0

    def __enter__(self) -> Self:
        self._connection: ClientConnection = self._connecting.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(self.patience))
            if "method" in message:
                self.events.append(message)
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def run(self, script: str) -> Any:
        """Return what JavaScript in the page gives; promises are awaited."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", "an exception"))
        return done["result"].get("value")

    def open(self, url: str, *texts: str) -> str:
        """Open a page, wait until it shows these texts, and return all that it shows."""
        self.call("Page.navigate", url=url)
        return self.shows(*texts)

    def shows(self, *texts: str) -> str:
        """Wait until the page shows these texts and loads nothing, and return all that it shows.

        Raises:
            AssertionError: if it does not, with what it shows.
        """
        missing = self.run(SHOWS % (json.dumps(texts), int(self.patience * 500)))
        shown = str(self.run("document.body.innerText"))
        assert missing == [], f"the page does not show {missing}, but:\n{shown}"
        return shown

    def picture(self, path: Path) -> None:
        """Write what the page looks like to a PNG file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def page(folder: Path, *, width: int = 1440, height: int = 900, patience: float = 90.0) -> Iterator[Page]:
    """Run a browser with one page, of the size of a desktop; its files are in the folder.

    Raises:
        FileNotFoundError: where there is no browser.
    """
    if (found := program()) is None:
        raise FileNotFoundError("no Chromium: install the package chromium")
    command = [found, *OPTIONS, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            listening = next((line for line in process.stderr if "DevTools listening on" in line), "")
            port = listening.split("ws://127.0.0.1:")[-1].partition("/")[0]
            with Page(f"ws://127.0.0.1:{port}/devtools/page/{_target(listening, patience)}", patience) as opened:
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                opened.call("Emulation.setDeviceMetricsOverride", **size)
                yield opened
        finally:
            process.terminate()


def _target(listening: str, patience: float) -> str:
    """Return the ID of the first page, which the browser itself knows."""
    with Page(listening.split()[-1], patience) as browser:
        targets = browser.call("Target.getTargets")["targetInfos"]
    return next(str(each["targetId"]) for each in targets if each["type"] == "page")
