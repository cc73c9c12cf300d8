"""Secrets: read late, from a file or the environment, and never put into a message.

Late, because a secret that was replaced is taken up by the next read without a restart, and because a command that
needs none does not fail for want of one. An error names the policy's key and the place, never anything of the content:
not even of a file that is no text.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from canary.errors import SecretError


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
        raise SecretError(f"the file {path} cannot be read ({type(error).__name__})", place=what) from error
    if not text:
        raise SecretError(f"the file {path} is empty", place=what)
    return text
