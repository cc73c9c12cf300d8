"""What a server is shown by whoever asks: user, token, certificates, headers, as the policy names them.

Files are read at each question, in a thread: a secret that was replaced is in force at once, and a disk that hangs
keeps nothing from going on but this question, whose time limit covers the reading too. A certificate is parsed again
only when a file has changed. The secret itself is in no message: an error names the policy's key and the file.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canary.certificates import load_chain, tls_context
from canary.errors import SecretError, reason
from canary.policy import servers
from canary.secrets import read_secret


@dataclass
class Access:
    """How one server is asked.

    Attributes:
        settings: the policy's keys.
        key: where in the policy they stand, for messages: `receiver.prometheus`.
        base: the policy's folder, where relative paths begin.
    """

    settings: servers.Access
    key: str
    base: str
    _tls: tuple[object, ssl.SSLContext] | None = field(default=None, init=False, repr=False)

    async def credentials(self) -> tuple[Mapping[str, str], ssl.SSLContext | bool]:
        """The headers of a question, and what the connection is encrypted with (True: the machine's own authorities).

        Raises:
            SecretError: a file that is named cannot be read, or is no certificate.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[Mapping[str, str], ssl.SSLContext | bool]:
        return {**self.settings.headers, **self._authorization()}, self._context()

    def _authorization(self) -> Mapping[str, str]:
        settings = self.settings
        if settings.username is not None:
            key = f"{self.key}.password"
            password = read_secret(key, file=settings.password_file, env=settings.password_env, base=self.base)
            pair = b64encode(f"{settings.username}:{password or ''}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        if settings.token_file is not None:
            token = read_secret(f"{self.key}.token", file=settings.token_file, base=self.base)
            return {"Authorization": f"Bearer {token}"}
        return {}

    def _context(self) -> ssl.SSLContext | bool:
        settings = self.settings
        named = {"ca_file": settings.ca_file, "cert_file": settings.cert_file, "key_file": settings.key_file}
        files = {key: Path(self.base, name) for key, name in named.items() if name is not None}
        if not files:
            return True
        try:
            marks = tuple((file.stat().st_mtime_ns, file.stat().st_ino) for file in files.values())
            if self._tls is None or self._tls[0] != marks:
                context = tls_context(files.get("ca_file"))
                if "cert_file" in files:
                    load_chain(context, files["cert_file"], files.get("key_file"))
                self._tls = (marks, context)
        except (OSError, ValueError) as error:  # ssl's own errors are an OSError
            what = f"one of {', '.join(str(file) for file in files.values())} cannot be used ({reason(error)})"
            raise SecretError(what, place=self.key) from error
        return self._tls[1]


def access_of(settings: servers.Access, key: str, base: str) -> Access | None:
    """How a server is asked that wants something; None for one that lets everybody in."""
    nothing = servers.Access()
    wanted = any(getattr(settings, name) != getattr(nothing, name) for name in _KEYS)
    return Access(settings, key, base) if wanted else None


_KEYS = ("username", "token_file", "ca_file", "cert_file", "headers")
