"""The demo's policy, derived from the repository's."""

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import PolicyError
from canary.policy import load_policy
from canary.units import parse_duration
from demo.shop import flags
from demo.stack import policy
from demo.stack.places import Places

STRATEGY = Path(__file__).parents[3] / "canary.yaml"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Places in a folder of the test."""
    return Places.choose(tmp_path)


def test_only_places_and_times_differ_from_the_strategy(places: Places) -> None:
    """The demo judges by exactly the numbers of the repository's policy."""
    strategy = yaml.safe_load(STRATEGY.read_text())
    path = places.file("canary.yaml")

    policy.write(policy.derive(STRATEGY, places, database="sqlite+aiosqlite:///x.db", speed=30), path)

    original, derived = load_policy(STRATEGY), load_policy(path)
    assert derived.kpis == original.kpis
    assert derived.evidence.alpha == original.evidence.alpha
    assert [phase.traffic for phase in derived.phases] == [phase.traffic for phase in original.phases]
    assert set(derived.flags) == {*original.flags, flags.FLAG}
    assert [phase.duration * 30 for phase in derived.phases] == [phase.duration for phase in original.phases]
    beat, own = derived.receiver.watchdog, original.receiver.watchdog
    assert (beat.timeout, beat.then) == (60, 30)
    assert (beat.action, beat.up_to) == (own.action, own.up_to)
    for tier in ("critical", "warning", "info"):
        numbers = {key: value for key, value in strategy["signals"][tier].items() if key != "hold_for"}
        written = yaml.safe_load(path.read_text())["signals"][tier]
        assert {key: written[key] for key in numbers} == numbers


@pytest.mark.parametrize(("scrape_seconds", "parts"), [(1.0, 4), (5.0, 5)])
def test_every_part_that_is_scraped_is_waited_for(
    places: Places, monkeypatch: pytest.MonkeyPatch, scrape_seconds: float, parts: int
) -> None:
    """Both shops, exporter and receiver; proofs have a job of their own where everything else is scraped less often."""
    monkeypatch.setattr(policy, "SCRAPE_SECONDS", scrape_seconds)
    path = places.file("canary.yaml")
    policy.write(policy.derive(STRATEGY, places, database="sqlite+aiosqlite:///x.db", speed=30), path)

    assert policy.scraped(load_policy(path)) == parts


def test_a_password_stands_in_a_file_of_its_own(places: Places) -> None:
    """The database's address may hold a password, so only its owner can read it, outside the policy."""
    secret = "postgresql+asyncpg://shop:pssst@127.0.0.1/shop"

    derived = policy.derive(STRATEGY, places, database=secret, speed=30)

    file = Path(derived["database"]["url_file"])
    assert "pssst" not in yaml.safe_dump(derived)
    assert file.read_text().strip() == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_shortest_policy_is_enough(places: Places, tmp_path: Path) -> None:
    """What a policy leaves out, the demo takes from its defaults."""
    bare = tmp_path / "bare.yaml"
    bare.write_text("service: shop\n")
    path = places.file("canary.yaml")

    policy.write(policy.derive(bare, places, database="sqlite+aiosqlite:///x.db", speed=60), path)

    derived = load_policy(path)
    assert [(phase.traffic, phase.duration) for phase in derived.phases] == [(0.05, 5), (0.25, 15), (0.5, 20), (1, 30)]


def test_the_users_own_secrets_do_not_win_over_the_demos(places: Places, tmp_path: Path) -> None:
    """A policy in use names its own database, tokens and chats; the demo touches none of them."""
    used = tmp_path / "used.yaml"
    used.write_text(
        "service: shop\n"
        "state: {url_env: STATE_URL}\n"
        "database: {url_env: SHOP_URL, password_env: SHOP_PASSWORD}\n"
        "receiver: {token_env: TOKEN, operator_token_env: OPERATOR}\n"
        "notify: {urls_env: CHATS}\n"
        "phases: [{traffic: 100%, duration: 10m, max_duration: 1h}]\n"
    )
    path = places.file("canary.yaml")

    policy.write(policy.derive(used, places, database="sqlite+aiosqlite:///x.db", speed=60), path)

    assert "_env" not in path.read_text()
    (phase,) = load_policy(path).phases
    assert (phase.duration, phase.max_duration) == (10, 60)


def test_faults_of_the_policy_are_told_with_their_lines(places: Places, tmp_path: Path) -> None:
    """A policy that `canary check` refuses is refused here with the same words."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("service: shop\nphasen: []\n")

    with pytest.raises(PolicyError, match=r"wrong\.yaml:2"):
        policy.derive(wrong, places, database="sqlite+aiosqlite:///x.db", speed=60)


@given(st.floats(0.1, 86400), st.floats(1, 120), st.floats(0.1, 60))
def test_compressed_durations_keep_their_floor(seconds: float, speed: float, at_least: float) -> None:
    """A compressed duration is the divided one to a tenth of a second, but never below its floor."""
    written = parse_duration(policy.compressed(seconds, speed, at_least))

    assert written == pytest.approx(max(at_least, seconds / speed), abs=0.051)


def test_every_part_has_a_port_of_its_own(tmp_path: Path) -> None:
    """No two parts listen at the same place, those that another stack has besides included."""
    places = Places.choose(tmp_path, ("ruler", "sidecar"))

    assert len(set(places.ports.values())) == len(places.ports) == 10
    assert places.url("front") == f"http://{places.address('front')}"
