"""Where a service is found: below which path it serves, and by which address browsers reach it through a proxy.

`--web.route-prefix` and `--web.external-url` mean what they mean to Prometheus. A proxy that passes paths on as they
are needs the external address alone; one that takes its own prefix away needs `--web.route-prefix=/` next to it. Pages
lead from one to the other by relative ways, so that only what a browser keeps by path, the session, and what it
compares by origin, a form, must know the address outside.
"""

from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from canary.errors import WebConfigError


@dataclass(frozen=True)
class Place:
    """Where one service is.

    Attributes:
        prefix: what stands before every path of the table of routes, without a slash at its end.
        root: the path of its page for a browser, with a slash at its end.
        scheme: of its address for a browser; empty when nobody said.
        origin: host and perhaps port, as a browser writes them; empty when nobody said.
    """

    prefix: str = ""
    root: str = "/"
    scheme: str = ""
    origin: str = ""

    @classmethod
    def of(cls, external_url: str = "", route_prefix: str | None = None) -> Self:
        """As the flags say.

        Raises:
            WebConfigError: one of them cannot be used.
        """
        if "@" in external_url.partition("://")[2].partition("/")[0]:
            raise WebConfigError("--web.external-url: holds a user or a password, which browsers would be told")
        try:
            parts = urlsplit(external_url)
            origin = _origin(parts)
        except ValueError:  # a port that is none, a bracket that is missing, a name that no browser takes
            parts, origin = urlsplit(""), ""
        if external_url and (parts.scheme not in _PORTS or not origin or parts.query or parts.fragment):
            raise WebConfigError(
                f"--web.external-url: expected an address such as https://shop.example/canary, found {external_url!r}"
            )
        outside = _trimmed(parts.path)
        prefix = outside if route_prefix is None else _trimmed(route_prefix)
        if any(character in prefix for character in "{}?#%") or not prefix.isprintable():
            raise WebConfigError(f"--web.route-prefix: expected a plain path such as /canary, found {prefix!r}")
        return cls(prefix, f"{outside if external_url else prefix}/", parts.scheme, origin)

    @property
    def host(self) -> str:
        """The name in its address for a browser; empty when nobody said."""
        return urlsplit(f"//{self.origin}").hostname or ""

    def below(self, path: str) -> Self:
        """One of several services behind this address, at *path* below it, without slashes around it."""
        return replace(self, prefix=f"{self.prefix}/{path}", root=f"{self.root}{path}/")


AT_ROOT: Final = Place()
"""Everything at `/`, and no address but the one that was asked."""


_PORTS: Final = {"http": 80, "https": 443}


def _origin(parts: SplitResult) -> str:
    """Host and port as browsers send them in `Origin`: the name in lower case, and no port that the scheme has anyway.

    Raises:
        ValueError: there is no such host or port.
    """
    name = parts.hostname or ""
    host = name if name.isascii() else name.encode("idna").decode()
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return (f"[{host}]" if ":" in host else host) + port


def _trimmed(path: str) -> str:
    """`/a/b`, or nothing for the root."""
    inner = path.strip("/")
    return f"/{inner}" if inner else ""
