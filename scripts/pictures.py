"""`make pictures`: renews the pictures of the documentation, all in one go.

The dashboards are drawn from the story that the tests tell, the page and the list of services from the view that its
tests are made of: the same pictures whoever makes them, and nothing has to be brought about by hand first. The two of
the evidence are the benchmark's (`make bench`).
"""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from alertmanager.receiver.answers import Rollout as RolloutAnswer
from alertmanager.receiver.answers import Status
from alertmanager.receiver.http.page.glance import glance
from alertmanager.receiver.http.page.render import home
from canary.fleet.page import services_page
from canary.policy.load import load_policy
from canary.rollout.state import State
from scripts.preview import sources
from scripts.preview.__main__ import draw
from scripts.preview.picture import reduce
from scripts.preview.prometheus import Prometheus
from tests.support.programs.chromium import Tab, chromium
from tests.support.receiving import pageview
from tests.support.stories.story import END, FAULT
from tests.support.web.webserver import served

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"

_DASHBOARDS = {
    "dashboard-rolled-back.png": ("rollout", END),
    "dashboard-business.png": ("business", END),
    "dashboard-guard.png": ("guard", END),
    # Shortly before anything goes wrong.
    "dashboard-fine.png": ("rollout", FAULT - 1),
}
"""By picture, the dashboard, and the minute of the story up to which it shows."""

_DESK, _PHONE = (1280, 800), (390, 800)


def main() -> None:
    """Renew all of them."""
    _dashboards()
    asyncio.run(_pages())
    for picture in sorted(PICTURES.glob("*.png")):
        print(picture.relative_to(ROOT))


def _dashboards() -> None:
    policy = ROOT / "canary.yaml"
    for minute in sorted({minute for _, minute in _DASHBOARDS.values()}):
        story = sources.story(policy, load_policy(policy).service, minute)
        with story as found, tempfile.TemporaryDirectory() as folder:
            end = found.end or 0.0
            for picture, (name, until) in _DASHBOARDS.items():
                if until == minute:
                    draw(found, Prometheus(found.url, end - 60 * minute, end), Path(folder), f"canary-{name}")
                    shutil.copy(Path(folder) / f"canary-{name}.png", PICTURES / picture)


async def _pages() -> None:
    page = home(pageview.view(), pageview.checks(), None)
    routes = pageview.routes(lambda: page, lambda: services_page("receiver", _services()))
    async with served(*routes) as at, chromium() as tab:
        await _take(tab, f"http://{at}/", "page.png", _DESK)
        await _take(tab, f"http://{at}/", "page-dark.png", _DESK, dark=True)
        await _take(tab, f"http://{at}/", "page-phone.png", _PHONE, most=1700)
        await _take(tab, f"http://{at}/services", "services.png", _DESK)


async def _take(
    tab: Tab, url: str, name: str, size: tuple[int, int], *, dark: bool = False, most: int | None = None
) -> None:
    """A picture of a whole page, cut off where *most* pixels are enough."""
    width, height = size
    await tab.size(width, height, mobile=width < 600, dark=dark)
    await tab.open(url)
    # Nobody streams to it, and it must not say so in a manual; its script would show it again.
    await tab.value("document.getElementById('connection')?.remove()")
    whole = int(await tab.value("document.documentElement.scrollHeight"))
    await tab.size(width, min(whole, most or whole), mobile=width < 600, dark=dark)
    await tab.picture(PICTURES / name)
    await asyncio.to_thread(reduce, PICTURES / name, most=most)


def _services() -> list[dict[str, object]]:
    rollout: RolloutAnswer = {**pageview.ROLLOUT, "state": State.HOLDING, "weight_ratio": 0.05}
    held: Status = {**pageview.RUNNING, "rollout": rollout, "waiting_for": "a person to resume it"}
    views = {"books": (pageview.RUNNING, 0.25), "garden": (held, 0.05), "toys": (pageview.IDLE, 0.0)}
    kpis = pageview.view().kpis
    running = [
        _service(name, status={**glance(status, kpis, weight), "Service": name})
        for name, (status, weight) in views.items()
    ]
    fault = "wine.yaml:3: kpis.conversion_rate.tolerence: unknown key; did you mean 'tolerance'?"
    return [*running, _service("wine", fault=fault)]


def _service(name: str, *, status: Mapping[str, str] = MappingProxyType({}), fault: str = "") -> dict[str, object]:
    path = f"services/{name}/"
    return {
        "service": name,
        "file": f"{name}.yaml",
        "running": not fault,
        "fault": fault,
        "path": path,
        "status": status,
    }


if __name__ == "__main__":
    main()
