"""Two equal groups of servers that change roles: the same stories, in a shop with `router.slots`.

Nothing is deployed to finish a release there, nobody moves, and the next one goes to the other group. Every fault of a
seed then meets routers whose number means another thing after each finished release: one that is restarted with an old
number, or with none, sends everybody to the servers of the version before last.
"""

from dataclasses import replace

from canary.policy.release import Upstreams
from canary.policy.routers.sections import CommandRouter
from canary.policy.routers.slots import Slot, Slots
from canary.routers.base import Split
from simulation.stories.story import CANARY, STABLE, Story


def with_slots(story: Story) -> Story:
    """The story in such a shop; slot a is the stable one at first."""
    policy = story.policy
    slots = Slots(a=(STABLE,), b=(CANARY,))
    router = tuple(
        replace(one, upstreams=Upstreams(), slots=slots) for one in policy.router if isinstance(one, CommandRouter)
    )
    process = replace(policy.process, stop=("true", "{slot}"), deploy_stable=())
    return replace(story, policy=replace(policy, router=router, process=process))


def seen_from(split: Split, stable: Slot | None) -> Split:
    """The same division of traffic, said as where *stable* is the stable slot; slot a is, where none is recorded."""
    if stable is None or (split.stable_slot or "a") == stable:
        return split
    return replace(split, weight_ratio=round(1 - split.weight_ratio, 6), testers_alone=False, stable_slot=stable)
