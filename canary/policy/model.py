"""The policy as frozen dataclasses: what `canary.yaml` may say, its defaults and their meaning.

`canary.policy.load` reads the file, checks it as a whole and gives a `Policy`; nothing else builds one.
The attribute docstrings are the reference that `docs/reference-policy.md` is made of.
"""

from dataclasses import field

from canary.policy.experiments import Experiment, Flag
from canary.policy.kpis import Kpi
from canary.policy.orders import Database
from canary.policy.release import Phase, Process, Receiver, Rollback, Router
from canary.policy.signals import Signals
from canary.policy.types import Identifier, Name, Ratio, Seconds, section


@section
class State:
    """Where the rollout's journal lives."""

    url: str | None = "sqlite:///state.db"
    """SQLAlchemy URL; relative SQLite paths start at the policy file's folder. PostgreSQL for several receivers."""
    url_file: str | None = None
    """File holding the URL, when it contains a password."""
    url_env: str | None = None
    """Environment variable holding the URL."""
    rollback_log: str | None = None
    """Text file that gets one line per rollback (the strategy's `/var/log/canary-rollbacks.log`)."""
    reports: str = "reports"
    """Folder that gets a report at the end of every rollout."""


@section
class Notify:
    """Who hears about a rollout, through apprise URLs (Slack, e-mail, and many more)."""

    urls_file: str | None = None
    """File with one apprise URL a line; they contain secrets."""
    urls_env: str | None = None
    """Environment variable with apprise URLs, separated by white space."""
    on: tuple[str, ...] = ("start", "advance", "hold", "blind", "rollback", "promotion")
    """The occasions that are worth a message."""
    timeout: Seconds = 10
    """How long one attempt may take."""
    expire: Seconds = 3600
    """Messages that could not be delivered for this long are dropped and counted."""


@section
class Evidence:
    """How sure a judgement must be."""

    alpha: Ratio = 0.01
    """Chance, for a whole rollout, that a healthy canary is rolled back; split over the KPIs that may roll back."""
    bucket: Seconds = 1
    """Width of the time buckets in which events are compared."""
    minimum_units: int = 0
    """Canary units that every judged KPI must have seen before a phase may end."""
    pending_timeout: Seconds = 900
    """A payment that is pending for longer counts as failed."""
    staleness: Seconds = 120
    """Data older than this makes the verdict blind."""
    mismatch: Ratio = 0.2
    """Proven deviation of the canary's share of units from its weight that makes the comparison untrusted."""


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
    phases: tuple[Phase, ...] = (
        Phase(traffic=0.05, duration=300),
        Phase(traffic=0.25, duration=900),
        Phase(traffic=0.5, duration=1200),
        Phase(traffic=1, duration=1800),
    )
    rollback: Rollback = Rollback()
    router: tuple[Router, ...] = ()
    """One router or a list of them; all must agree before a change counts as done."""
    process: Process = Process()
    receiver: Receiver = Receiver()
    notify: Notify = Notify()
    flags: dict[Identifier, Flag] = field(default_factory=dict)
    experiments: dict[Identifier, Experiment] = field(default_factory=dict)
    evidence: Evidence = Evidence()
    base: str = "."
    """Set by the loader: the policy file's folder, at which relative paths start."""
