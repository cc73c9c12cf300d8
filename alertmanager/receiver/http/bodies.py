"""What requests to the receiver hold: one model per body, query string and set of headers.

`canary.web.checks` refuses what does not fit them and `canary.web.routes.openapi` describes them, so that description
and check cannot differ.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from alertmanager.receiver.http.webhook import clean
from canary.policy.plans import NORMAL
from canary.rollout.kinds import Category
from canary.web.routes.bodies import Body

# A reason fits into a message to people and into a line of the journal.
TEXT_CHARACTERS = 1000

# As the page's session shows it, and the journal after it.
NAME_CHARACTERS = 100

_VERSION = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,39}$"

# A rollout's id is its version and the second it began in.
_ROLLOUT = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"

_SEEN = rf"^(none/0|{_ROLLOUT}/[0-9]{{1,15}})$"
_KEY = r"[A-Za-z0-9_.:-]{1,64}"

# Blanks are no reason: where one is needed, they would pass for it.
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=TEXT_CHARACTERS), AfterValidator(clean)]
Required = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_CHARACTERS), AfterValidator(clean)
]
Version = Annotated[str, Field(max_length=TEXT_CHARACTERS, json_schema_extra={"pattern": _VERSION})]
"""Described here and refused by the command itself, which says in what it does not fit."""
Seen = Annotated[str, Field(pattern=_SEEN)]

ThisCategory = Annotated[Category | None, Field(strict=False)]

_ACTOR = Field("unknown", description="Who gives the command.")
_REASON = Field("", description="Why; people will read it in the journal.")
_SEEN_FIELD = Field(
    None,
    description="What the caller saw: `seen` of the status. May be sent as the header `If-Match` instead. "
    "Of what lowers or holds only the rollout is compared.",
)


class Command(Body):
    """What every command may say."""

    actor: Text = _ACTOR
    reason: Text = _REASON
    seen: Seen | None = _SEEN_FIELD


class Start(Command):
    """What begins a rollout."""

    canary: Version = Field(description="The new version.")
    stable: Version = Field(description="The version that serves now.")
    at: AwareDatetime | None = Field(None, description="Start it then, and look at everything then; now without it.")
    plan: Text = Field(NORMAL, description="The policy's plan that it runs by.")
    force: bool = Field(
        False, description="Start although a router has faults, or what is there contradicts what is said."
    )
    again: bool = Field(False, description="Also a version that was promoted or rolled back before.")


class Forcible(Command):
    """What asks Prometheus for the second key."""

    force: bool = Field(False, description="Although Prometheus objects or is unreachable.")


class Advance(Forcible):
    """What goes on to a phase."""

    to: float | None = Field(None, gt=0, le=1, description="The share of the phase to go to; the next one without it.")


class Finish(Forcible):
    """What finishes a promoted release."""

    force: bool = Field(
        False, description="Although Prometheus objects, or nobody can ask the stable servers what they run."
    )
    now: bool = Field(False, description="Leave out the steps between: all traffic returns at once.")
    back: bool = Field(False, description="Return everybody to the canary's servers.")


class RollBack(Command):
    """What takes all customers off the canary."""

    reason: Required = Field(description="Why; people will read it in the journal and in the team's message.")
    give_up: bool = Field(False, description="End a rollback that cannot be completed; it has been done by hand.")
    category: ThisCategory = Field(None, description="What it is due to.")


class Note(Command):
    """An observation about a rollout."""

    reason: Required = Field(description="The observation.")
    rollout: str = Field("", pattern=rf"^({_ROLLOUT})?$", description="The rollout's id; the newest when empty.")
    category: ThisCategory = Field(None, description="What a rollback was due to, once that is known.")


class Freeze(Command):
    """A change freeze."""

    until: Annotated[AwareDatetime, Field(strict=False)] = Field(description="When it ends.")


class Adopt(Command):
    """What says what is in force where the journal does not know it."""

    canary: Version = Field(description="The version that the routers call the canary.")
    stable: Version = Field(description="The version alongside it.")
    weight: float = Field(ge=0, le=1, description="The canary's traffic weight as it is in force, a ratio.")
    rollout: str = Field(
        "",
        pattern=rf"^({_ROLLOUT})?$",
        description="The rollout's id, where it is known: then every user stays on their side.",
    )


class Amend(Command):
    """What lets a running rollout go by another policy."""

    digest: str | None = Field(
        None, max_length=64, description="Of the policy that the sender means; another file at the receiver is refused."
    )


class Nothing(Body):
    """An empty object."""


class ExperimentCommand(Body):
    """What stops or starts an experiment."""

    actor: Text = _ACTOR
    reason: Required = Field(description="Why; people will read it in the journal.")


class CommandHeaders(BaseModel):
    """The headers of commands."""

    model_config = ConfigDict(strict=True, frozen=True)

    if_match: str | None = Field(
        None, pattern=rf'^"(none/0|{_ROLLOUT}/[0-9]{{1,15}})"$', description="What the caller saw, in double quotes."
    )
    idempotency_key: str | None = Field(
        None,
        pattern=rf'^("{_KEY}"|{_KEY})$',
        description="Chosen by the caller. A command that is sent again with the same key is answered with the first "
        "result.",
    )


class HistoryQuery(Body):
    """What part of the journal is asked for."""

    rollout: str | None = Field(None, pattern=rf"^{_ROLLOUT}$", description="Only this rollout.")


class SignInQuery(BaseModel):
    """Where to go after signing in."""

    model_config = ConfigDict(strict=True, frozen=True)

    after: str = Field("", max_length=100)
    unsent: str = Field("", max_length=1)
    """Whether a form was sent after its session had ended."""


class SignIn(Body):
    """The form that opens a session."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=NAME_CHARACTERS)] = ""
    token: Annotated[str, StringConstraints(strip_whitespace=True, max_length=TEXT_CHARACTERS)] = ""
    after: str = Field("", max_length=100)


class SignOut(Body):
    """The form that ends a session."""

    form_key: str = Field("", max_length=100)


class LoweringForm(Body):
    """The form of a link that rolls back."""

    reason: Text = ""


class Confirmation(Body):
    """The form that confirms a command.

    Attributes:
        seen: what the person saw when asked.
        how: the way to finish.
    """

    form_key: str = Field("", max_length=100)
    seen: Seen
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=TEXT_CHARACTERS), AfterValidator(clean)
    ] = ""
    force: Literal["", "yes"] = ""
    how: Literal["", "now", "back"] = ""


class ErrandForm(Body):
    """The form that asks for something that moves no traffic."""

    form_key: str = Field("", max_length=100)
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=TEXT_CHARACTERS), AfterValidator(clean)
    ] = ""


class FlagQuestion(BaseModel):
    """OFREP's question. Keys that a newer version of the protocol adds are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    context: dict[str, Any] = Field(
        default_factory=dict,
        description="OpenFeature's evaluation context: `targetingKey`, the user's id, and `group` or `groups`.",
    )


class NotifiedAlert(BaseModel):
    """One alert of a notification."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: str | None = Field(None, json_schema_extra={"format": "date-time"})  # noqa: N815  # Alertmanager's name


class Notification(BaseModel):
    """Alertmanager's payload, version 4. Only described here: `alertmanager.receiver.http.webhook.parse` reads it."""

    version: Literal["4"]
    truncatedAlerts: int = Field(0, ge=0)  # noqa: N815  # Alertmanager's name
    alerts: list[NotifiedAlert]
