"""The tag: the word by which a router says which side served a request, in a header that the shop's platform stores.

Most platforms keep a header with each order: the user agent, the chain of addresses. Two lines of the router's
configuration put a word behind it, and the order's own row then says where its customer was. The word names the side
and not the version, because a router's configuration stays as it is while versions come and go, and nginx could not
learn a new one without a reload; the journal says afterwards which version a side had at the order's moment.

What a client sends in that header stays. A client that sends the word of the other side has both of them stored, and
such a row is read as unknown: nobody can be counted for a version that did not serve them.

The side is the one that the router chose, also where a dead canary's customer was served by stable in its place.
"""

from dataclasses import replace
from typing import Final, Literal

from canary.errors import RouterError
from canary.policy.model import Policy
from canary.policy.routers.kinds import router_kinds
from canary.policy.routers.sections import HaproxyRouter, NginxRouter
from canary.policy.values.scalars import UnfitError
from canary.policy.values.types import TAG_HEADER

Side = Literal["stable", "canary"]

TAGS: Final[dict[Side, str]] = {"stable": "kpi-canary/stable", "canary": "kpi-canary/canary"}
"""In the form of a product of a user agent (RFC 9110), so that what reads user agents passes over it."""

NGINX_SIDE: Final = (
    f"map $canary_variant $canary_tag {{ default {TAGS['stable']}; canary {TAGS['canary']}; "
    f"~^trial- {TAGS['canary']}; }}\n"
)
"""For nginx' http level. Of slots, only the one that is not the recorded stable slot goes by the name `trial`."""


def is_forwarded(header: str | None) -> bool:
    """Whether it is the one header that the generated configurations write anyway, with commas between its parts."""
    return header is not None and header.lower() == "x-forwarded-for"


def haproxy_line(header: str | None, side: Side) -> str:
    """The line for one of HAProxy's backends; nothing where no header is tagged."""
    if header is None:
        return ""
    if is_forwarded(header):
        return f'    http-request add-header X-Forwarded-For "%[src], {TAGS[side]}"\n'
    # Blanks before a header's value are none of it, so that one that was not sent needs no line of its own.
    return f'    http-request set-header {header} "%[req.fhdr({header})] {TAGS[side]}"\n'


def nginx_line(header: str) -> str:
    """The line for nginx' location, but for X-Forwarded-For, which has one there already."""
    return f'        proxy_set_header {header} "$http_{header.lower().replace("-", "_")} $canary_tag";\n'


def with_tag(policy: Policy, header: str) -> Policy:
    """The policy, with the tag in the configuration of each router that can write it.

    Raises:
        RouterError: none of them can, or no word may be put behind that header.
    """
    try:
        TAG_HEADER.read(header)
    except UnfitError as error:
        raise RouterError(error.what, place="--tag-header", remedy=error.remedy) from error
    if not any(isinstance(router, HaproxyRouter | NginxRouter) for router in policy.router):
        raise RouterError(
            "only the configurations of HAProxy and nginx can write a tag",
            place="router",
            remedy=f"append {TAGS['stable']} or {TAGS['canary']} to the header by your router's own means",
        )
    routers = tuple(
        replace(router, tag_header=header) if isinstance(router, HaproxyRouter | NginxRouter) else router
        for router in policy.router
    )
    for router in routers:
        for key, what, remedy in router_kinds().usable[router.kind].faults(router):
            if key == "tag_header":
                raise RouterError(f"{header} {what}", place="--tag-header", remedy=remedy)
    return replace(policy, router=routers)
