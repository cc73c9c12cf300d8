"""Real routers in front of two small upstreams, and a team that is told."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.receiving.receiver import Setting, Team, router_section
from tests.support.web.traffic import Upstream
from tests.support.web.upstreams import canary, stable

__all__ = ["canary", "stable"]  # fixtures


@pytest.fixture
async def haproxy(tmp_path: Path, stable: Upstream, canary: Upstream) -> AsyncIterator[HAProxy]:
    """A running HAProxy with everybody on stable."""
    made = HAProxy(tmp_path / "haproxy", stable.address, canary.address)
    with contextlib.ExitStack() as stack:
        stack.callback(made.stop)
        await made.start()
        yield made


@pytest.fixture
async def nginx(tmp_path: Path, stable: Upstream, canary: Upstream) -> AsyncIterator[Nginx]:
    """A running nginx with everybody on stable."""
    made = Nginx(tmp_path / "nginx", stable.address, canary.address)
    with contextlib.ExitStack() as stack:
        stack.callback(made.stop)
        await made.start()
        yield made


@pytest.fixture
async def team() -> AsyncIterator[Team]:
    """A team that takes messages."""
    async with Team().listening() as listening:
        yield listening


@pytest.fixture
def told(tmp_path: Path, team: Team) -> dict[str, Any]:
    """The policy's `notify` section that reaches the team."""
    urls = tmp_path / "notify-urls"
    urls.write_text(team.url)
    return {"urls_file": str(urls), "timeout": "2s"}


@pytest.fixture
def setting(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any]) -> Setting:
    """A policy in front of the running HAProxy, with a team."""
    return Setting(tmp_path / "receiver", [router_section(haproxy)], {"notify": told})
