"""Requests by which nobody visits a shop: they are given no cookie, and so never become a customer.

A crawler keeps no cookie. Were it given one with each request, each would be a new customer who never buys anything,
and on both sides there would be thousands of them; what a browser asks for beforehand (`OPTIONS`, a prefetch) is no
visit either. So whoever has no cookie and is one of these gets none, and is served by stable until everybody is on the
canary. Who has a cookie is a customer, whatever his browser asks for. A new customer who is taken for a robot by
mistake loses nothing but his part in the comparison.
"""

from typing import Final

USER_AGENTS: Final = (
    "(^|[^u])bot([^a-z]|$)|crawler|spider|slurp|facebookexternalhit|pingdom|uptime|lighthouse|headlesschrome"
)
"""In any case, a part of the header `User-Agent`; for PCRE, RE2 and POSIX alike. (Cubot is a maker of telephones.)"""

PREFETCH: Final = "prefetch"
"""In any case, a part of one of these headers."""

PURPOSES: Final = ("Sec-Purpose", "Purpose", "X-Moz")
"""Where browsers say that they ask beforehand."""
