"""The receiver below a path, and behind a proxy by another name: page, forms, session, API and webhook."""

import asyncio
import re
from pathlib import Path

import aiohttp

from canary.web.place import Place
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.receiving.receiver import OPERATOR_TOKEN, Setting, order, receiving

OUTSIDE = "https://shop.example/team/canary"


async def test_everything_is_below_the_prefix_and_leads_there(tmp_path: Path) -> None:
    """The page's ways are relative, a form is taken from the address outside only, the session is kept below it."""
    setting = Setting(tmp_path / "receiver")
    base = f"{setting.url}/team/canary"
    jar = aiohttp.DummyCookieJar()
    async with receiving(setting, place=Place.of(OUTSIDE)), aiohttp.ClientSession(cookie_jar=jar) as http:
        async with http.get(setting.url) as answer:
            found, page = answer.url.path, await answer.text()
        async with http.get(f"{base}/page/rollback", allow_redirects=False) as answer:
            asked = answer.headers["Location"]
        form = {"name": "Ada", "token": OPERATOR_TOKEN, "after": "/page/hold"}
        origin = {"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}
        async with http.post(f"{base}/page/sign-in", data=form, headers=origin, allow_redirects=False) as answer:
            after, cookie = answer.headers["Location"], answer.headers["Set-Cookie"]
        async with http.post(f"{base}/page/sign-in", data=form, headers={"Origin": "https://evil.example"}) as answer:
            foreign = answer.status, "--web.external-url=ADDRESS" in await answer.text()
        codes = {path: (await http.get(f"{base}{path}")).status for path in ("/api/v1/status", "/metrics", "/-/ready")}
        outside = {path: (await http.get(f"{setting.url}{path}")).status for path in ("/api/v1/status", "/metrics")}

    assert found == "/team/canary/"
    assert '<base href="./">' in page
    assert not re.findall(r'(?:href|src|action)="/', page)
    assert asked == "sign-in?after=/page/rollback"
    assert after == "../page/hold"
    assert "Path=/team/canary/" in cookie
    assert "Secure" in cookie
    assert foreign == (403, True)
    assert set(codes.values()) == {200}
    assert set(outside.values()) == {404}


async def test_a_proxy_that_takes_its_prefix_away_needs_only_the_address(tmp_path: Path) -> None:
    """Served at the root, kept by browsers below the path outside."""
    setting = Setting(tmp_path / "receiver")
    async with receiving(setting, place=Place.of(OUTSIDE, "/")), aiohttp.ClientSession() as http:
        form = {"name": "Ada", "token": OPERATOR_TOKEN, "after": "/"}
        async with http.post(f"{setting.url}/page/sign-in", data=form, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "../"
            assert "Path=/team/canary/" in answer.headers["Set-Cookie"]


async def test_a_refusal_leads_back_whatever_the_prefix_is_called(tmp_path: Path) -> None:
    """To the page, by a relative way; a prefix that looks like the page's own path is not taken for it."""
    setting = Setting(tmp_path / "receiver")
    async with (
        receiving(setting, place=Place("/page/canary", "/page/canary/")),
        aiohttp.ClientSession() as http,
        http.get(f"{setting.url}/page/canary/page/no/such") as answer,
    ):
        found = await answer.text()

    assert '<base href="../../">' in found


async def test_the_page_is_live_behind_an_nginx_that_knows_nothing_of_it(tmp_path: Path) -> None:
    """It takes its prefix away and keeps nginx' own settings, buffers among them: what is decided is seen at once."""
    setting, port = Setting(tmp_path / "receiver"), free_port()
    proxy = f"server {{ listen 127.0.0.1:{port}; location /canary/ {{ proxy_pass {setting.url}/; }} }}"
    nginx = Nginx(tmp_path / "nginx", "127.0.0.1:1", "127.0.0.1:1", http=proxy)
    await nginx.start()
    try:
        async with (
            receiving(setting, place=Place.of(f"http://127.0.0.1:{port}/canary", "/")),
            aiohttp.ClientSession() as http,
            asyncio.timeout(20),
            http.get(f"http://127.0.0.1:{port}/canary/page/live") as stream,
        ):
            await stream.content.readuntil(b"\n\n")
            await order(setting, "start", canary="v2.0", stable="v1.0")
            while b"In progress" not in await stream.content.readuntil(b"\n\n"):
                pass
    finally:
        nginx.stop()
