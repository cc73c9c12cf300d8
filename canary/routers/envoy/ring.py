"""Which users Envoy sends to the canary: an arc of a ring, as weights of four clusters.

Envoy's hash of a user (xxHash64, modulo the sum of the weights) is a fixed place on a ring of 10,000; a weighted
cluster has the places from the sum of the weights before it to its own end. The hash has no salt that could be changed
without a new configuration. But where the canary's arc *begins* can be: the rollout's salt chooses that place, and the
arc grows from there, over the ring's end to its beginning. So the canary needs two weights, and stable what is between:

    0 ... | canary-b | stable-a | canary-a | stable-b | ... 10,000
                                ^ begin

Growing only ever lengthens the arc, and another rollout begins with other users. Two rollouts share as many of their
first users as chance would have them share, but only on average: users who are neighbours on the ring stay neighbours,
so that it is either most or none. Routes for many prefixes, each with a hash of its own, would even that out for some
hundred lines of configuration; that was not thought worth it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import xxhash

from canary.routers.base import Split

PLACES: Final = 10_000
"""The ring's size, and the sum of the weights: hundredths of a percent, the finest weight that a policy can write."""

CLUSTERS: Final = ("canary-b", "stable-a", "canary-a", "stable-b")
"""The weighted clusters, in the order in which Envoy lays them out."""


@dataclass(frozen=True, slots=True)
class Arc:
    """The canary's part of the ring.

    Attributes:
        begin: the first place.
        length: how many places.
    """

    begin: int
    length: int

    @classmethod
    def of(cls, split: Split) -> Self:
        """The arc that puts *split* into force."""
        return cls(split.salt % PLACES, round(split.weight_ratio * PLACES))

    @property
    def weights(self) -> Mapping[str, int]:
        """The weights of the four clusters."""
        over_the_end = max(0, self.begin + self.length - PLACES)
        before = self.length - over_the_end
        weights = (over_the_end, self.begin - over_the_end, before, PLACES - self.begin - before)
        return dict(zip(CLUSTERS, weights, strict=True))

    def holds(self, user_id: str) -> bool:
        """Whether a user's place is in it."""
        place = int(xxhash.xxh64_intdigest(user_id.encode(errors="surrogateescape"))) % PLACES
        return (place - self.begin) % PLACES < self.length
