"""Secrets: read late, from a file or the environment, and never put into a message.

Late, because a secret that was replaced is taken up by the next read without a restart, and because a command that
needs none does not fail for want of one. An error names the policy's key and the place, never anything of the content:
not even of a file that is no text.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from canary.errors import SecretError, reason

# Guessing is stopped after ten wrong tokens a minute and address, so this is what a network of strangers does not find
# either; what the remedy makes has 64 characters.
_LEAST_CHARACTERS = 8
_LEAST_DIFFERENT = 4
_REMEDY_COMMAND = "openssl rand -hex 32"


def read_secret(
    what: str,
    *,
    file: str | None = None,
    env: str | None = None,
    base: str = ".",
    environ: Mapping[str, str] = os.environ,
) -> str | None:
    """The secret's text without surrounding white space, or None when neither a file nor a variable is named.

    Args:
        what: the policy's key, for messages.
        file: path, relative to *base*.
        env: name of an environment variable; it wins over the file.

    Raises:
        SecretError: it is named but missing, unreadable or empty.
    """
    if env is not None:
        text = environ.get(env, "").strip()
        if not text:
            raise SecretError(f"the environment variable {env} is not set or empty", place=what)
        return text
    if file is None:
        return None
    path = Path(base) / file
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(
            f"the file {path} cannot be read ({reason(error)})",
            place=what,
            remedy=f"make one: {_REMEDY_COMMAND} > {file}" if "token" in what and not path.exists() else "",
        ) from error
    if not text:
        raise SecretError(f"the file {path} is empty", place=what)
    return text


def bearer_tokens(what: str, text: str | None) -> tuple[str, ...]:
    """The tokens of a secret's text, one a line or separated by spaces.

    Args:
        what: the policy's key, for messages.
        text: as `read_secret` gives it; None has none.

    Raises:
        SecretError: one could never be sent in a header, or is guessed too easily.
    """
    tokens = tuple((text or "").split())
    for number, token in enumerate(tokens, 1):
        place = what if len(tokens) == 1 else f"{what}, number {number}"
        if not (token.isascii() and token.isprintable()):
            raise SecretError(
                "the token has characters that no header can hold, such as a byte order mark",
                place=place,
                remedy=f"write it anew: {_REMEDY_COMMAND}",
            )
        if len(token) < _LEAST_CHARACTERS or len(set(token)) < _LEAST_DIFFERENT:
            raise SecretError(
                f"the token is too easily guessed, expected at least {_LEAST_CHARACTERS} characters, "
                f"{_LEAST_DIFFERENT} of them different",
                place=place,
                remedy=f"make one by: {_REMEDY_COMMAND}",
            )
    return tokens
