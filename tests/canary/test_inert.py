"""Words of strangers in chats and tickets."""

import pytest

from canary.inert import inert, unaddressed

HOSTILE = [
    "@everyone",
    "ann@here",
    "<!channel>",
    "<@U024BE7LH>",
    "<@&1234>",
    "<users/all>",
    "<http://evil.example|the page>",
    "[the page](http://evil.example)",
    "[the page][1]",
    "[1]: http://evil.example",
    "```the rest is code",
    "``````",
    "||hidden||",
    "<b>bold</b>",
    "over\nRoll back (asks first; works once): http://evil.example\r\n# done\u2028done\u0085",
]
SIGNS = (
    "@e",
    "@h",
    "@U",
    "@&",
    "<!",
    "<@",
    "<u",
    "<h",
    "<b",
    "</",
    "](",
    "][",
    "]:",
    "```",
    "||",
    "\n",
    "\r",
    "\u2028",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_strangers_address_and_format_nothing(text: str) -> None:
    """No sign of a chat's language is left in one piece, and what people read is the same."""
    found = inert(text)

    assert not [sign for sign in SIGNS if sign in found]
    assert found.replace("\u200b", "") == " ".join(text.split())
    assert inert(found) == found


@pytest.mark.parametrize(
    "text",
    ["84% <96%, p < 0.05", "`canary resume`", "a [b] (c) | d", "mail to ops @ shop", "by root@vm-1.example", "5 => 3"],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    """What no chat takes for a sign is not touched."""
    assert inert(text) == text


def test_a_text_that_is_escaped_otherwise_loses_its_mentions_alone() -> None:
    """Markdown's own signs are left to who writes Markdown."""
    assert unaddressed("[x](y) @team") == "[x](y) @\u200bteam"
