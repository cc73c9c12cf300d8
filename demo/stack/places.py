"""Where the demo's parts live: files in one folder, servers on free ports of 127.0.0.1.

No port is fixed: two demos, or a demo on a machine that has a Prometheus already, do not meet.
"""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

# One port each; `front` is HAProxy.
_PARTS = ("front", "stable", "canary", "prometheus", "alertmanager", "exporter", "receiver", "team")
# Below the range from which the kernel takes the ports of outgoing connections.
_PORTS = range(4_000, 12_000)


@dataclass(frozen=True)
class Places:
    """One folder and one port for each part.

    HAProxy's socket has the folder's path in its address, which may not be longer than about 100 characters.
    """

    folder: Path
    ports: dict[str, int]

    @classmethod
    def choose(cls, folder: Path, more: Sequence[str] = ()) -> "Places":
        """Take free ports, for *more* parts too; they are held together, so that no two parts get the same."""
        random, parts = SystemRandom(), (*_PARTS, *more)
        ports: dict[str, int] = {}
        with ExitStack() as held:
            while len(ports) < len(parts):
                candidate = held.enter_context(socket.socket())
                port = random.choice(_PORTS)
                try:
                    candidate.bind(("127.0.0.1", port))
                except OSError:
                    continue
                ports[parts[len(ports)]] = port
        return cls(folder, ports)

    def address(self, part: str) -> str:
        """`127.0.0.1:PORT` of a part."""
        return f"127.0.0.1:{self.ports[part]}"

    def url(self, part: str) -> str:
        """`http://127.0.0.1:PORT` of a part."""
        return f"http://{self.address(part)}"

    def file(self, name: str) -> Path:
        """A file or folder of the demo."""
        return self.folder / name
