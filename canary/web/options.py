"""The Prometheus family's command-line flags, the same for both services."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from canary import logs
from canary.errors import WebConfigError
from canary.web.place import AT_ROOT, Place
from canary.web.strangers.peers import Network

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]

# Prometheus' own default. A team's open pages, Prometheus, Alertmanager and a dozen applications that ask for flags
# need a fifth of it.
MOST_CONNECTIONS = 512


@dataclass(frozen=True)
class WebOptions:
    """What the command line said about serving."""

    addresses: tuple[str, ...] = ("127.0.0.1:0",)
    config_file: Path | None = None
    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False
    max_connections: int = MOST_CONNECTIONS
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    place: Place = AT_ROOT


def web_options(default_address: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the Prometheus family's flags; the command gets one argument `web_options: WebOptions`, logs are set up."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def collected(
            *,
            listen_address: tuple[str, ...],
            web_config_file: Path | None,
            telemetry_path: str,
            enable_lifecycle: bool,
            max_connections: int,
            allowed_hosts: tuple[str, ...],
            trusted_proxies: tuple[Network, ...],
            external_url: str,
            route_prefix: str | None,
            log_level: str,
            log_format: str,
            **others: Any,
        ) -> Any:
            logs.configure(log_level, log_format)
            options = WebOptions(
                listen_address,
                web_config_file,
                telemetry_path,
                enable_lifecycle,
                max_connections,
                allowed_hosts,
                trusted_proxies,
                Place.of(external_url, route_prefix),
            )
            return command(web_options=options, **others)

        collected.__doc__ = command.__doc__
        collected.__name__ = command.__name__
        collected.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]  # click's way
        for option in reversed(_options(default_address)):
            collected = option(collected)
        return collected

    return decorate


def _options(default_address: str) -> list[_Option]:
    """In the order in which `--help` lists them."""
    return [*_places(default_address), *_admittance(), *_logging()]


def _places(default_address: str) -> list[_Option]:
    """Where it is reached, and how."""
    return [
        click.option(
            "--web.listen-address",
            "listen_address",
            multiple=True,
            default=[default_address],
            show_default=True,
            help="Address to listen on, such as :9877 or [::1]:9877; may be given several times.",
        ),
        click.option(
            "--web.config.file",
            "web_config_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Prometheus' web.config.yml: TLS, client certificates, basic authentication.",
        ),
        click.option(
            "--web.telemetry-path", "telemetry_path", default="/metrics", show_default=True, help="Path of the metrics."
        ),
        click.option(
            "--web.external-url",
            "external_url",
            default="",
            help="Address by which browsers reach this service through a proxy, such as https://shop.example/canary.",
        ),
        click.option(
            "--web.route-prefix",
            "route_prefix",
            help="Path below which everything is served; by default that of --web.external-url.",
        ),
    ]


def _admittance() -> list[_Option]:
    """Who may come in, and how many."""
    return [
        click.option(
            "--web.enable-lifecycle", "enable_lifecycle", is_flag=True, help="Allow reloading by PUT or POST /-/reload."
        ),
        click.option(
            "--web.max-connections",
            "max_connections",
            type=click.IntRange(min=8),
            default=MOST_CONNECTIONS,
            show_default=True,
            help="Connections that may be open at once; one address may hold half of them.",
        ),
        click.option(
            "--web.allowed-host",
            "allowed_hosts",
            multiple=True,
            help="A name under which what needs no token is answered, besides addresses, names without a dot and the "
            "policy's own; * for any; may be given several times.",
        ),
        click.option(
            "--web.trusted-proxies",
            "trusted_proxies",
            multiple=True,
            type=_NetworkType(),
            help="Network of proxies whose X-Forwarded-For counts, such as 10.0.0.0/8; may be given several times.",
        ),
    ]


def _logging() -> list[_Option]:
    return [
        click.option(
            "--log.level", "log_level", type=click.Choice(logs.LEVELS), default="info", show_default=True, help="Level."
        ),
        click.option(
            "--log.format",
            "log_format",
            type=click.Choice(logs.FORMATS),
            default="logfmt",
            show_default=True,
            help="Form.",
        ),
    ]


class _NetworkType(click.ParamType[Network]):
    """A network in CIDR notation, or a single address."""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        """Read what the command line says."""
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            self.fail(f"expected a network such as 10.0.0.0/8, found {value!r}", param, ctx)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `:9877`, `127.0.0.1:9877` or `[::1]:9877`; an empty host means every interface.

    Raises:
        WebConfigError: the text is not an address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise WebConfigError(f"--web.listen-address: expected host:port such as 127.0.0.1:9877, found {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
