"""Secrets: read late, never shown."""

from pathlib import Path

import pytest

from canary.errors import SecretError
from canary.secrets import bearer_tokens, read_secret


def test_a_secret_comes_from_a_file_beside_the_policy(tmp_path: Path) -> None:
    """A relative file starts at the policy's folder; surrounding white space is not part of it."""
    (tmp_path / "token").write_text("  s3cret\n", encoding="utf-8")

    assert read_secret("receiver.token", file="token", base=str(tmp_path)) == "s3cret"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """With both named, the variable counts and the file need not exist."""
    environ = {"TOKEN": "from-env"}

    assert read_secret("t", file="missing", env="TOKEN", base=str(tmp_path), environ=environ) == "from-env"


def test_nothing_named_is_no_secret() -> None:
    """Without a file or a variable there is none, and that is no error."""
    assert read_secret("receiver.token") is None


@pytest.mark.parametrize(
    ("file", "env", "expected"),
    [
        (
            "missing",
            None,
            r"receiver.token: the file .*missing cannot be read \(No such file or directory\); make one",
        ),
        ("empty", None, "receiver.token: the file .*empty is empty"),
        ("binary", None, r"cannot be read \(it is not UTF-8 text\)"),
        (None, "TOKEN", "receiver.token: the environment variable TOKEN is not set or empty"),
    ],
)
def test_a_named_secret_that_is_not_there_is_an_error(
    tmp_path: Path, file: str | None, env: str | None, expected: str
) -> None:
    """The message names the policy's key and the place, never the content."""
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfehidden")

    with pytest.raises(SecretError, match=expected) as caught:
        read_secret("receiver.token", file=file, env=env, base=str(tmp_path), environ={"TOKEN": " "})

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["\ufeffabcdefghijkl", "x", "short", "aaaaaaaaaaaaaaaa", "good-token-1 x", "sch\u00f6nes-token"]
)
def test_a_weak_token_is_refused_with_the_way_to_a_good_one(text: str) -> None:
    """A byte order mark never matches, and what is short or one character over and over is guessed."""
    with pytest.raises(SecretError, match="openssl rand -hex 32") as caught:
        bearer_tokens("receiver.token", text)

    assert f" {text.rsplit(maxsplit=1)[-1]} " not in str(caught.value)


def test_several_tokens_are_valid_at_once() -> None:
    """One a line or separated by spaces, so that they can be replaced without a gap; none is none."""
    assert bearer_tokens("receiver.token", "first-token\nsecond-token third-token") == (
        "first-token",
        "second-token",
        "third-token",
    )
    assert bearer_tokens("receiver.token", None) == ()
