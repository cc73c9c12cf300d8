"""Every error that kpi-canary raises on purpose.

    CanaryError
    ├── PolicyError           the policy file is wrong; carries every fault at once
    ├── InputError            a file given on the command line is faulty; carries every fault at once
    ├── WebConfigError        the web configuration file (TLS, basic authentication) is wrong
    ├── ExtraMissingError     what is asked for needs an optional dependency
    ├── SecretError           a secret's file or environment variable cannot be read
    ├── DatabaseError         the order database
    │   ├── DatabaseUnavailableError
    │   ├── DatabaseTimeoutError
    │   └── DatabaseSchemaError
    ├── JournalError          the rollout's journal cannot be read or written
    │   ├── JournalConflictError
    │   └── JournalContentError    it refuses what an entry says, whoever asks and however often
    ├── RefusedError          a command is not allowed in the rollout's present state
    │   └── UnseenError       it raises traffic, and does not say what its author saw
    ├── RouterError           a traffic router did not do what was asked, or cannot be read
    ├── ProcessError          the canary process could not be started, stopped or looked at
    ├── NotificationError     a notification target did not take the message
    ├── PayloadError          a request to the receiver is not what Alertmanager or the command line send
    ├── RemoteError           Prometheus, Alertmanager or the receiver's API did not answer as expected
    ├── FlagError             a feature flag cannot be evaluated
    └── GenerateError         rules, Alertmanager configuration or dashboards could not be generated

An error has fields: where it is (`place`), what is wrong there (`what`: expected and found), and what to do about it
(`remedy`). `str()` joins them as `place: what; remedy`. Whoever needs one of them reads the field; nobody takes a
message apart. `label` is the bounded value under which an error is counted in metrics.
"""

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

# How asyncpg's errors begin when SQLAlchemy hands them on.
_CLASS: Final = re.compile(r"^<class '[\w.]+'>: ")

# The words in the name of a class, for an error that says nothing else.
_CAPITALISED: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

# Enough of a wrong answer to recognize it by.
_SHOWN_CHARACTERS: Final = 200


class CanaryError(Exception):
    """Base of all errors that are meant to be read by a person.

    Args:
        what: what is wrong: the state, or what was expected and what was found.
        place: the subject: a file with its line, a policy key, a server's address, a router's name.
        remedy: what to do about it, as a next step.
    """

    label: ClassVar[str] = "other"
    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        """Everything in one line: `place: what; remedy`."""
        located = f"{self.place}: {self.what}" if self.place else self.what
        return f"{located}; {self.remedy}" if self.remedy else located


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a file: where, what, and what to do.

    Attributes:
        place: file, line and key: `canary.yaml:13: kpis.x.tolerence`.
        what: what was expected and found.
        remedy: the next step; empty when *what* says it already.
        line: the line by itself, by which faults are sorted; 0 when the file as a whole is meant.
    """

    place: str
    what: str
    remedy: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Everything in one line: `place: what; remedy`."""
        text = f"{self.place}: {self.what}"
        return f"{text}; {self.remedy}" if self.remedy else text


class PolicyError(CanaryError):
    """The policy file has faults; *faults* holds them all, and `str()` prints one line each."""

    label = "policy"
    exit_status = 1

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class RestartNeededError(PolicyError):
    """The policy is right, and differs from the one in force where only a restart of its service helps."""


class InputError(CanaryError):
    """A file that a command was given has faults; one line each."""

    label = "input"
    exit_status = 2


class WebConfigError(CanaryError):
    """The web configuration file has faults; the message never quotes its values."""

    label = "web_config"


class ExtraMissingError(CanaryError):
    """What is asked for needs one of the distribution's extras, which is not installed."""

    label = "extra"


class SecretError(CanaryError):
    """A secret's file or environment variable is missing or empty."""

    label = "secret"


class DatabaseError(CanaryError):
    """The order database did not answer a question."""

    label = "database"


class DatabaseUnavailableError(DatabaseError):
    """No connection to the order database."""

    label = "unavailable"


class DatabaseSourceError(DatabaseError):
    """No connection to one of several sources; the events of the others can be read."""

    label = "source"


class DatabaseTimeoutError(DatabaseError):
    """A statement ran into its time limit, or waited too long for a lock."""

    label = "timeout"


class DatabaseSchemaError(DatabaseError):
    """A mapped table or column is not there, or has another type."""

    label = "schema"


class JournalError(CanaryError):
    """The journal could not be read or written; nothing was acted upon."""

    label = "journal"


class JournalConflictError(JournalError):
    """Somebody else wrote to the journal meanwhile, or this receiver no longer leads; look again and decide anew."""

    label = "conflict"


class JournalContentError(JournalError):
    """The journal's database answers, and refuses what an entry says in every form; repeating it is in vain."""

    label = "content"


class RefusedError(CanaryError):
    """A command does not fit the rollout's present state; nothing was changed."""

    label = "refused"
    exit_status = 3


class UnseenError(RefusedError):
    """A command that raises traffic does not say which state of which rollout it was decided from."""

    label = "unseen"


class RouterError(CanaryError):
    """A traffic router did not take a weight, or its weight cannot be read back."""

    label = "router"


class ProcessError(CanaryError):
    """The canary process could not be started, stopped or looked at."""

    label = "process"


class NotificationError(CanaryError):
    """A notification target did not take the message."""

    label = "notification"


class RemoteError(CanaryError):
    """Prometheus, Alertmanager or the receiver did not answer as expected."""

    label = "remote"
    exit_status = 4


class PayloadError(CanaryError):
    """A request's body is not what Alertmanager or the command line send."""

    label = "payload"


class GenerateError(CanaryError):
    """Files could not be generated from the policy."""

    label = "generate"


class FlagError(CanaryError):
    """A feature flag cannot be evaluated; *code* is OpenFeature's word for why."""

    label = "flag"

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def reason(error: BaseException) -> str:
    """Why the system, TLS or a library failed, in words: never a class's name alone, nor a path that the caller names.

    Libraries wrap what the system said in errors of their own (`os_error`, `certificate_error`; a database driver's in
    SQLAlchemy's `orig`), whose texts repeat addresses and statements and end in numbers; what a person can act upon is
    inside. Of several lines the first says it; what follows is advice, or the statement.
    """
    for wrapped in ("certificate_error", "os_error", "orig"):
        inner = getattr(error, wrapped, None)
        if isinstance(inner, BaseException) and inner is not error:
            return reason(inner)
    if said := getattr(error, "verify_message", ""):
        return f"its certificate is not trusted: {said}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    number = getattr(error, "errno", None)
    of_the_system = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)  # OpenSSL has its own numbers
    if of_the_system and isinstance(number, int) and number > 0 and not getattr(error, "reason", None):
        return os.strerror(number)
    if isinstance(error, KeyError) and error.args:
        return f"{error} is missing"
    return _words(error) or " ".join(_CAPITALISED.findall(type(error).__name__)).lower()


def _words(error: BaseException) -> str:
    """What an error says of itself, in its first line; drivers put a class or a number before it."""
    text = str(getattr(error, "reason", None) or error)
    match error.args:
        case (int(), str(said)) if not isinstance(error, OSError):  # MariaDB's
            text = said
    return _CLASS.sub("", next(iter(text.splitlines()), "")).strip()


def shown(text: bytes | str) -> str:
    """A foreign text for one line of a message: the beginning of it, and nothing that a terminal would obey."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    line = "".join(letter if letter.isprintable() else " " for letter in words[:_SHOWN_CHARACTERS])
    return line.strip()
