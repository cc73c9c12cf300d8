"""The list of services, in a real browser."""

from pathlib import Path

from aiohttp import web

from canary.fleet.page import SCRIPT, STYLE, services_page
from tests.support.programs.chromium import chromium
from tests.support.web.webserver import served

AXE = Path("node_modules/axe-core/axe.min.js").read_text()


def service(name: str, state: str, *, fault: str = "") -> dict[str, object]:
    """One of them as `listed` tells it."""
    status = {"Service": name, "State": state, "Canary's weight": "25%"}
    return {
        "service": name,
        "file": f"{name}.yaml",
        "running": not fault,
        "fault": fault,
        "path": f"services/{name}/",
        "status": {} if fault else status,
    }


def test_what_needs_a_person_comes_first() -> None:
    """A policy that cannot be served, then what is held, then what runs, then the rest by name."""
    services = [
        service("a", "No rollout"),
        service("b", "In progress"),
        service("c", "Held"),
        service("d", "", fault="x"),
    ]

    page = services_page("receiver", services)

    places = [page.index(f"{name}<") for name in "dcba"]
    assert places == sorted(places)
    assert "1 with trouble" in page
    assert "not running: d.yaml: x" in page


async def test_the_list_is_live_accessible_and_fits_a_phone() -> None:
    """No violation of axe-core at both widths; markup in a name stays text; a change comes without loading again."""
    shown = [service("shop", "In progress"), service("<img src=x onerror=alert(1)>", "", fault="<b>no</b>\nnot YAML")]

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=services_page("receiver", shown), content_type="text/html")

    async def style(_request: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def script(_request: web.Request) -> web.Response:
        return web.Response(
            text=SCRIPT.replace("const SECONDS = 5", "const SECONDS = 0.05"), content_type="text/javascript"
        )

    routes = web.get("/", page), web.get("/list.css", style), web.get("/list.js", script)
    async with served(*routes) as at, chromium() as tab:
        violations = []
        for width, mobile in ((1280, False), (320, True)):
            await tab.size(width, 800, mobile=mobile, dark=mobile)
            await tab.open(f"http://{at}/")
            await tab.value(f"{AXE};0")
            violations += await tab.value("axe.run().then(found => found.violations.map(one => one.id))")
            assert await tab.value("document.documentElement.scrollWidth") == width
        shown[0] = service("shop", "Rolled back")
        await tab.until("document.getElementById('list').innerText.includes('Rolled back')")
        images = await tab.value("document.images.length")

    assert violations == []
    assert images == 0
