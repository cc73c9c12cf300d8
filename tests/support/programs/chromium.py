"""A real headless Chromium, driven by its DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.programs.processes import Program, eventually

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--hide-scrollbars",
)  # fmt: skip
_ANSWER_SECONDS = 20.0


class Tab:
    """One tab. What the page complains about, policy violations included, is collected in *complaints*."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says until it ends."""
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
            elif data["method"] == "Log.entryAdded":
                self.complaints.append(data["params"]["entry"]["text"])
            elif data["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(data["params"]["exceptionDetails"]))
            elif data["method"] == "Network.requestWillBeSent":
                self.requested.append(data["params"]["request"]["url"])

    async def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_ANSWER_SECONDS):
            data = await answer
        assert "error" not in data, f"{method}: {data['error']}"
        result: dict[str, Any] = data["result"]
        return result

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth in the page."""
        result = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        await self.ask("Page.navigate", url=url)
        await self.until(f"document.readyState == 'complete' && location.href.startsWith({json.dumps(url)})", url)

    async def until(self, expression: str, what: str = "") -> None:
        """Wait until a JavaScript expression is true."""

        async def holds() -> bool:
            # While a page is being replaced there is nothing to ask.
            with contextlib.suppress(AssertionError):
                return bool(await self.value(expression))
            return False

        await eventually(holds, what or expression)

    async def text(self, selector: str = "body") -> str:
        """What a person reads in an element."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.ask("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press `Tab` or `Enter`."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        keys = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        extra = {"text": "\r"} if key == "Enter" else {}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", **keys, **extra)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **keys)

    async def size(self, width: int, height: int, *, mobile: bool = False, dark: bool = False) -> None:
        """The window's size, and the colours a person prefers."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])

    async def scripts(self, *, enabled: bool) -> None:
        """Switch JavaScript of pages on or off."""
        await self.ask("Emulation.setScriptExecutionDisabled", value=not enabled)

    async def picture(self, path: Path) -> None:
        """A PNG of the whole page."""
        data = await self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(data["data"]))

    async def accessible(self) -> list[dict[str, Any]]:
        """What a screen reader is given: role and name of every element that is not ignored."""
        nodes = (await self.ask("Accessibility.getFullAXTree"))["nodes"]
        return [
            {"role": node["role"]["value"], "name": node.get("name", {}).get("value", "")}
            for node in nodes
            if not node["ignored"]
        ]


@asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    """A browser with one tab, ended with its folder."""
    folder = Path(tempfile.mkdtemp(prefix="canary-chromium-"))
    # It also writes next to its profile: into the home and into the folder for temporary files.
    surroundings = {"HOME": str(folder), "TMPDIR": str(folder)}
    argv = ["chromium", *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    program = Program(argv, folder / "log", surroundings)
    try:
        port_file = folder / "profile" / "DevToolsActivePort"
        await program.start(lambda: port_file.exists() and "\n" in port_file.read_text(), 60.0)
        port = int(port_file.read_text().splitlines()[0])
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
                    await tab.ask(f"{domain}.enable")
                yield tab
                listening.cancel()
    finally:
        program.stop()
        shutil.rmtree(folder, ignore_errors=True)
