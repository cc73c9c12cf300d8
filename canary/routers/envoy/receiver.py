"""How a generated Envoy reaches the receiver: its configuration for runtime discovery, and for testers' figures."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from canary.policy.servers import address_of, port_of
from canary.routers.envoy.routes import METRICS, typed
from canary.routers.envoy.section import EnvoyRouter
from canary.routers.metrics import receiver_of

# After an answer, Envoy waits this long and up to as long again before it asks anew: so late a switch may be, and so
# often it tries while no receiver answers.
_PAUSE: Final = "0.05s"

# Longer than the receiver keeps a question open.
_ANSWER: Final = "5s"

# Until then an Envoy that begins takes no requests; with no receiver to be reached it begins with everybody on stable.
_BEGINNING: Final = "2s"

_SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_NAME: Final = "receiver-token"


def identity(section: EnvoyRouter, instance: str) -> Mapping[str, Any]:
    """Who asks."""
    return {"node": {"id": instance, "cluster": section.name}}


def layer(section: EnvoyRouter) -> Mapping[str, Any]:
    """The runtime layer that is asked for."""
    source = {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [_cluster_name(section)],
        "refresh_delay": _PAUSE,
        "request_timeout": _ANSWER,
    }
    return {
        "name": section.name,
        "rtds_config": {
            "resource_api_version": "V3",
            "initial_fetch_timeout": _BEGINNING,
            "api_config_source": source,
        },
    }


def secrets(section: EnvoyRouter) -> Mapping[str, Any]:
    """The token, which Envoy reads from its file."""
    if section.token_file is None:
        return {}
    return {"secrets": [{"name": _NAME, "generic_secret": {"secret": {"filename": section.token_file}}}]}


def cluster(section: EnvoyRouter) -> Mapping[str, Any]:
    """The receivers."""
    hosts = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": urlsplit(url).hostname, "port_value": port_of(url)}},
                "hostname": urlsplit(url).hostname,
            }
        }
        for url in section.receivers
    ]
    return {
        "name": _cluster_name(section),
        "type": "STRICT_DNS",
        # Envoy's own choice, IPv6 alone where there is any, does not find a receiver on 127.0.0.1 by `localhost`.
        "dns_lookup_family": "ALL",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": _cluster_name(section), "endpoints": [{"lb_endpoints": hosts}]},
        **(
            _tls([_host(url) for url in section.receivers], section.ca_file)
            if urlsplit(section.receivers[0]).scheme == "https"
            else {}
        ),
        **(_credentials() if section.token_file is not None else {}),
    }


def metrics_cluster(section: EnvoyRouter) -> Sequence[Mapping[str, Any]]:
    """The receiver that answers testers' networks, where there is one; Envoy begins without it too.

    Raises:
        RouterError: its address cannot stand in a router's configuration.
    """
    asked = receiver_of(section.testers, section.name)
    if asked is None:
        return ()
    host, _, port = asked.address.rpartition(":")
    host = host.strip("[]")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}, "hostname": host}
    made = {
        "name": METRICS,
        "type": "STRICT_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": METRICS, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
    return ({**made, **(_tls([host], None) if asked.tls else {})},)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _cluster_name(section: EnvoyRouter) -> str:
    """Envoy sends the cluster's name as `Host`; the receiver answers only to names that are its own."""
    return address_of(section.receivers[0])


def _tls(hosts: Sequence[str], ca_file: str | None) -> Mapping[str, Any]:
    """The receiver's certificate is checked, and its name: an Envoy follows nobody else."""
    names = [{"san_type": "IP_ADDRESS" if _is_address(host) else "DNS", "matcher": {"exact": host}} for host in hosts]
    trusted = {
        "trusted_ca": {"filename": ca_file or _SYSTEM_AUTHORITIES},
        "match_typed_subject_alt_names": names,
    }
    context = typed(
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        auto_host_sni=True,
        common_tls_context={"validation_context": trusted},
    )
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _credentials() -> Mapping[str, Any]:
    """Adds the token to each question."""
    token = typed(
        "extensions.http.injected_credentials.generic.v3.Generic",
        credential={"name": _NAME},
        header_value_prefix="Bearer ",
    )
    injector = typed(
        "extensions.filters.http.credential_injector.v3.CredentialInjector",
        credential={"name": "envoy.http.injected_credentials.generic", "typed_config": token},
    )
    codec = typed("extensions.filters.http.upstream_codec.v3.UpstreamCodec")
    options = typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http_protocol_options": {}},
        http_filters=[
            {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
            {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
        ],
    )
    return {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}}
