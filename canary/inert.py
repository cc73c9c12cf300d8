"""Words of strangers in what chats and tickets show: they address nobody, hide no address, and begin no line.

Reasons, label values and currencies come from alerts, rows and error messages, and so from whoever can put a text into
those. Each chat service reads such a text in a language of its own: `@everyone`, `<!here>`, `[the page](http://…)`.
apprise escapes for some of them, for Slack and Telegram, and for others not at all, such as Discord and Mattermost.
What all of these languages share is that their signs stand next to each other. So a space without width is put
between: the text reads the same in each service, also in those that have no such language.

An address that stands there as itself stays one, and may become a link: it says where it leads.
"""

import re

_APART = "\u200b"
"""A space without width; Python calls it no blank."""

_MENTION = re.compile(r"(?<![\w.+-])@(?=[\w!&])|@(?=(?:everyone|here|channel|all|team)\b)", re.IGNORECASE)
"""Within a word it is an address, `ann@shop.example`, which is to be copied as it stands; some services look for their
words for everybody even there."""
_MARKUP = re.compile(r"<(?=[^\s\d=\u200b])|\](?=[(\[:])|`(?=``)|\|(?=\|)")
"""Elements and Slack's `<…>` (but not `p <0.01`), links with a text, blocks of code and hidden passages that take in
what follows them."""


def unaddressed(text: str) -> str:
    """The text, which mentions nobody."""
    return _MENTION.sub(rf"\g<0>{_APART}", text)


def inert(text: str) -> str:
    """The text in one line, which mentions nobody and formats nothing beyond itself."""
    return _MARKUP.sub(rf"\g<0>{_APART}", unaddressed(" ".join(text.split())))
