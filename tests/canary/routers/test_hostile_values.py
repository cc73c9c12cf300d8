"""Whatever a policy says of a router, the generated configuration has the same lines: no value ends one or adds one."""

import functools
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import crossplane
import pytest
from pydantic import TypeAdapter, ValidationError

from canary.errors import RouterError
from canary.policy.routers.kinds import router_kinds
from canary.threads import OwnThread

SERVERS: Final = ("10.0.0.1:80", "10.0.0.2:80")
# Without `extra` and a server's `options`: lines and words of the policy's owner, which are taken over as they are.
SHARED: Final[Mapping[str, Any]] = {
    "name": "edge",
    "key": "user_id",
    "listen": "127.0.0.1:80",
    "server_names": ["shop.example"],
    "servers": {SERVERS[0]: {"weight": 2}},
    "tls": {"listen": ":443", "certificate": "/etc/shop.pem", "key": "/etc/shop.key"},
    "proxy_protocol": ["10.1.0.0/16"],
    "tag_header": "user-agent",
    "upstreams": {"stable": [SERVERS[0]], "canary": [SERVERS[1]]},
    "testers": {
        "networks": ["10.2.0.0/16"],
        "metrics": "http://127.0.0.1:9878/services/shop",
        "header": "X-Team: inside",
        "cookie": "team=inside",
    },
    "without_customer": {"paths": ["/webhooks/"], "headers": ["Stripe-Signature"]},
}
ROUTERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "haproxy": {
        **SHARED,
        "kind": "haproxy",
        "sockets": ["/run/haproxy/canary.sock", "tcp:127.0.0.1:9999"],
        "map": "/etc/haproxy/canary.map",
        "user": "haproxy",
        "log": "127.0.0.1:514",
    },
    "nginx": {**SHARED, "kind": "nginx", "directories": ["/run/kpi-canary"], "log": "/var/log/canary.log"},
}
# What ends a word, a line, a block or a text, starts a comment, or is replaced, in either of the two.
PAYLOADS: Final = (
    *(
        "#evil",
        ";evil",
        "; evil on;",
        " evil",
        "\tevil",
        "\nevil",
        "\r\n    evil",
        "\x0bevil",
        "\x85evil",
        "\u2028evil",
    ),
    *('"evil', "'evil", "\\", "}evil{", "{evil}", "$evil", "${evil}", "%[evil]", "%{evil}", ")evil(", ",evil"),
    *("\xa0evil", "\x00", "`evil`", "|evil", " # evil", '" evil "'),
)


def _texts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every text of a section, with its place."""
    if isinstance(value, str):
        yield value, place
    elif isinstance(value, list | Mapping):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            if key != "kind":
                yield from _texts(inner, (*place, key))


def _put(section: Any, place: tuple[Any, ...], text: str) -> Any:
    """The section with another text there."""
    if not place:
        return text
    key, *rest = place
    changed = dict(section) if isinstance(section, Mapping) else list(section)
    changed[key] = _put(section[key], tuple(rest), text)
    return changed


@functools.cache
def _reader(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(router_kinds().usable[kind].section)


def _generated(section: Mapping[str, Any]) -> str | None:
    """The configuration; None when the policy or the generator refuses a value."""
    kind = router_kinds().usable[section["kind"]]
    try:
        files = kind.driver(_reader(section["kind"]).validate_python(section), OwnThread).snippet()
    except (ValidationError, RouterError):
        return None
    return str(next(text for name, text in files.items() if name.endswith((".cfg", ".conf"))))


def _haproxys_words(text: str, _folder: Path) -> list[tuple[int, str]]:
    """How many words each line has for HAProxy, and what is no name, number or quote in it."""
    odd = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return [(len(shlex.split(line, comments=True)), "".join(c for c in line if c in "#{}()[]%\\\"'")) for line in odd]


def _nginxs_words(text: str, folder: Path) -> list[Any]:
    """What nginx' own parser makes of it: each directive, with how many words it has, and its block."""
    file = folder / "nginx.conf"
    file.write_text(f"http {{\n{text}\n}}\n", encoding="utf-8")
    payload = crossplane.parse(str(file), check_ctx=False, check_args=False, onerror=repr)
    assert payload["status"] == "ok", payload["errors"]

    def shape(block: list[dict[str, Any]]) -> list[Any]:
        # In a `map` and its like the directives are values themselves.
        return [(len(one["args"]), one["directive"].startswith("$"), shape(one.get("block") or [])) for one in block]

    return shape(payload["config"][0]["parsed"])


@pytest.mark.parametrize(("kind", "words"), [("haproxy", _haproxys_words), ("nginx", _nginxs_words)])
def test_no_value_of_a_router_ends_its_word(kind: str, words: Callable[[str, Path], Any], tmp_path: Path) -> None:
    """A value is refused by its key, or one word where it stands; `#` behind a socket took its mode away."""
    section = ROUTERS[kind]
    plain = _generated(section)
    assert plain is not None
    expected = words(plain, tmp_path)
    accepted = 0
    for text, place in _texts(section):
        for payload in PAYLOADS:
            for value in (text + payload, payload + text):
                made = _generated(_put(section, place, value))
                if made is not None and value not in plain:
                    accepted += 1
                    assert words(made, tmp_path) == expected, value
    assert accepted
