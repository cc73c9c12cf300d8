"""Real HAProxy, nginx and Envoy in front of two small upstreams."""

import contextlib
import errno
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.web.traffic import Upstream
from tests.support.web.upstreams import canary, stable

__all__ = ["canary", "stable"]  # fixtures

Front = HAProxy | Nginx | Envoy
MakeFront = Callable[..., Front]


@pytest.fixture
def make_haproxy(tmp_path: Path, stable: Upstream, canary: Upstream) -> Iterator[Callable[..., HAProxy]]:
    """Makes HAProxies in front of both versions, and stops them."""
    with contextlib.ExitStack() as stack:

        def make(folder: str = "haproxy", **keys: Any) -> HAProxy:
            made = HAProxy(tmp_path / folder, stable.address, canary.address, **keys)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def make_nginx(tmp_path: Path, stable: Upstream, canary: Upstream) -> Iterator[Callable[..., Nginx]]:
    """Makes nginxes in front of both versions, and stops them."""
    with contextlib.ExitStack() as stack:

        def make(folder: str = "nginx", **keys: Any) -> Nginx:
            made = Nginx(tmp_path / folder, stable.address, canary.address, **keys)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def make_envoy(tmp_path: Path, stable: Upstream, canary: Upstream) -> Iterator[Callable[..., Envoy]]:
    """Makes Envoys in front of both versions, and stops them."""
    with contextlib.ExitStack() as stack:

        def make(folder: str = "envoy", **keys: Any) -> Envoy:
            made = Envoy(tmp_path / folder, stable.address, canary.address, **keys)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture(params=["haproxy", "nginx", "envoy"])
def make_front(
    request: pytest.FixtureRequest,
    make_haproxy: Callable[..., HAProxy],
    make_nginx: Callable[..., Nginx],
    make_envoy: Callable[..., Envoy],
) -> MakeFront:
    """Makes the router that the test is about: each test runs once with each of these."""
    makes: dict[str, MakeFront] = {"haproxy": make_haproxy, "nginx": make_nginx, "envoy": make_envoy}
    return makes[request.param]


@pytest.fixture
async def front(make_front: MakeFront) -> Front:
    """A running router with everybody on stable."""
    made = make_front()
    await made.start()
    return made


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder, and a function after which no file can be created in it for want of space.

    A real small file system where mounting is allowed; elsewhere creating files fails as on one.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=400", "tmpfs", folder], capture_output=True, check=False
    )

    def fill_for_real() -> None:
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        with contextlib.suppress(OSError):
            for number in itertools.count():
                (folder / f"filler-{number}").touch()
        left = os.statvfs(folder)
        assert (left.f_bavail, left.f_favail) == (0, 0)

    def fill_for_show() -> None:
        def refuse(*arguments: object, **keys: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(tempfile, "mkstemp", refuse)
        monkeypatch.setattr(tempfile, "mkdtemp", refuse)

    yield folder, fill_for_show if mounting.returncode else fill_for_real
    if not mounting.returncode:
        subprocess.run(["umount", "--lazy", folder], check=True)
