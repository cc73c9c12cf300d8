"""The servers that the receiver and the commands ask, and what lets them in.

The keys are those of Prometheus' own `http_config`, flat: whoever can write a scrape job can write these. Secrets are
named by file or variable, never written down.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from canary.policy.values.types import EnvironmentName, HttpUrl, RequestKey, Text, section


@section
class Access:
    """What a server wants to be shown by whoever asks."""

    # Inherited keys keep a description, and lose a docstring.
    username: Annotated[Text | None, Field(description="Basic authentication, with a password.")] = None
    password_file: Annotated[Text | None, Field(description="File with the user's password.")] = None
    password_env: Annotated[EnvironmentName | None, Field(description="Instead of a file.")] = None
    token_file: Annotated[Text | None, Field(description="File with a bearer token, instead of a user.")] = None
    ca_file: Annotated[
        Text | None, Field(description="Authorities that vouch for the server, instead of the machine's own.")
    ] = None
    cert_file: Annotated[Text | None, Field(description="This side's certificate, where one is wanted.")] = None
    key_file: Annotated[Text | None, Field(description="The certificate's key.")] = None
    headers: Annotated[
        dict[RequestKey, Text], Field(description="Headers of every question, such as `X-Scope-OrgID: shop`.")
    ] = dataclasses.field(default_factory=dict)

    def http_config(self, base: str) -> dict[str, Any]:
        """The same as Prometheus, Alertmanager and amtool write it in their own files, with whole paths.

        Args:
            base: the policy's folder, where its relative paths begin.
        """
        told: dict[str, Any] = {}
        if self.username and self.password_file:
            told["basic_auth"] = {"username": self.username, "password_file": whole(base, self.password_file)}
        if self.token_file:
            told["authorization"] = {"type": "Bearer", "credentials_file": whole(base, self.token_file)}
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        if tls := {key: whole(base, file) for key, file in files.items() if file}:
            told["tls_config"] = tls
        if self.headers:
            told["http_headers"] = {name: {"values": [value]} for name, value in self.headers.items()}
        return told


@section
class AlertmanagerServer(Access):
    """An Alertmanager that does not let everybody in."""

    url: HttpUrl


@section
class PrometheusServer(Access):
    """A Prometheus that does not let everybody in, or whose rules are evaluated elsewhere."""

    url: HttpUrl | None = None
    query: HttpUrl | None = None
    """Instead of `url`: where series are asked for."""
    rules: HttpUrl | None = None
    """Where alerts and rules are asked for, when that is another address: vmalert, Thanos Ruler, Mimir's ruler."""

    @property
    def query_url(self) -> str:
        """Where series are asked for; the policy's check has seen that one of both is there."""
        return self.url or self.query or ""

    @property
    def rules_url(self) -> str:
        """Where alerts and rules are asked for."""
        return self.rules or self.query_url


def whole(base: str, file: str) -> str:
    """A file's path for a program that runs in another folder."""
    return str(Path(base, file).absolute())


def port_of(url: str) -> int:
    """A server's port: its scheme's own where none is written."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def address_of(url: str) -> str:
    """Host and port of a server, as configurations and `Host` headers name it: an IPv6 address stands in brackets."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]:{port_of(url)}" if ":" in host else f"{host}:{port_of(url)}"
