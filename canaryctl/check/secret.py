"""The token files: there, not shared with other users of the machine, and different from one another."""

from collections.abc import Iterator
from pathlib import Path

from canary.errors import SecretError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.secrets import read_secret

# 16 characters of hexadecimal digits are 64 bits: with ten attempts a minute from one address nobody guesses them.
_SHORT = 16


def check_secrets(policy: Policy) -> list[Finding]:
    """One finding per token of the receiver. Tokens never appear in them."""
    receiver = policy.receiver
    named = {
        "receiver.token": (receiver.token_file, receiver.token_env),
        "receiver.previous_token": (receiver.previous_token_file, None),
        "receiver.operator_token": (receiver.operator_token_file, receiver.operator_token_env),
        "receiver.flags_token": (receiver.flags_token_file, receiver.flags_token_env),
        "receiver.router_token": (receiver.router_token_file, receiver.router_token_env),
    }
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for place, (file, env) in named.items():
        try:
            text = read_secret(place, file=file, env=env, base=policy.base)
        except SecretError as error:
            findings.append(failed(place, error.what, f"make one: openssl rand -hex 32 > {file}" if file else ""))
            continue
        if text is None:
            findings.append(skipped(place, "the policy names none"))
            continue
        if place == "receiver.token" and len(text.split()) > 1:
            what = "holds several tokens, and Alertmanager would send the whole file as one"
            findings.append(failed(place, what, "keep one there, the old one in receiver.previous_token_file"))
            continue
        findings += _weaknesses(place, text, Path(policy.base) / file if file and not env else None)
        for token in text.split():
            if seen.setdefault(token, place) != place:
                findings.append(failed(place, f"is the same as {seen[token]}", "make one of its own"))
    return [*findings, *_operators(policy)]


def _operators(policy: Policy) -> Iterator[Finding]:
    """Each operator's own token is on the receiver's machine and on theirs, and need not be on this one."""
    for name, own in policy.receiver.operators.items():
        place = f"receiver.operators.{name}"
        try:
            text = read_secret(place, file=own.token_file, env=own.token_env, base=policy.base) or ""
        except SecretError as error:
            yield warning(place, error.what, "the receiver needs it where it runs")
            continue
        yield from _weaknesses(place, text, Path(policy.base) / own.token_file if own.token_file else None)


def _weaknesses(place: str, text: str, path: Path | None) -> list[Finding]:
    if any(len(token) < _SHORT for token in text.split()):
        return [failed(place, f"shorter than {_SHORT} characters", "make one: openssl rand -hex 32")]
    if path is not None and path.stat().st_mode & 0o007:
        return [warning(place, f"every user of this machine can read {path}", f"chmod 640 {path}")]
    return [ok(place, "there and long enough")]
