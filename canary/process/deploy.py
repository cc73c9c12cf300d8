"""Bringing the new version to the stable servers, by the user's own program.

It runs at least once: a receiver that is killed while it runs, or before its end is written down, runs it again. So it
must be harmless when repeated, and its exit status is only half of the answer: what the servers run is asked of them.
"""

import json
from typing import Protocol

from canary.errors import ProcessError
from canary.policy.release import Process
from canary.process.program import run
from canary.rollout.state import Rollout


class Deploys(Protocol):
    """Brings the new version to the stable servers.

    Attributes:
        configured: whether it can at all.
    """

    configured: bool

    async def run(self, rollout: Rollout) -> None:
        """Deploy the version of the rollout's canary.

        Raises:
            ProcessError: it failed.
        """
        ...


class StableDeployment:
    """Runs `process.deploy_stable`.

    Attributes:
        configured: whether the policy names a program at all.
    """

    def __init__(self, section: Process) -> None:
        self.configured = bool(section.deploy_stable)
        self._section = section

    async def run(self, rollout: Rollout) -> None:
        """Run it once, to its end; it gets `{"rollout", "version", "replaces"}` on its standard input.

        Raises:
            ProcessError: it failed, or did not end in time.
        """
        wanted = {"rollout": rollout.id, "version": rollout.canary, "replaces": rollout.stable}
        section = self._section
        outcome = await run(section.deploy_stable, timeout_seconds=section.deploy_timeout, stdin=json.dumps(wanted))
        if outcome.fault:
            raise ProcessError(outcome.fault, place="process.deploy_stable")
