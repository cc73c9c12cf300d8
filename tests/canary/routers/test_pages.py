"""The pages about routers: their policies load, and their commands do what the pages say, in order."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canary.policy import load_policy
from canary.process.program import Outcome, run
from canary.routers import Router, Split, routers_of
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.programs.envoy import PROGRAM
from tests.support.programs.nginx import Nginx
from tests.support.programs.ports import free_port
from tests.support.programs.processes import SEARCH_PATH, Program, listens
from tests.support.web.certificates import Authority

HALF = Split("r-7", 0.5)


class Page:
    """A page whose absolute paths are moved into a folder of the test's own, with its first policy loaded.

    Blocks are taken by words that stand in them; what is `left` at the end of a test nobody has tried.
    """

    def __init__(self, name: str, folder: Path, moves: dict[str, str], policy: str) -> None:
        text = (DOCS / name).read_text(encoding="utf-8")
        for old, new in moves.items():
            assert old in text, f"{name} no longer says {old}"
            text = text.replace(old, new)
        self.folder = folder
        (folder / "page.md").write_text(text, encoding="utf-8")
        self.left = [block for block in blocks_of(folder / "page.md") if block.language != "text"]
        (folder / "canary.yaml").write_text(self.take("yaml", policy))

    def take(self, language: str, words: str) -> str:
        """The one block in that language, of those that are left, that has these words."""
        [found] = [block for block in self.left if block.language == language and words in block.text]
        self.left.remove(found)
        return found.text

    def routers(self, policy: str = "canary.yaml") -> tuple[Router, ...]:
        """The routers of a policy of the page's."""
        return routers_of(load_policy(self.folder / policy))

    async def command(self, words: str) -> Outcome:
        """Run the block of commands with these words as a person would, in the page's folder."""
        block = self.take("sh", words)
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
        "listen:",
    )
    assert (await page.command("canary generate")).fault == ""

    start("haproxy", "-W", "-db", "-f", tmp_path / "generated" / "router" / "haproxy.cfg")
    await until_listening(port)
    checked = await page.command("canary check")
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    [router] = page.routers()
    await router.set_weight(HALF)
    shown = await page.command("show map")
    assert "weight 5000" in shown.output
    (tmp_path / "named.yaml").write_text(page.take("yaml", "/webhooks/"))
    [named] = page.routers("named.yaml")
    assert "acl canary_named path_beg /webhooks/" in named.snippet()["haproxy.cfg"]

    assert (await page.command("set map")).fault == ""
    assert (await router.read()).weight_ratio == 0
    assert "\nweight 0\n" in (tmp_path / "lib" / "haproxy" / "canary.map").read_text()
    assert page.left == []


async def test_the_envoy_page(tmp_path: Path, start: Callable[..., Program]) -> None:
    """Generate, validate and check as on the page; then see the weight and roll back with the page's commands."""
    port = free_port()
    moves = {"/run/envoy": f"{tmp_path}", "/etc/envoy": f"{tmp_path}", '":80"': f'"127.0.0.1:{port}"'}
    page = Page("routers-envoy.md", tmp_path, moves, "admins:")
    validated = await page.command("--output generated")
    assert (validated.fault, "OK" in validated.output) == ("", True)

    start(PROGRAM, "-c", tmp_path / "generated" / "router" / "envoy.yaml", "--disable-hot-restart", "-l", "warn")
    await until_listening(port)
    checked = await page.command("canary check")
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    (tmp_path / "asking.yaml").write_text(page.take("yaml", "instances:"))
    (tmp_path / "canary-token").write_text("token-of-the-routers\n")
    Authority(tmp_path).certificate.rename(tmp_path / "ca.pem")
    asking = await page.command("--output asking")
    assert (asking.fault, "OK" in asking.output) == ("", True)

    [router] = page.routers()
    await router.set_weight(HALF)
    shown = await page.command("/runtime?")
    assert f'"final_value": "{HALF.salt}"' in shown.output

    assert (await page.command("/runtime_modify?")).fault == ""
    assert (await router.read()).agrees(Split("r-7", 0))
    assert page.left == []


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
        "kind: nginx",
    )
    main = Nginx.main(tmp_path)
    (tmp_path / "nginx.conf").write_text(main)
    nginx = tmp_path / "bin" / "nginx"
    nginx.parent.mkdir()
    nginx.write_text(f'#!/bin/sh\nexec /usr/sbin/nginx -e "{tmp_path}/error.log" -c "{tmp_path}/nginx.conf" "$@"\n')
    nginx.chmod(0o755)
    monkeypatch.setenv("PATH", f"{nginx.parent}:{Path(sys.executable).parent}:{SEARCH_PATH}")
    assert (await page.command("canary generate")).fault == ""

    start(nginx)
    await until_listening(port)
    checked = await page.command("canary check")
    assert checked.fault == ""
    assert "can be switched; in force:" in checked.output

    [router] = page.routers()
    await router.set_weight(HALF)
    shown = await page.command("ls ")
    assert len(shown.output.split()) == 51

    assert (await page.command("rm -f")).fault == ""
    assert (await router.read()).weight_ratio == 0
    assert page.left == []


async def test_the_page_about_other_routers(tmp_path: Path) -> None:
    """Both example programs work as they stand, and get and print what the page says."""
    moves = {"/usr/local/bin": str(tmp_path), "/var/lib/kpi-canary": str(tmp_path)}
    page = Page("routers-other.md", tmp_path, moves, "networks:")
    for program, words in (("set-weight", "json.load"), ("read-weight", "print(open")):
        (tmp_path / program).write_text(page.take("python", words))
        (tmp_path / program).chmod(0o755)
    [router] = page.routers()
    await router.set_weight(HALF)

    assert (await router.read()).agrees(HALF)
    given, printed = (json.loads(page.take("json", words)) for words in ('"rollout"', '"testers": true'))
    split = Split(given["rollout"], given["weight"])
    assert split.salt == given["salt"] == printed["salt"]

    for words, names in (
        ("caddy", ["caddy"]),
        ("name: edge2", ["edge1", "edge2"]),
        ("own-envoy", ["own-envoy"]),
        ("name: cdn", ["front", "cdn"]),
    ):
        (tmp_path / "further.yaml").write_text(page.take("yaml", words))
        assert [router.name for router in page.routers("further.yaml")] == names
    assert page.left == []
