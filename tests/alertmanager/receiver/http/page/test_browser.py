"""The page in a real Chromium against a real rollout on a real HAProxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from alertmanager.receiver.http.page import render
from alertmanager.receiver.http.page.render import home
from tests.support.programs.chromium import Tab, chromium
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving import pageview
from tests.support.receiving.receiver import (
    OPERATOR_TOKEN,
    Setting,
    alert,
    in_state,
    order,
    payload,
    post,
    receiving,
    status,
    until,
)
from tests.support.web.webserver import served

AXE = Path("node_modules/axe-core/axe.min.js").read_text()


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    """A browser's tab."""
    async with chromium() as opened:
        yield opened


@asynccontextmanager
async def running(setting: Setting) -> AsyncIterator[str]:
    """A receiver with a rollout in its first phase; the rollout's id."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 % on the canary", lambda now: now["settled"])
        yield (await status(setting))["rollout"]["id"]


async def sign_in(tab: Tab, setting: Setting, then: str) -> None:
    """Sign in with the keyboard only, on the way to a page."""
    await tab.open(f"{setting.url}/page/sign-in?after={then}")
    await tab.value("document.getElementById('name').focus()")
    await tab.type("Ada")
    await tab.press("Tab")
    await tab.type(OPERATOR_TOKEN)
    await tab.press("Enter")
    # The address is the new page's before its elements are there.
    await tab.until(f"location.pathname == '{then}' && document.readyState == 'complete'")


async def test_an_order_is_given_with_the_keyboard_and_seen_live(setting: Setting, tab: Tab, haproxy: HAProxy) -> None:
    """Sign in, give a reason, roll back; another tab's page follows by itself, and nothing outside is asked for."""
    async with chromium() as watching, running(setting):
        await watching.open(setting.url)
        await watching.until("document.getElementById('state-title').textContent == 'In progress'")
        await sign_in(tab, setting, "/page/rollback")
        await tab.value("document.getElementById('reason').focus()")
        await tab.type("customers complain")
        await tab.press("Enter")
        await tab.until("location.pathname == '/'")
        await until(setting, "rolled back", in_state("rolled_back"))
        await watching.until("document.getElementById('state-title').textContent == 'Rolled back'")
        announced = await watching.text("#announcement")
        events = await watching.text("#events")
        title = await watching.value("document.title")
        complaints = [*tab.complaints, *watching.complaints]

    assert (await haproxy.router.read()).weight_ratio == 0
    assert "Rolled back" in announced
    assert "by Ada (page): customers complain" in events
    assert title.startswith("Rolled back")
    assert {url.split("/")[2] for url in [*tab.requested, *watching.requested]} == {f"127.0.0.1:{setting.port}"}
    assert complaints == []


async def test_the_link_in_a_message_rolls_back(tmp_path: Path, tab: Tab, haproxy: HAProxy) -> None:
    """Opened without signing in, sent with the keyboard: the browser's own headers pass for those of our form."""
    del haproxy
    outside = "https://canary.example"
    setting = Setting(tmp_path / "receiver", changes={"receiver": {"page_url": outside}})
    async with receiving(setting) as receiver:
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 % on the canary", lambda now: now["settled"])
        assert receiver.store.rollout is not None
        await tab.open(setting.url + receiver.links.url(receiver.store.rollout.id, 1).removeprefix(outside))
        await tab.value("document.getElementById('reason').focus()")
        await tab.type("from my phone")
        await tab.press("Enter")
        await until(setting, "rolled back", in_state("rolled_back"))
        await tab.until("document.querySelector('h1').textContent == 'Rolling back'")


async def test_the_page_is_complete_without_javascript(setting: Setting, tab: Tab) -> None:
    """Scripts are off: state, orders, alerts and events are there, and a hold can be given."""
    await tab.scripts(enabled=False)
    async with running(setting) as rollout:
        await sign_in_without_script(tab, setting)
        page = await tab.text()
        await tab.open(f"{setting.url}/page/hold")
        await tab.value("document.querySelector('button[type=submit]').click()")
        await until(setting, "held", in_state("holding"))

    assert rollout in page
    assert "v2.0 (canary) against v1.0 (stable)" in page
    assert "1 of 3" in page
    assert "Hold" in page


async def sign_in_without_script(tab: Tab, setting: Setting) -> None:
    """As `sign_in`; the protocol's own evaluation works although the page's scripts do not run."""
    await sign_in(tab, setting, "/")


async def test_screen_readers_get_names_and_roles(setting: Setting, tab: Tab) -> None:
    """Headings, regions, a live status line, named buttons and fields."""
    async with running(setting):
        await tab.open(setting.url)
        home = await tab.accessible()
        await sign_in(tab, setting, "/page/rollback")
        form = await tab.accessible()

    def has(nodes: list[dict[str, str]], role: str, name: str) -> bool:
        return any(node["role"] == role and name in node["name"] for node in nodes)

    assert has(home, "heading", "Canary of shop")
    assert has(home, "main", "")
    assert has(home, "status", "")
    assert has(home, "link", "Roll back")
    assert has(home, "progressbar", "Time of this phase")
    assert has(home, "region", "In progress")
    assert has(form, "textbox", "Reason")
    assert has(form, "button", "Yes, roll back")
    unnamed = [node for node in [*home, *form] if node["role"] in ("button", "link", "textbox") and not node["name"]]
    assert unnamed == []


