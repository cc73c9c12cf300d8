"""The release passport: what was found when a rollout began, kept in the journal with it.

Weeks later a report says what happened; only the passport says what it happened *to*: which servers really ran which
version, whether anybody had proven that a rollback would arrive, and what was overridden to begin all the same. What
nobody could find out stands there as unknown, with the reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Passport:
    """What was found at the start of a rollout. Texts are for people.

    Attributes:
        stable, canary: by server's address, the version that it runs, or `unknown: ` and why.
        routers: by router, the canary's weight as it was read, such as `0%`.
        before: what became of the same version the last time; empty when there was none.
        drill: when a drill last proved that a rollback would arrive; empty when none has.
        policies: by part (exporter, receiver, rules), the digest of the policy that it went by, or `unknown: ` and why.
        schema: whether the order database had what both versions need, or `unknown: ` and why.
        silences: what a silence in Alertmanager keeps rollbacks and holds from doing.
        freeze: the change freeze that the start went through.
        warnings: what will hurt one day, such as fewer servers than a phase needs.
        forced: whether it began with `--force`.
    """

    stable: Mapping[str, str] = field(default_factory=dict)
    canary: Mapping[str, str] = field(default_factory=dict)
    routers: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    drill: str = ""
    policies: Mapping[str, str] = field(default_factory=dict)
    schema: str = ""
    silences: tuple[str, ...] = ()
    freeze: str = ""
    warnings: tuple[str, ...] = ()
    forced: bool = False

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """From a receiver's answer; what a newer one says besides is passed over."""
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})

    def lines(self) -> Iterator[tuple[str, str]]:
        """What people read: a title and a text each."""
        yield "stable servers", _together(self.stable) or "unknown: none named"
        yield "canary's servers", _together(self.canary) or "unknown: none named"
        if self.routers:
            yield "routers", ", ".join(f"{name} had {weight}" for name, weight in self.routers.items())
        if self.before:
            yield "this version before", self.before
        yield "last drill", self.drill or "never passed"
        if self.policies:
            yield "policy", _together(self.policies)
        if self.schema:
            yield "order database's schema", self.schema
        for silence in self.silences:
            yield "silenced", silence
        if self.freeze:
            yield "in a freeze", self.freeze
        for warning in self.warnings:
            yield "warning", warning
        if self.forced:
            yield "forced", "what would have refused the start was overridden"


def _together(told: Mapping[str, str]) -> str:
    """Those that say the same are told together."""
    by_text: dict[str, list[str]] = {}
    for name, text in told.items():
        by_text.setdefault(text, []).append(name)
    return "; ".join(f"{text} ({', '.join(who)})" for text, who in by_text.items())
