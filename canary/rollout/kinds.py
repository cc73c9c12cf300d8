"""The words that the journal uses: what a line records, what is done about a decision, and why it was made.

They stand in every journal that was ever written, so that a word may be added here, and none changed.
"""

from enum import StrEnum
from typing import Final

from canary.names import ALERTS, OTHER


class Kind(StrEnum):
    """What one line of the journal records, as it is written there."""

    STARTED = "started"
    ADOPTED = "adopted"
    ADVANCED = "advanced"
    HELD = "held"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    FINISHING = "finishing"
    FINISH_STEP = "finish_step"
    FINISH_BACK = "finish_back"
    FINISHED = "finished"
    ROLLBACK = "rollback"
    STEP_DONE = "step_done"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    NOTIFIED = "notified"
    RECORDED = "noted"
    DRILLED = "drilled"
    ELAPSED = "elapsed"
    NOTE = "note"
    FROZEN = "frozen"
    FREEZE_LIFTED = "freeze_lifted"
    POLICY = "policy"
    AMENDED = "amended"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SCHEDULE_ENDED = "schedule_ended"
    EXPERIMENT_STARTED = "experiment_started"
    EXPERIMENT_WEIGHTED = "experiment_weighted"
    EXPERIMENT_STOPPED = "experiment_stopped"
    UNKNOWN = "unknown"


class Step(StrEnum):
    """What has to be done about a decision; the first two in the order in which they protect customers."""

    TRAFFIC = "traffic"
    DEPLOY = "deploy"
    PROCESS = "process"
    NOTIFY = "notify"
    LOG = "log"
    REPORT = "report"


class Cause(StrEnum):
    """Why a rollout was held or rolled back, where it was no alert; an alert's cause is its name."""

    MANUAL = "manual"
    """A person; only a person lifts such a hold."""
    WATCHDOG = "watchdog"
    """The heartbeat stayed away."""
    BY_HAND = "by_hand"
    """The weight was lowered at a router, not through the receiver; only a person raises it again."""
    SERVERS = "servers"
    """While a release is finished, a server does not answer, runs another version, or could not be deployed to."""
    MAX_DURATION = "max_duration"
    """A phase was not allowed to end for too long."""


class Category(StrEnum):
    """What a rollback was due to in the end, as people sort it; the cause is only what was seen."""

    CODE = "code"
    CONFIGURATION = "configuration"
    DATA = "data"
    CAPACITY = "capacity"
    INFRASTRUCTURE = "infrastructure"
    DEPENDENCY = "dependency"
    """Somebody else's service, such as a payment provider."""
    BUSINESS = "business"
    """It works, and customers do not like it."""
    FALSE_ALARM = "false_alarm"
    OTHER = "other"


WATCH_CLOSED: Final = "watch_closed"
"""Key of the record that the watch after a promotion is over."""
REPORT_RENEWED: Final = "report_renewed"
"""Key of the record that the report has been written again since."""

CAUSES: Final = frozenset({*Cause, *ALERTS})
"""Every cause that is counted under its own name."""


def cause_label(cause: str) -> str:
    """The bounded label value of a cause: alerts of the users' own rules are counted together."""
    return cause if cause in CAUSES else OTHER
