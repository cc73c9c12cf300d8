"""The token files."""

from collections.abc import Callable
from pathlib import Path

from canary.policy import Policy
from canaryctl.check import Status
from canaryctl.check.secret import check_secrets

Write = Callable[[str], Policy]
LONG = "0123456789abcdef0123456789abcdef"


def token(folder: Path, name: str, text: str, mode: int = 0o600) -> None:
    """A token file."""
    (folder / name).write_text(text, encoding="utf-8")
    (folder / name).chmod(mode)


def test_good_tokens_pass(write_policy: Write, tmp_path: Path) -> None:
    """Long, private and different tokens, an old and a new one during rotation."""
    token(tmp_path, "webhook", f"{LONG}a\n")
    token(tmp_path, "previous", f"{LONG}b\n")
    token(tmp_path, "operator", f"{LONG}c\n")
    files = "{token_file: webhook, previous_token_file: previous, operator_token_file: operator}"

    findings = check_secrets(write_policy(f"receiver: {files}\n"))

    assert [finding.status for finding in findings] == [Status.OK] * 3 + [Status.SKIPPED] * 2


def test_a_file_of_two_tokens_is_refused(write_policy: Write, tmp_path: Path) -> None:
    """Alertmanager sends the whole file as one token, which no receiver takes: no rollback would arrive."""
    token(tmp_path, "webhook", f"{LONG}a\n{LONG}b\n")

    found = check_secrets(write_policy("receiver: {token_file: webhook}\n"))[0]

    assert found.status is Status.FAILED
    assert "previous_token_file" in found.remedy


def test_weak_tokens_are_named_without_being_shown(write_policy: Write, tmp_path: Path) -> None:
    """Missing, short, world-readable and shared tokens each have their own line."""
    token(tmp_path, "operator", "short")
    token(tmp_path, "flags", LONG, 0o644)
    missing = check_secrets(write_policy("receiver: {token_file: webhook, operator_token_file: operator}\n"))
    token(tmp_path, "webhook", LONG)
    shared = check_secrets(write_policy("receiver: {token_file: webhook, flags_token_file: flags}\n"))

    assert "cannot be read" in missing[0].what
    assert "make one: openssl rand -hex 32 > webhook" in missing[0].remedy
    assert missing[2].what == "shorter than 16 characters"
    assert any("every user of this machine can read" in finding.what for finding in shared)
    assert any(finding.what == "is the same as receiver.token" for finding in shared)
    assert not any(word in str(finding) for finding in [*missing, *shared] for word in (LONG, "short\n"))
