"""Free ports of 127.0.0.1 that no other test process is given at the same time."""

import fcntl
import itertools
import os
import random
import socket
import tempfile
from pathlib import Path

_LOCKS: list[int] = []
# One user cannot open what another has left there.
_FOLDER = Path(tempfile.gettempdir()) / f"kpi-canary-ports-{os.geteuid()}"

# Below the kernel's own range, from which outgoing connections take theirs.
_CANDIDATES = itertools.cycle(random.sample(range(12_000, 32_000), 20_000))


def free_port() -> int:
    """A port that nothing listens on, reserved for this process until it ends."""
    _FOLDER.mkdir(exist_ok=True)
    for port in itertools.islice(_CANDIDATES, 20_000):
        descriptor = os.open(_FOLDER / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", port))
        except OSError:
            os.close(descriptor)
            continue
        _LOCKS.append(descriptor)
        return port
    raise RuntimeError("no free port between 12000 and 32000 on 127.0.0.1")
