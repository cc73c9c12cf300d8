"""The policy's release side: phases, rollback, routers, the canary process, the receiver."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from canary.policy.freeze import Freeze
from canary.policy.gates import Gate
from canary.policy.servers import AlertmanagerServer, PrometheusServer
from canary.policy.values.types import (
    BodyLimit,
    CookiePair,
    EnvironmentName,
    HeaderPair,
    HttpUrl,
    Identifier,
    Link,
    Look,
    Network,
    OptionalArgv,
    Patience,
    PositivePatience,
    PositiveRatio,
    PositiveSeconds,
    ProcessName,
    Seconds,
    ShortFreeze,
    Text,
    Timeout,
    TimeZone,
    Upstream,
    Weight,
    lasting,
    section,
)


@section
class Phase:
    """One step of the rollout."""

    traffic: Weight
    """Share of the customers on the canary; `0%`, with a gate, in a first phase that only testers see."""
    duration: PositiveSeconds
    """How long the phase lasts at least."""
    advance: Literal["on_schedule", "when_proven"] = "on_schedule"
    """`when_proven`: every judged KPI must have passed, however long it takes."""
    max_duration: PositiveSeconds | None = None
    """When a phase has lasted this long without being allowed to advance, it holds and says so."""
    gate: Gate | None = None
    """A person (`manual`: `canary advance`), several (`{approvers: 2}`), or the user's own check (`{url: ...}`)."""


Phases = Annotated[tuple[Phase, ...], Field(min_length=1, max_length=100)]
"""The steps of a rollout, the first one first."""


@section
class Rollback:
    """What a rollback may do by itself."""

    automatic: bool = True
    dry_run: bool = False
    """Do everything but act, and count what would have been rolled back."""
    countdown: Patience = 0
    """Time in which a person may cancel an automatic rollback."""
    converge: PositivePatience = 30
    """When the routers do not agree after this long, `CanaryRollbackNotConverged` fires."""
    watch: Seconds = 48 * 3600
    """How long after promotion the absolute floors stay watched."""
    watch_action: Literal["rollback", "hold"] = "rollback"
    """What a floor leads to where stable has no traffic that the canary could be compared with."""


@section
class Testers:
    """Who always reaches the canary while a rollout runs."""

    networks: tuple[Network, ...] = ()
    """Address ranges, such as `10.0.1.0/24`."""
    metrics: Link | None = None
    """Receiver that answers these networks at the shop's own `/api/metrics`, by the generated configuration of HAProxy,
    nginx, Envoy and Traefik: `receiver.url` when missing, none when empty."""
    header: HeaderPair | None = None
    """`Name: value` of a request header."""
    cookie: CookiePair | None = None
    """`name=value` of a cookie."""


@section
class Upstreams:
    """Addresses of the two versions, for the generated router configuration."""

    stable: tuple[Upstream, ...] = ()
    canary: tuple[Upstream, ...] = ()


@section
class Process:
    """The canary's process, which is stopped after its traffic has left."""

    kind: Literal["none", "pm2", "systemd", "command"] = "none"
    name: ProcessName = "canary"
    """pm2's process name, or the systemd unit. With `router.slots`, `{slot}` in it and in the programs below stands for
    the letter of the canary's slot."""
    start: OptionalArgv = ()
    """`command`: program and arguments that start it."""
    stop: OptionalArgv = ()
    """`command`: program and arguments that stop it; must be harmless when repeated."""
    status: OptionalArgv = ()
    """`command`: program and arguments whose exit status 0 means running."""
    deploy_stable: OptionalArgv = ()
    """Program and arguments that bring the new version to the stable servers when a release is finished. It gets the
    rollout as JSON on standard input, runs at least once, and must be harmless when repeated; the probe decides whether
    it has worked."""
    deploy_timeout: PositiveSeconds = 900
    """How long `deploy_stable` may take."""
    drain: Patience = 5
    """How long the stop waits for what the canary's servers still serve once no more is routed to them. HAProxy and
    Envoy count their sessions, and so may a router of kind `command`; with none left the process is stopped at once.
    Others cannot tell (nginx knows the connections of the whole server only), and then all of it is waited."""
    timeout: Timeout = 30


