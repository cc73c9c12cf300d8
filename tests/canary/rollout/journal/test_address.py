"""Where the policy says that the journal is, and what people read when there is none."""

import asyncio
from pathlib import Path

import pytest

from canary.errors import JournalError, SecretError
from canary.policy.model import Policy, State
from canary.rollout.journal.journal import Journal, journal_url

# Much less than whoever makes a journal next to others waits for them.
_AT_ONCE_SECONDS = 8.0


@pytest.mark.parametrize("place", [{"url_file": "url"}, {"url_env": "SHOP_JOURNAL"}])
def test_the_address_may_be_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]) -> None:
    """A URL from a file or the environment wins."""
    (tmp_path / "url").write_text("postgresql://shop:secret@db/canary\n")
    monkeypatch.setenv("SHOP_JOURNAL", "postgresql://shop:secret@db/canary")
    url = journal_url(Policy(service="shop", state=State(**place), base=str(tmp_path)))

    assert url.render_as_string(hide_password=False) == "postgresql+asyncpg://shop:secret@db/canary"


def test_a_secret_that_is_missing_is_told_by_its_place(tmp_path: Path) -> None:
    """It is not the default that is used then."""
    with pytest.raises(SecretError, match="cannot be read") as caught:
        journal_url(Policy(service="shop", state=State(url_file="url"), base=str(tmp_path)))
    assert caught.value.place == "state.url"


def test_a_file_is_looked_for_in_the_policys_folder(tmp_path: Path) -> None:
    """Wherever the program was started."""
    assert journal_url(Policy(service="shop", base=str(tmp_path))).database == str(tmp_path / "state.db")


_NO_URL = "not a database URL; give one such as sqlite:///shop.db or postgresql://canary@db.example/shop"
_THERE = "; check that the database is there and writable"


@pytest.mark.parametrize(
    ("url", "place", "message"),
    [
        ("mysql://host/db", "state.url", "expected sqlite or postgresql, found mysql"),
        ("nonsense", "state.url", _NO_URL),
        (None, "state.url", _NO_URL),
        ("sqlite:////nowhere/state.db", "journal sqlite+aiosqlite:////nowhere/state.db", f"open database file{_THERE}"),
        ("postgresql://shop:secret@127.0.0.1:1/db", "journal postgresql://shop:***@127.0.0.1:1/db", _THERE),
    ],
)
async def test_faults_are_ours_and_keep_the_password(url: str | None, place: str, message: str) -> None:
    """Whatever is wrong with the database is told in our words, at once, and without the password."""
    policy = Policy(service="shop", state=State(url=url))

    with pytest.raises(JournalError) as caught:
        async with asyncio.timeout(_AT_ONCE_SECONDS), Journal.open(policy):
            raise AssertionError("opened")

    assert str(caught.value).startswith(f"{place}: ")
    assert str(caught.value).endswith(message)
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_away_is_met_when_it_is_asked(tmp_path: Path) -> None:
    """A receiver starts without it; the error keeps the password then, too."""
    policy = Policy(service="shop", state=State(url="postgresql://shop:secret@127.0.0.1:1/db"), base=str(tmp_path))
    async with Journal.open(policy, patient=True) as journal:
        with pytest.raises(JournalError) as caught:
            await journal.position()

    assert str(caught.value).startswith("journal postgresql+asyncpg://shop:***@127.0.0.1:1/db: ")
    assert str(caught.value).endswith(_THERE)
