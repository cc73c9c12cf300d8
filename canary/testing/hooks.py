"""What a stand-in calls around whatever is done to it."""

from collections.abc import Awaitable, Callable

Hook = Callable[[str], Awaitable[None]]
"""Told the operation; may wait, raise the error of the part that is stood for, or never come back."""


async def calm(_operation: str) -> None:
    """Nothing comes in between."""
