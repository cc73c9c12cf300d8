"""Links in messages that roll back: signed, bound to one rollout, good once and for a while, and only ever lowering.

Whoever reads the message on a phone has no operator's token at hand, and a rollback needs one key only. So the link is
one: it holds what it is about (rollout, message, end), and a signature with a key made from the operators' token. A new
token therefore ends all links, and several receivers take one another's. Nothing is kept of a link that was not used;
that one was stands in the journal, as the key of the rollback's request, and survives a restart.

Scanners of links and previews of chats follow a link by GET. So GET only shows what would be done; POST does it.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from alertmanager.receiver.http.authority import Authority
from canary.timing.clock import Clock
from canary.web.routes.table import Refusal

# Half of SHA-256 is beyond guessing, and keeps the link on one line of a chat.
_SIGNATURE_CHARACTERS = 32

_TOKEN = re.compile(r"(?P<rollout>[A-Za-z0-9._+-]{1,64})~(?P<entry>[0-9]{1,15})~(?P<until>[0-9]{1,12})~[0-9a-f]{32}")


@dataclass(frozen=True)
class Link:
    """What a link is about.

    Attributes:
        entry: position of the journal entry whose message has it.
        key: under which the journal remembers that it was used.
    """

    rollout: str
    entry: int

    @property
    def key(self) -> str:
        """The same for every use of this message's link, whenever it was sent."""
        return f"link-{self.entry}-{self.rollout}"


class RollbackLinks:
    """Makes links and knows them again.

    Args:
        service: the links of another are none of ours.
        page: gives where people open the page, without a slash at its end; empty makes no links.
        seconds: how long a link is good; None makes none.
        authority: knows the operators' tokens that are valid now.
    """

    def __init__(
        self,
        service: str,
        page: Callable[[], str],
        seconds: float | None,
        authority: Callable[[], Authority],
        clock: Clock,
    ) -> None:
        self._service = service
        self._page = page
        self._seconds = seconds
        self._authority = authority
        self._clock = clock

    def url(self, rollout: str, entry: int) -> str:
        """A link for the message about an entry; empty where none can be made, or nobody outside could open it."""
        key, page = next(self._keys(), None), self._page()
        if not page or self._seconds is None or key is None or not entry:
            return ""
        about = f"{rollout}~{entry}~{int(self._clock.now().timestamp() + self._seconds)}"
        return f"{page}/page/lower/{quote(f'{about}~{self._signature(key, about)}', safe='~')}"

    def read(self, token: str) -> Link:
        """What a link is about.

        Raises:
            Refusal: it is none of ours, or no longer good.
        """
        found = _TOKEN.fullmatch(token)
        about, _, signature = token.rpartition("~")
        # Every key is tried, so that the time taken says nothing.
        signed = [hmac.compare_digest(self._signature(key, about), signature) for key in self._keys()] if found else []
        if found is None or not any(signed):
            raise Refusal(HTTPStatus.FORBIDDEN, "this link is not one of ours, or from before the token was replaced")
        if datetime.fromtimestamp(int(found["until"]), UTC) <= self._clock.now():
            raise Refusal(HTTPStatus.GONE, "this link is no longer good", remedy="sign in at the page to roll back")
        return Link(found["rollout"], int(found["entry"]))

    def _keys(self) -> Iterator[bytes]:
        for token in self._authority().operator_tokens:
            yield hmac.digest(token, b"kpi-canary: link that rolls back", "sha256")

    def _signature(self, key: bytes, about: str) -> str:
        text = f"{self._service}\n{about}".encode()
        return hmac.new(key, text, hashlib.sha256).hexdigest()[:_SIGNATURE_CHARACTERS]
