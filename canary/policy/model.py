"""The policy as frozen dataclasses: what `canary.yaml` may say, its defaults and their meaning.

`canary.policy.load` reads the file, checks it as a whole and gives a `Policy`; nothing else builds one.
The attribute docstrings are the reference that `docs/reference/policy.md` is made of.
"""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from canary.policy.database.section import Database
from canary.policy.experiments import Experiment, Flag
from canary.policy.finish import Finish
from canary.policy.kpis import Kpi
from canary.policy.release import Phase, Phases, Process, Receiver, Rollback
from canary.policy.routers.kinds import Router
from canary.policy.routers.slots import slots_of
from canary.policy.signals import Signals
from canary.policy.values.types import (
    Alpha,
    Count,
    DatabaseUrl,
    EnvironmentName,
    Identifier,
    Name,
    OpenRatio,
    Patience,
    PositivePatience,
    ShareLimit,
    Text,
    Timeout,
    lasting,
    section,
)

Occasion = Literal["start", "advance", "hold", "blind", "rollback", "promotion"]
"""What a message may be about."""


@section
class State:
    """Where the rollout's journal lives."""

    url: DatabaseUrl | None = "sqlite:///state.db"
    """SQLAlchemy URL; relative SQLite paths start at the policy file's folder. PostgreSQL for several receivers."""
    url_file: Text | None = None
    """File holding the URL, when it contains a password."""
    url_env: EnvironmentName | None = None
    """Environment variable holding the URL."""
    rollback_log: Text | None = None
    """Text file that gets three lines per rollback, when it is decided and when all traffic is back on stable (the
    strategy's `/var/log/canary-rollbacks.log`)."""
    reports: Text = "reports"
    """Folder that gets a report at the end of every rollout."""


@section
class Audience:
    """Further people, who hear of some occasions only: stakeholders, or the owners of a KPI."""

    urls_file: Text | None = None
    """File with one apprise URL a line; they contain secrets."""
    urls_env: EnvironmentName | None = None
    """Environment variable with apprise URLs, separated by white space."""
    on: tuple[Occasion, ...] = ("start", "rollback", "promotion")
    """The occasions that they hear of. The `owner` of a KPI also hears of every hold and rollback because of it."""


@section
class Notify:
    """Who hears about a rollout, through apprise URLs (Slack, e-mail, and many more)."""

    urls_file: Text | None = None
    """File with one apprise URL a line; they contain secrets."""
    urls_env: EnvironmentName | None = None
    """Environment variable with apprise URLs, separated by white space."""
    on: tuple[Occasion, ...] = ("start", "advance", "hold", "blind", "rollback", "promotion")
    """The occasions that are worth a message."""
    audiences: dict[Identifier, Audience] = field(default_factory=dict)
    """Further people by name, such as `stakeholders`, each with their own targets and occasions."""
    rollback_link: Annotated[float, lasting(60, 7 * 86400)] | Literal["none"] = 86400
    """How long the link is good by which whoever reads a message can roll back, once, without a token; audiences do not
    get it. It needs `receiver.page_url` and an operator's token; `none` sends none."""
    timeout: Timeout = 10
    """How long one attempt may take."""
    expire: Annotated[float, lasting(1, 30 * 86400)] = 3600
    """Messages that could not be delivered for this long are dropped and counted."""


@section
class Slower:
    """How much later a canary's conversions may come before that counts as a loss."""

    up_to: Annotated[float, Field(gt=1.0, le=4.0)] = 1.3
    """Conversions that all come, but so many times as late as stable's, are no harm (`CanarySlower` warns)."""
    evidence: Annotated[float, Field(ge=1.0, le=1e6)] = 50.0
    """How many times better than the most fitting delay a loss must explain what is seen."""


@section
class Drift:
    """How much the last releases may cost together: each passed by itself, and small losses multiply."""

    releases: Annotated[int, Field(ge=2, le=1000)] = 10
    """How many of the last releases that all customers have got are added up, from their reports in `state.reports`."""
    budgets: dict[Name, ShareLimit] = field(default_factory=dict)
    """By KPI, the relative change in the bad direction that they may add up to before `CanaryDriftBudget` warns; a
    KPI that is not named has its `tolerance`: what one release may not do, several may not do together."""


