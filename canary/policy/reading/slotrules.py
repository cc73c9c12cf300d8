"""What `router.slots` asks of the rest of a policy: nothing may be called after a role that a slot can lose."""

from collections.abc import Iterator

from canary.policy.model import Policy
from canary.policy.reading.references import At, Inconsistency
from canary.policy.release import Process
from canary.policy.routers.sections import HaproxyRouter, NginxRouter
from canary.policy.routers.slots import IN_NAMES, slots_of

# Emptied at every boot; with slots the record of the stable one must survive that.
_VOLATILE = ("/run/", "/var/run/")


def slot_faults(policy: Policy) -> Iterator[Inconsistency]:
    """Every place where slots and fixed roles contradict one another."""
    yield from _programs(policy)
    if not policy.slots:
        return
    for index, router in enumerate(policy.router):
        yield from _router(("router", index), router)
    if policy.process.deploy_stable:
        what = "with `router.slots` nothing is deployed to finish a release: the two slots change roles"
        yield ("process", "deploy_stable"), what, "leave it out"
    if policy.signals.preset == "haproxy":
        what = "HAProxy's own series know slots, and not which of them is the canary's"
        yield ("signals", "preset"), what, "take series of the shop that have a version label"


def _router(at: At, router: object) -> Iterator[Inconsistency]:
    slots = slots_of(router)
    if slots is None:
        yield at, "another router has `slots`, and this one has fixed roles", "give every router the same two slots"
        return
    upstreams = getattr(router, "upstreams", None)
    if upstreams is not None and (upstreams.stable or upstreams.canary):
        yield (*at, "upstreams"), "says which servers are the canary's, and with `slots` that changes", "leave it out"
    for address in sorted({*slots.a} & {*slots.b}):
        yield (*at, "slots", "b"), f"{address} is in slot a as well", "give each slot its own servers"
    if isinstance(router, HaproxyRouter) and not router.write_map:
        what = "with `slots` a restart of HAProxy must find the stable slot in the map's file"
        yield (*at, "write_map"), what, "let the receiver write it"
    if isinstance(router, NginxRouter):
        for number, directory in enumerate(router.directories):
            if directory.startswith(_VOLATILE):
                what = f"{directory} is emptied at every boot, and with `slots` holds which slot is stable"
                yield (*at, "directories", number), what, "name one below /var/lib"


def _programs(policy: Policy) -> Iterator[Inconsistency]:
    """A process belongs to a slot where there are slots, and to the canary where there are none."""
    process = policy.process
    words = {"name": (process.name,), "start": process.start, "stop": process.stop, "status": process.status}
    used = {key for key, texts in words.items() if any(IN_NAMES in text for text in texts)}
    if not policy.slots:
        for key in sorted(used):
            yield ("process", key), f"{IN_NAMES} stands for a slot, and no router has `slots`", "name the process"
        return
    needed = _naming(process)
    if needed and needed not in used:
        what = "is the same for both slots: a rollback would stop the process of whichever is stable"
        yield ("process", needed), what, f"write {IN_NAMES} where its letter belongs, as in `shop-{IN_NAMES}`"


def _naming(process: Process) -> str:
    """The key that says which process is stopped; empty where none is."""
    if process.kind == "none":
        return ""
    return "stop" if process.kind == "command" else "name"
