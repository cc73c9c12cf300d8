"""Somebody else reloads HAProxy at the moment of a switch: the share in force is right again at once."""

import time
from pathlib import Path

from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import Setting, in_state, order, receiving, router_section, until
from tests.support.web.traffic import Customer

PHASES = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
USERS = [f"u{number}" for number in range(20)]

# After a change HAProxy is looked at twice a second for ten seconds. A reload that takes longer proves nothing here.
PROVES_SECONDS = 8.0


async def versions(haproxy: HAProxy) -> set[str]:
    """By which versions new customers are served."""
    return {(await Customer(haproxy.port, user).ask()).version for user in USERS}


async def test_a_worker_that_had_read_the_old_map_does_not_keep_it(tmp_path: Path, haproxy: HAProxy) -> None:
    """It comes up with half of the customers on the canary after the rollback; nobody waits for `reconcile`."""
    changes = {"phases": PHASES, "receiver": {"reconcile": "5m"}}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with receiving(setting):
        for version in range(2, 12):
            await order(setting, "start", canary=f"v{version}.0", stable="v1.0", force=True, again=True)
            await until(setting, "half of the customers", lambda found: found["settled"])
            read_before = haproxy.map.read_bytes()
            began = time.monotonic()
            await order(setting, "rollback", reason="test")
            await until(setting, "rolled back", in_state("rolled_back"))
            rolled_back = haproxy.map.read_bytes()
            haproxy.map.write_bytes(read_before)
            await haproxy.reload()
            haproxy.map.write_bytes(rolled_back)
            if time.monotonic() - began < PROVES_SECONDS:
                break
        else:
            raise AssertionError(f"no reload of HAProxy took less than {PROVES_SECONDS} s")

        async def right_again() -> bool:
            return await versions(haproxy) == {"stable"}

        await eventually(right_again, "everybody on stable, long before the next look of `reconcile`", 120)
        assert (await haproxy.router.read()).weight_ratio == 0
