"""The pages about routers: their policies load, and their commands do what the pages say, in order."""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canary.policy import load_policy
from canary.process.program import Outcome, run
from canary.routers import Router, Split, routers_of
from tests.support.programs.envoy import PROGRAM
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.processes import SEARCH_PATH, Program, listens
from tests.support.web.certificates import Authority

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```([\w -]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HALF = Split("r-7", 0.5)


class Page:
    """A page whose absolute paths are moved into a folder of the test's own, with its policy loaded."""

    def __init__(self, name: str, folder: Path, moves: dict[str, str]) -> None:
        text = (DOCS / name).read_text(encoding="utf-8")
        for old, new in moves.items():
            assert old in text, f"{name} no longer says {old}"
            text = text.replace(old, new)
        self.folder = folder
        self.blocks = [(match[1], match[2]) for match in BLOCK.finditer(text)]
        (folder / "canary.yaml").write_text(self.all("yaml")[0])

    def all(self, kind: str) -> list[str]:
        """All blocks of one kind."""
        return [text for found, text in self.blocks if found == kind]

    def router(self) -> Router:
        """The router of the page's policy."""
        return routers_of(load_policy(self.folder / "canary.yaml"))[0]

    async def command(self, number: int) -> Outcome:
        """Run one block of commands as a person would, in the page's folder."""
        block = self.all("sh")[number]
        return await run(("sh", "-e", "-c", f"cd '{self.folder}'\n{block}"), timeout_seconds=150)


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find `canary`, haproxy and nginx."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{SEARCH_PATH}")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts programs, and stops them."""
    started: list[Program] = []

    def launch(*argv: str | Path) -> Program:
        program = Program(argv, tmp_path / "program.log")
        program.launch()
        started.append(program)
        return program

    yield launch
    for program in started:
        program.stop()


async def until_listening(port: int) -> None:
    """Wait for a router's front."""
    async with asyncio.timeout(20):
        while not await listens(port):  # noqa: ASYNC110  # another process is awaited
            await asyncio.sleep(0.02)


async def test_the_haproxy_page(tmp_path: Path, start: Callable[..., Program]) -> None:
    """Generate, install and check as on the page; then see the weight and roll back with the page's commands."""
    port = free_port()
    (tmp_path / "run").mkdir()
    page = Page(
        "routers-haproxy.md",
        tmp_path,
        {"/run/haproxy": f"{tmp_path}/run", "/var/lib/kpi-canary": f"{tmp_path}/lib", '":80"': f'"127.0.0.1:{port}"'},
    )
    assert (await page.command(0)).fault == ""

    start("haproxy", "-W", "-db", "-f", tmp_path / "generated" / "router" / "haproxy.cfg")
    await until_listening(port)
    checked = await page.command(1)
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    router = page.router()
    await router.set_weight(HALF)
    shown = await page.command(2)
    assert "weight 5000" in shown.output
    (tmp_path / "named.yaml").write_text(page.all("yaml")[1])
    [cfg] = [
        text for name, text in routers_of(load_policy(tmp_path / "named.yaml"))[0].snippet().items() if "cfg" in name
    ]
    assert "acl canary_named path_beg /webhooks/" in cfg

    assert (await page.command(3)).fault == ""
    assert (await router.read()).weight_ratio == 0
    assert "\nweight 0\n" in (tmp_path / "lib" / "haproxy" / "canary.map").read_text()


async def test_the_envoy_page(tmp_path: Path, start: Callable[..., Program]) -> None:
    """Generate, validate and check as on the page; then see the weight and roll back with the page's commands."""
    port = free_port()
    moves = {"/run/envoy": f"{tmp_path}", "/etc/envoy": f"{tmp_path}", '":80"': f'"127.0.0.1:{port}"'}
    page = Page("routers-envoy.md", tmp_path, moves)
    validated = await page.command(0)
    assert (validated.fault, "OK" in validated.output) == ("", True)

    start(PROGRAM, "-c", tmp_path / "generated" / "router" / "envoy.yaml", "--disable-hot-restart", "-l", "warn")
    await until_listening(port)
    checked = await page.command(1)
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    (tmp_path / "asking.yaml").write_text(page.all("yaml")[1])
    (tmp_path / "canary-token").write_text("token-of-the-routers\n")
    Authority(tmp_path).certificate.rename(tmp_path / "ca.pem")
    asking = await page.command(2)
    assert (asking.fault, "OK" in asking.output) == ("", True)

    router = page.router()
    await router.set_weight(HALF)
    shown = await page.command(3)
    assert f'"final_value": "{HALF.salt}"' in shown.output

    assert (await page.command(4)).fault == ""
    assert (await router.read()).agrees(Split("r-7", 0))


async def test_the_nginx_page(tmp_path: Path, start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate, install and test as on the page; then see the weight and roll back with the page's commands."""
    port = free_port()
    page = Page(
        "routers-nginx.md",
        tmp_path,
        {
            "/run/kpi-canary/nginx": f"{tmp_path}/markers",
            "/etc/nginx/conf.d/canary.conf": f"{tmp_path}/canary.conf",
            'listen: "80"': f'listen: "127.0.0.1:{port}"',
        },
    )
    main = Nginx.main(tmp_path)
    (tmp_path / "nginx.conf").write_text(main)
    nginx = tmp_path / "bin" / "nginx"
    nginx.parent.mkdir()
    nginx.write_text(f'#!/bin/sh\nexec /usr/sbin/nginx -e "{tmp_path}/error.log" -c "{tmp_path}/nginx.conf" "$@"\n')
    nginx.chmod(0o755)
    monkeypatch.setenv("PATH", f"{nginx.parent}:{Path(sys.executable).parent}:{SEARCH_PATH}")
    assert (await page.command(0)).fault == ""

    start(nginx)
    await until_listening(port)
    checked = await page.command(1)
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    router = page.router()
    await router.set_weight(HALF)
    shown = await page.command(2)
    assert len(shown.output.split()) == 51

    assert (await page.command(3)).fault == ""
    assert (await router.read()).weight_ratio == 0


async def test_the_page_about_other_routers(tmp_path: Path) -> None:
    """Both example programs work as they stand, and get and print what the page says."""
    page = Page("routers-other.md", tmp_path, {"/usr/local/bin": str(tmp_path), "/var/lib/kpi-canary": str(tmp_path)})
    for kind, text in page.blocks:
        if kind.startswith("python "):
            program = tmp_path / kind.removeprefix("python ")
            program.write_text(text)
            program.chmod(0o755)
    router = page.router()
    await router.set_weight(HALF)

    assert (await router.read()).agrees(HALF)
    given, printed = (json.loads(text) for text in page.all("json"))
    split = Split(given["rollout"], given["weight"])
    assert split.salt == given["salt"] == printed["salt"]

    (tmp_path / "caddy.yaml").write_text(page.all("yaml")[1])
    assert [router.name for router in routers_of(load_policy(tmp_path / "caddy.yaml"))] == ["caddy"]
    for text, names in zip(page.all("yaml")[2:], (["edge1", "edge2"], ["front", "cdn"]), strict=True):
        (tmp_path / "several.yaml").write_text(text)
        assert [router.name for router in routers_of(load_policy(tmp_path / "several.yaml"))] == names