async def test_the_page_fits_a_phone(setting: Setting, tab: Tab) -> None:
    """Nothing is wider than a small screen, and what is touched is large enough for a finger."""
    await tab.size(360, 740, mobile=True)
    async with running(setting):
        await tab.open(setting.url)
        width = await tab.value("document.documentElement.scrollWidth")
        heights = await tab.value(
            "[...document.querySelectorAll('.button')].map(b => b.getBoundingClientRect().height)"
        )

    assert width <= 360
    assert len(heights) == 8  # four commands, a note, a drill, check and plan
    assert min(heights) >= 44


async def test_what_alerts_say_stays_text(setting: Setting, tab: Tab) -> None:
    """Markup in an alert's description is shown, never run."""
    async with running(setting) as rollout:
        evil = alert("CanaryHighErrorRate", "rollback", rollout)
        evil["annotations"]["description"] = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
        await tab.open(setting.url)
        await post(setting, payload(evil))
        await tab.until("document.getElementById('events').innerText.includes('<script>')")
        images = await tab.value("document.images.length")
        title = await tab.value("document.title")

    assert images == 0
    assert "owned" not in title
    assert tab.complaints == []


async def test_a_lost_receiver_is_said(setting: Setting, tab: Tab, tmp_path: Path) -> None:
    """When the receiver ends, the page says that it is no longer live."""
    async with running(setting):
        await tab.open(setting.url)
        await tab.until("document.getElementById('connection').textContent == 'Live'")
    await tab.until("document.getElementById('connection').textContent.startsWith('Not live')")
    await tab.picture(tmp_path / "page.png")

    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


async def test_a_silent_receiver_is_said_too(tab: Tab) -> None:
    """A connection that is open, and on which nothing is heard any more, is given up and tried again."""
    speaks, over = asyncio.Event(), asyncio.Event()

    async def live(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if tab.requested.count(str(request.url)) > 1:
            await speaks.wait()
        await response.prepare(request)
        await response.write(b"event: alive\ndata: {}\n\n")
        await over.wait()
        return response

    async def script(_request: web.Request) -> web.Response:
        quick = (Path(render.__file__).parent / "live.js").read_text().replace("SILENT_MS = 30000", "SILENT_MS = 500")
        return web.Response(text=quick, content_type="text/javascript")

    page = pageview.routes(lambda: home(pageview.view(), pageview.checks(), None))
    routes = [route for route in page if route.path != "/page/live.js"]
    async with served(*routes, web.get("/page/live.js", script), web.get("/page/live", live)) as at:
        await tab.open(f"http://{at}/")
        await tab.until("document.getElementById('connection').textContent.startsWith('Not live: nothing heard since')")
        speaks.set()
        await tab.until("document.getElementById('connection').textContent == 'Live'")
        over.set()


async def test_a_page_that_is_served_no_more_says_so(tab: Tab) -> None:
    """As when its service was taken away: the receiver does answer, and whoever reads must not look for it."""
    page = pageview.routes(lambda: home(pageview.view(), pageview.checks(), None))
    async with served(*(route for route in page if route.path != "/page/live")) as at:
        await tab.open(f"http://{at}/")
        await tab.until("document.getElementById('connection').textContent.startsWith('Not live: this page is not')")


async def test_axe_finds_nothing_to_complain_about(tab: Tab) -> None:
    """Everything unfolded, on a phone, also at twice its size, and by night on a desktop: no violation, nothing cut."""
    cut = "[...document.querySelectorAll('#kpis .wide')].filter(one => one.scrollWidth > one.clientWidth).length"
    beyond = "[...document.querySelectorAll('td')].some(one => one.getBoundingClientRect().right > innerWidth)"
    names = "axe.run().then(found => found.violations.map(one => `${one.id}: ${one.nodes[0].html}`))"
    async with served(*pageview.routes(lambda: home(pageview.view(), pageview.checks(), None))) as at:
        for width, height, mobile in ((390, 844, True), (195, 422, True), (1280, 900, False)):
            await tab.size(width, height, mobile=mobile, dark=not mobile)
            await tab.open(f"http://{at}/")
            await tab.value("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            await tab.value(f"{AXE};0")

            assert await tab.value(names) == []
            assert await tab.value("document.documentElement.scrollWidth") == width
            assert mobile or await tab.value(cut) == 0  # on a phone rows are blocks, and their heading is out of sight
            assert not await tab.value(beyond)


async def test_what_is_unfolded_stays_so(setting: Setting, tab: Tab) -> None:
    """A section that is replaced keeps what a person has opened in it, and the keyboard's place."""
    async with running(setting):
        await tab.open(setting.url)
        await tab.value("document.querySelector('#events-sources').open = true")
        await tab.value("document.querySelector('#events-sources > summary').focus()")
        await order(setting, "hold", reason="lunch")
        await tab.until("document.getElementById('events').innerText.includes('lunch')")
        unfolded = await tab.value("document.querySelector('#events-sources').open")
        focused = await tab.value("document.activeElement.parentElement.id")

    assert unfolded is True
    assert focused == "events-sources"
