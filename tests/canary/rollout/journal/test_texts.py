"""Texts on their way into the journal: whatever one holds, it can be stored and shown, and decides the same."""

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.entries import Held, RollbackDecided, Started
from canary.rollout.folding import fold
from canary.rollout.journal.texts import REFUSED, forms, showable, storable
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

# Everything that Python calls a text, halves of surrogate pairs included.
ANY = st.text(st.characters(categories=["L", "N", "P", "S", "Z", "Cc", "Cf", "Cs", "Co", "Cn"]))


@given(text=ANY, most=st.integers(1, 60))
def test_no_text_hides_anything_or_is_too_long(text: str, most: int) -> None:
    """What comes through is within its bound, goes into UTF-8, and steers neither terminal nor direction."""
    shown = showable(text, most)

    assert len(shown) <= most
    assert shown.encode().decode() == shown
    assert all(unicodedata.category(one) not in ("Cc", "Cs", "Zl", "Zp") or one in "\n\t" for one in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert showable(shown, most) == shown


def test_what_is_hidden_is_written_out() -> None:
    """A reader sees what was there, and what people write in other languages stays as it is."""
    assert showable("\x1b[2J\0 \ud800 \u202e", 100) == "\\x1b[2J\\x00 \\ud800 \\u202e"
    assert showable("Ünïcode 統計 👩\u200d🚀\nline", 100) == "Ünïcode 統計 👩\u200d🚀\nline"
    assert showable("x" * 20, 10) == "xxxxxxxxx…"


@given(reason=ANY, actor=ANY, cause=ANY)
def test_every_form_decides_the_same(reason: str, actor: str, cause: str) -> None:
    """However plainly an entry has to be written, the rollout that it leads to has the same state and weight."""
    entry = RollbackDecided(rollout="r1", at=NOON, actor=actor, reason=reason, cause=cause)
    begun = started("r1", NOON)

    results = {(now.state, now.weight) for one in forms(entry) for now in fold([begun, one]).values()}

    assert len(results) == 1
    *_, bare = forms(entry)
    assert bare.reason == REFUSED
    assert bare.rollout == "r1"
    assert all(text.isascii() for text in (bare.reason, bare.actor, str(bare.data())))


def test_what_needs_no_cleaning_stays_the_same() -> None:
    """Kinds, steps and numbers are not touched, and texts within bounds are written as they are."""
    entry = Held(rollout="r1", at=NOON, actor="ann", reason="because", cause="CanaryBlind", lifts=True)
    assert storable(entry) == entry
    plan = started("r1", NOON)
    assert storable(plan) == plan
    assert isinstance(storable(replace(plan, canary="\0")), Started)
