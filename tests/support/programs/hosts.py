"""Hosts of a test's own: network namespaces, each joined to this machine by a cable of its own.

Where no namespace may be made (without root, in most containers) they are further addresses of this machine instead:
programs there have their own address and their own folder all the same, and only the cable is missing.
"""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.programs.processes import SEARCH_PATH

# Kept for benchmarks of networks: nobody's real addresses.
_NETWORK = "198.18"
_numbers = itertools.count()


@dataclass(frozen=True)
class Host:
    """Where programs run.

    Attributes:
        address: the host's own.
        way_back: this machine's address, as seen from the host.
        enter: what stands before a program's arguments, so that it runs there.
    """

    address: str = "127.0.0.1"
    way_back: str = "127.0.0.1"
    enter: Sequence[str] = ()


HERE = Host()


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts."""
    with contextlib.ExitStack() as stack:
        try:
            made = [stack.enter_context(_namespace(next(_numbers))) for _ in range(count)]
        except (OSError, subprocess.CalledProcessError):
            made = [Host(f"127.0.0.{number + 2}") for number in range(count)]
        yield made


@contextlib.contextmanager
def _namespace(number: int) -> Iterator[Host]:
    # Tests of several processes run at once; names of devices have at most 15 letters.
    name = f"cn{os.getpid()}x{number}"[-13:]
    # Four addresses for each cable.
    network, first = divmod((os.getpid() * 4 + number) * 4 % 65536, 256)
    near, far = (f"{_NETWORK}.{network}.{first + end}" for end in (1, 2))
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}-a", "type", "veth", "peer", "name", f"{name}-b", "netns", name)
        _ip("address", "add", f"{near}/30", "dev", f"{name}-a")
        _ip("link", "set", f"{name}-a", "up")
        _ip("-n", name, "address", "add", f"{far}/30", "dev", f"{name}-b")
        _ip("-n", name, "link", "set", f"{name}-b", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield Host(far, near, ("ip", "netns", "exec", name))
    finally:
        _ip("netns", "delete", name)  # and with it both ends of its cable


def _ip(*arguments: str) -> None:
    environment = {**os.environ, "PATH": SEARCH_PATH}
    subprocess.run(["ip", *arguments], check=True, capture_output=True, env=environment)
