"""The groups of servers in nginx' configuration, and how a request finds its own by the marker files.

With fixed roles these are `stable` and `canary`, in which stable's servers stand by. With slots either may be the
stable one, and has nobody to stand by then: each is there twice, as `slot-a` and, while it has the canary, `trial-a`.
"""

from canary.errors import RouterError
from canary.policy.routers.sections import NginxRouter
from canary.policy.routers.shared import Server

# For a policy without upstreams: the file is complete, and says that these two lines are examples.
_EXAMPLE_STABLE = ("127.0.0.1:5000",)
_EXAMPLE_CANARY = ("127.0.0.1:5001",)
_UPSTREAM = """\
upstream {name} {{
    zone {name} 64k;
{servers}
    keepalive 64;
}}

"""

_TRIAL = """\
upstream {name} {{
    zone {name} 64k;
{servers}
    # A dead canary's users are served by stable.
{spare}
    keepalive 64;
}}

"""

_CHOICE = """\
    set $canary_variant stable;
    set $canary_tester_mark "";
    if (-f {directory}/active/$canary_marker) {{
        set $canary_variant canary;
        set $canary_tester_mark $canary_tester;
    }}"""

# Each bucket has a marker that says its slot, and none of both means the recorded stable slot: see `markers`.
_SLOT_CHOICE = """\
    set $canary_stable a;
    if (-f {directory}/stable-b) {{
        set $canary_stable b;
    }}
    set $canary_slot $canary_stable;
    if (-f {directory}/active/a-$canary_marker) {{
        set $canary_slot a;
    }}
    if (-f {directory}/active/$canary_marker) {{
        set $canary_slot b;
    }}
    set $canary_variant slot-a;
    set $canary_tester_mark "";
    if ($canary_slot = b) {{
        set $canary_variant slot-b;
    }}
    set $canary_roles "$canary_stable$canary_slot";
    if ($canary_roles = ba) {{
        set $canary_variant trial-a;
        set $canary_tester_mark $canary_tester;
    }}
    if ($canary_roles = ab) {{
        set $canary_variant trial-b;
        set $canary_tester_mark $canary_tester;
    }}"""


def choice(section: NginxRouter, directory: str) -> str:
    """How a request's upstream is chosen by the markers below *directory*."""
    return (_CHOICE if section.slots is None else _SLOT_CHOICE).format(directory=directory)


def upstreams(section: NginxRouter) -> str:
    """The blocks `upstream`.

    Raises:
        RouterError: an address cannot be written in nginx' configuration.
    """
    slots = section.slots
    if slots is None:
        stable = section.upstreams.stable or _EXAMPLE_STABLE
        return _plain(section, "stable", stable) + _trial(
            section, "canary", section.upstreams.canary or _EXAMPLE_CANARY, stable
        )
    plain = _plain(section, "slot-a", slots.a) + _plain(section, "slot-b", slots.b)
    return plain + _trial(section, "trial-a", slots.a, slots.b) + _trial(section, "trial-b", slots.b, slots.a)


def _plain(section: NginxRouter, name: str, addresses: tuple[str, ...]) -> str:
    return _UPSTREAM.format(name=name, servers=_servers(section, name, addresses))


def _trial(section: NginxRouter, name: str, addresses: tuple[str, ...], spares: tuple[str, ...]) -> str:
    return _TRIAL.format(
        name=name,
        servers=_servers(section, name, addresses, " max_fails=1 fail_timeout=1s"),
        spare=_servers(section, name, spares, " backup"),
    )


def _servers(section: NginxRouter, name: str, addresses: tuple[str, ...], words: str = "") -> str:
    """Lines of an upstream, each with what the policy says of the server besides."""
    lines = []
    for address in addresses:
        server = section.servers.get(address, Server())
        weight = f" weight={server.weight}" if server.weight is not None else ""
        options = f" {server.options}" if server.options else ""
        written = word(section, f"servers of {name}", address)
        lines.append(f"    server {written}{weight}{options}{words};")
    return "\n".join(lines)


def word(section: NginxRouter, key: str, text: str) -> str:
    """A text that stands in the configuration as one word, as written.

    Raises:
        RouterError: it is more than one.
    """
    if not text or any(character.isspace() or character in "\"'\\#$;{}" for character in text):
        raise RouterError(
            f"expected one word without blanks, quotes or any of `\\#$;{{}}`, found {text!r}",
            place=f"router {section.name}: {key}",
        )
    return text
