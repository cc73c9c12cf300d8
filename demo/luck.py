"""Seeded randomness: the same seed gives the same customers and the same luck."""

from random import Random


def luck(*seed: object) -> Random:
    """A generator of its own for each thing that needs one, so that their order of asking changes nothing."""
    return Random(" ".join(map(str, seed)))  # noqa: S311 - it draws customers, not secrets
