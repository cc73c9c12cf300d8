"""Several exporters behind one address: each with its own database, counters and judgement.

They share the process that answers scrapes; what each one reads and judges is in a process of its own, so that none
pays for another. docs/operate/several-services.md says how many fit a core.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from canary import names
from canary.fleet.front import member_options, serve_several
from canary.logs import configured
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.web.options import WebOptions
from canary.web.service import Service
from exporter.publish.statefile import StateFile
from exporter.service import Exporter
from exporter.worker.order import Order
from exporter.worker.process import Worker


async def serve_all(paths: Sequence[Path], options: WebOptions, state_file: str, memory_bytes: int) -> None:
    """Run one exporter for each policy of several files and folders until SIGTERM or SIGINT.

    Args:
        state_file: as for one exporter; each has a file of its own next to that name.
        memory_bytes: how much each service's process may take.

    Raises:
        CanaryError: an address, or the web configuration, is faulty.
    """

    @asynccontextmanager
    async def opening(path: Path, policy: Policy) -> AsyncIterator[Service]:
        order = Order(path, own_state_file(policy, state_file), memory_bytes, *configured())
        exporter = Exporter(
            Worker(partial(load_policy, path), order),
            member_options(options, policy.service),
            registry=CollectorRegistry(auto_describe=True),
        )
        async with exporter.refreshing():
            yield exporter.web

    await serve_several("exporter", paths, opening, options, parts=[names.VERDICTS_PATH])


def own_state_file(policy: Policy, state_file: str) -> str:
    """A service's own file of counters: NAME-SERVICE.json next to NAME.json.

    A service that an exporter of its own served before goes on with that one's file.
    """
    path = Path(state_file)
    if StateFile(Path(policy.base) / path, policy.service).ours():
        return state_file
    return str(path.with_name(f"{path.stem}-{policy.service}{path.suffix}"))