@section
class Evidence:
    """How sure a judgement must be."""

    alpha: Alpha = 0.01
    """Chance, for a whole rollout, that a healthy canary is rolled back; split over the KPIs that may roll back."""
    bucket: Annotated[float, lasting(0.01, 60)] = 1
    """Width of the time buckets in which events are compared."""
    minimum_units: Count = 0
    """Canary units that every judged KPI must have seen before a phase may end."""
    sample_above: Annotated[int, Field(ge=1000, le=10_000_000)] = 20_000
    """Rows a minute of the largest event above which customers are judged by a sample, so that judging costs no more in
    a larger shop. The database chooses them by a hash of the customer; counters count everybody."""
    pending_timeout: Annotated[float, lasting(1, 7 * 86400)] = 900
    """A payment that is pending for longer counts as failed."""
    staleness: PositivePatience = 120
    """Data older than this makes the verdict blind."""
    calibration: Text = "calibration.json"
    """File that `canary calibrate` writes, and `check`, `plan` and the exporter read; relative to the policy file."""
    mismatch: OpenRatio = 0.2
    """Proven deviation of the canary's share of units from its weight that makes the comparison untrusted."""
    unknown: ShareLimit = 0.2
    """Share of an event's rows since the rollout began that no version is known of, above which the rollout is held."""
    slower: Slower | Literal["none"] = Slower()
    """A canary that is only slower is not taken for one that loses conversions. `none` does not ask: losses are found
    sooner, and a slower canary falls."""
    stable_harm: Literal["hold", "none"] = "hold"
    """Whether a rollout is held when stable is proven to be worse than the shop was before the start, by more than the
    KPI's tolerance: a canary may hurt everybody through the shared database (`CanaryStableHarmed`)."""
    drift: Drift = Drift()
    warmup: Patience = 0
    """After each change of the canary's traffic weight: customers who come, and what happens, within this are in no
    test, on either side (cold caches)."""


@section
class Policy:
    """One shop's canary policy."""

    service: Identifier
    """The shop's name, a label on everything."""
    state: State = State()
    database: Database = Database()
    kpis: dict[Name, Kpi] = field(default_factory=dict)
    """The KPIs to publish and judge; the strategy's six when the section is missing."""
    signals: Signals = Signals()
    phases: Phases = (
        Phase(traffic=0.05, duration=300),
        Phase(traffic=0.25, duration=900),
        Phase(traffic=0.5, duration=1200),
        Phase(traffic=1, duration=1800),
    )
    """The plan `normal`, which `canary start` runs when no other is named."""
    plans: Annotated[dict[Name, Phases], Field(max_length=20)] = field(default_factory=dict)
    """Further plans by name, each a list of phases: `canary start --plan hotfix`. `normal` may stand here too."""
    rollback: Rollback = Rollback()
    router: tuple[Router, ...] = ()
    """One router or a list of them; all must agree before a change counts as done."""
    process: Process = Process()
    finish: Finish = Finish()
    receiver: Receiver = Receiver()
    notify: Notify = Notify()
    flags: dict[Identifier, Flag] = field(default_factory=dict)
    experiments: dict[Identifier, Experiment] = field(default_factory=dict)
    evidence: Evidence = Evidence()
    technical: bool = True
    """Set by the loader: whether the file has a `signals` section, and so errors and response times are watched."""
    base: str = "."
    """Set by the loader: the policy file's folder, at which relative paths start."""

    @property
    def slots(self) -> bool:
        """Whether the two groups of servers are slots, of which either may be the stable one."""
        return any(slots_of(router) is not None for router in self.router)

    @property
    def owners(self) -> dict[str, str]:
        """By KPI, who looks after it; those that nobody does are not in it."""
        return {name: kpi.owner for name, kpi in self.kpis.items() if kpi.owner is not None}

    @property
    def shop_job(self) -> str:
        """The job under which the generated scrape configuration has the series that tell errors and response times."""
        return self.service if self.signals.preset == "application" else f"{self.service}-haproxy"

    @property
    def shop_selector(self) -> str:
        """Matchers of the shop's own series: as the policy says, else those of the generated job.

        Without either nothing tells them from another application's, which may count under the same name, for a version
        of the same name: its errors rolled a healthy canary back, and its requests hid a bad one.
        """
        signals = self.signals
        targets = signals.shop_targets if signals.preset == "application" else signals.haproxy_targets
        return signals.selector or (f'job="{self.shop_job}"' if targets else "")
