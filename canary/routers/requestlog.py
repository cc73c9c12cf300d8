"""The line that a router logs for each request, for `canary assignments` to read: JSON, for both routers.

JSON, because the router itself then escapes what a client sends (a path, a user agent), which so forges neither a line
nor a key. HAProxy cuts long texts where it logs them: a datagram that does not fit is lost whole. The line names the
customer as the router hashes them, and the server that answered: a dead canary's customers are served by stable. It
says who was a tester, whom no hash has put where they were.
"""

from typing import Final

from canary.errors import RouterError

_LINE_BYTES = 8192
"""HAProxy cuts a line at 1024 by default; a path and a user agent of escaped characters are longer."""
_PATH_BYTES, _AGENT_BYTES = 512, 256

NGINX_FORMAT: Final = (
    "log_format canary_requests escape=json "
    '\'{"ended":"$msec","took":"$request_time","user":"$canary_told","side":"$canary_variant",'
    '"tester":"$canary_tester_mark","server":"$upstream_addr","status":"$status","path":"$uri","agent":"$http_user_agent"}\';\n'
)
"""For nginx' http level."""


def haproxy_lines(target: str, name: str) -> tuple[str, ...]:
    """Lines for HAProxy's frontend.

    Args:
        target: `host:port` of a syslog server, or the path of a unix socket.
        name: the router's, for messages.

    Raises:
        RouterError: the target cannot be written in HAProxy's configuration.
    """
    _require_word(target, name, "\"'\\#%{}()")
    return (
        f"log {target} len {_LINE_BYTES} format raw local0",
        "http-request set-var(txn.canary_at) date(0,ms)",
        f"http-request set-var(txn.canary_path) path,bytes(0,{_PATH_BYTES})",
        f"http-request set-var(txn.canary_agent) req.fhdr(user-agent),bytes(0,{_AGENT_BYTES})",
        (
            'log-format \'{"at_ms":"%[var(txn.canary_at)]","took_ms":"%Ta",'
            '"user":"%[var(txn.canary_user),json(utf8s)]","side":"%b","tester":"%[var(txn.canary_tester)]","server":"%s","status":"%ST",'
            '"path":"%[var(txn.canary_path),json(utf8s)]","agent":"%[var(txn.canary_agent),json(utf8s)]"}\''
        ),
    )


def nginx_line(target: str, name: str) -> str:
    """The directive for nginx' server block.

    Args:
        target: a file, or `syslog:server=host:port`, `syslog:server=unix:/path`.
        name: the router's, for messages.

    Raises:
        RouterError: the target cannot be written in nginx' configuration.
    """
    _require_word(target, name, "\"'\\#$;{}")
    return f"access_log {target} canary_requests;"


def _require_word(target: str, name: str, forbidden: str) -> None:
    if any(character in forbidden or character.isspace() for character in target):
        raise RouterError(f"expected one word without blanks or quotes, found {target!r}", place=f"router {name}: log")
