"""The real routers and the one in memory, told the same, show the same."""

from canary.routers import Observation, Split
from canary.testing.contract import router_contract
from canary.testing.routers import MemoryRouter
from tests.canary.routers.conftest import Front


async def test_a_real_router_shows_what_the_one_in_memory_shows(front: Front) -> None:
    """HAProxy and nginx keep the contract, and each look at them is the look at a `MemoryRouter`."""
    real: list[tuple[Split, Observation]] = []
    modelled: list[tuple[Split, Observation]] = []
    await router_contract(front.router, lambda split, seen: real.append((split, seen)))
    memory = MemoryRouter("memory")
    await router_contract(memory, lambda split, seen: modelled.append((split, seen)))

    def bare(looks: list[tuple[Split, Observation]]) -> list[tuple[Split, float | None, int | None, bool | None]]:
        return [
            # nginx has no markers at a weight of 0, and so does not say whose weight was lowered.
            (split, reading.weight_ratio, reading.salt if reading.weight_ratio else None, reading.testers)
            for split, seen in looks
            for reading in seen.readings
        ]

    assert bare(real) == bare(modelled)
