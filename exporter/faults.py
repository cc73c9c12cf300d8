"""What went wrong and was survived: counted by kind, the first example of each logged with its reason.

A shop's rows are written by other people's programs. One value that nobody foresaw (a year 0, a text where a number
should be) must not end the exporter: it would start again, read the same row and end again, and the canary would be
blind because of one row. So each event is read on its own, and what fails there stays there. Only a database that is
gone altogether is passed on, because then no other event can be read either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from canary.errors import CanaryError, DatabaseUnavailableError
from canary.logs import Log

UNEXPECTED = "unexpected"
"""The kind under which an error is counted that is none of ours."""


@dataclass
class Attempt:
    """One piece of work; `error` is what went wrong, None when nothing did."""

    error: Exception | None = None


class Faults:
    """Counts faults, and logs the first of each until the same work succeeds again.

    Attributes:
        counts: how many there were, by kind.
    """

    def __init__(self, log: Log) -> None:
        self.counts: dict[str, int] = {}
        self._log = log
        self._logged: set[tuple[str, ...]] = set()

    def count(self, error: Exception) -> None:
        """Count one fault."""
        label = error.label if isinstance(error, CanaryError) else UNEXPECTED
        self.counts[label] = self.counts.get(label, 0) + 1

    def odd(self, kind: str, event: str, row: str, value: str) -> None:
        """Count a value that is none, and log the first of its kind in each event."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        key = ("odd", kind, event)
        if key not in self._logged:
            self._logged.add(key)
            about = {"row": row} if row else {}
            self._log.warn(
                "a value is none and was left out; further ones are only counted",
                kind=kind,
                event=event,
                value=value,
                **about,
            )

    @contextmanager
    def survived(self, what: str, **about: str) -> Iterator[Attempt]:
        """Go on after the block whatever goes wrong in it.

        Args:
            what: the fault in words, for the log.
            about: fields for the log; the first fault is logged for each *what* and *about*.

        Raises:
            DatabaseUnavailableError: there is no connection, for nobody.
        """
        key = (what, *about.values())
        attempt = Attempt()
        try:
            yield attempt
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a row holds, the other events go on
            attempt.error = error
            self.count(error)
            if key not in self._logged:
                self._logged.add(key)
                self._log.error(what, exception=error, **about)
        else:
            if key in self._logged:
                self._logged.discard(key)
                self._log.info(f"no longer: {what}", **about)