@section
class Watchdog:
    """What happens when the heartbeat from Prometheus through Alertmanager stays away during a rollout."""

    timeout: PositivePatience = 180
    """Silence after which the rollout is held."""
    then: Annotated[float, lasting(0, 86400)] = 600
    """Further silence after which `action` is taken."""
    action: Literal["rollback", "stay"] = "rollback"
    up_to: PositiveRatio = 0.5
    """Roll back only while the canary has at most this share."""


@section
class Operator:
    """One person who gives commands."""

    token_file: Text | None = None
    """File with the bearer token that only this person has."""
    token_env: EnvironmentName | None = None


@section
class Receiver:
    """The webhook receiver, and the servers it talks to."""

    url: HttpUrl = "http://127.0.0.1:9878"
    """Where Alertmanager and the command line reach the receiver."""
    token_file: Text | None = None
    """File with the bearer token of Alertmanager's webhooks: one line, since Alertmanager reads the same file."""
    token_env: EnvironmentName | None = None
    previous_token_file: Text | None = None
    """File with the token that was valid before; taken too, so that it can be replaced without a gap."""
    operator_token_file: Text | None = None
    """File with the bearer token of people and the command line."""
    operator_token_env: EnvironmentName | None = None
    operators: dict[Identifier, Operator] = field(default_factory=dict)
    """Operators with a token of their own, by name: their commands are journalled under it, and count for a gate with
    `approvers`."""
    flags_token_file: Text | None = None
    """File with the bearer tokens of applications that ask for feature flags, one a line."""
    flags_token_env: EnvironmentName | None = None
    router_token_file: Text | None = None
    """File with the bearer tokens of routers that ask what they are to have in force, one a line."""
    router_token_env: EnvironmentName | None = None
    ca_file: Text | None = None
    """Authorities that the receiver's own certificate is checked against, by Alertmanager and the command line."""
    prometheus: HttpUrl | PrometheusServer = "http://127.0.0.1:9090"
    """Where series, alerts and rules are asked for: an address, or what lets in."""
    alertmanager: HttpUrl | AlertmanagerServer = "http://127.0.0.1:9093"
    """Where silences are asked for and test alerts handed in: an address, or what lets in."""
    poll: Look = 10
    """How often the receiver looks at Prometheus' alerts by itself."""
    reconcile: Look = 2
    """How often routers are read back and brought to the journal's desired state."""
    max_body: BodyLimit = 1024 * 1024
    """Larger webhook bodies are refused with 413."""
    watchdog: Watchdog = Watchdog()
    drill_max_age: PositiveSeconds | None = None
    """When the last successful drill is older, `CanaryDrillOverdue` fires."""
    repeat: PositivePatience = 60
    """How often Alertmanager repeats a notification that still holds."""
    people: Text | None = None
    """Name of the Alertmanager receiver that people read; generated empty when missing."""
    page_url: Link = ""
    """Where people open the receiver's page, for links in alerts and messages; `url` when empty."""
    timezone: TimeZone = "UTC"
    """The zone in which the page, messages and commands tell times, with UTC next to it, and read those people type."""
    freeze: tuple[ShortFreeze | Freeze, ...] = field(default_factory=tuple)
    """Times in which nothing advances: Alertmanager's time intervals, or `sat,sun` and `mon-fri 18:00-24:00`."""

    @property
    def page(self) -> str:
        """Where people open the page, without a slash at its end."""
        return (self.page_url or self.url).rstrip("/")

    @property
    def prometheus_server(self) -> PrometheusServer:
        """Prometheus, however it is written."""
        return (
            self.prometheus if isinstance(self.prometheus, PrometheusServer) else PrometheusServer(url=self.prometheus)
        )

    @property
    def alertmanager_server(self) -> AlertmanagerServer:
        """Alertmanager, however it is written."""
        written = self.alertmanager
        return written if isinstance(written, AlertmanagerServer) else AlertmanagerServer(url=written)
