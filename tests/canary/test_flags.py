"""Feature flags and experiments: sticky, monotone, independent, groups first."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import FlagError
from canary.flags import Flags, Reason, place
from canary.policy.experiments import Experiment, Flag, Variant
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State, Weight

NOW = datetime(2026, 3, 1, tzinfo=UTC)
USERS = [f"user-{number}" for number in range(20_000)]


def flags(**kinds: Flag) -> Flags:
    """The flags of a policy that has only these."""
    return Flags(Policy(service="shop", flags=kinds))


def rollout(weight: float, state: State = State.PHASE) -> Rollout:
    """A rollout with this share."""
    return Rollout(
        id="r-1",
        stable="v1",
        canary="v2",
        traffic=(0.05, 1.0),
        durations_seconds=(300.0, 600.0),
        state=state,
        started_at=NOW,
        phase=0,
        phase_started_at=NOW,
        weights=(Weight(NOW, weight),),
    )


def seen_by(chosen: Flags, key: str, users: list[str], current: Rollout | None = None) -> set[str]:
    """The users who get the treatment."""
    return {user for user in users if chosen.evaluate(key, {"targetingKey": user}, current).value is True}


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_growing_a_percentage_only_adds_users(user: str, one: float, other: float) -> None:
    """A user who sees a flag at some percentage sees it at every larger one."""
    small, large = sorted((one, other))

    before = flags(a=Flag(percentage=small)).evaluate("a", {"targetingKey": user}).value
    after = flags(a=Flag(percentage=large)).evaluate("a", {"targetingKey": user}).value

    assert after or not before


def test_share_is_what_was_asked_and_flags_are_independent() -> None:
    """A tenth of the users see a 10 % flag, and a tenth of those another one, as chance would have it."""
    both = flags(a=Flag(percentage=0.1), b=Flag(percentage=0.1))

    first, second = seen_by(both, "a", USERS), seen_by(both, "b", USERS)

    assert 0.09 < len(first) / len(USERS) < 0.11
    assert 0.07 < len(first & second) / len(first) < 0.13


@given(st.text())
def test_places_are_fixed_and_within_bounds(user: str) -> None:
    """A user's place never changes and lies from 0 to 1."""
    assert place("flag", user) == place("flag", user)
    assert 0 <= place("flag", user) <= 1


def test_places_are_the_documented_hash() -> None:
    """Another program can compute the same places from the documented formula."""
    assert place("newCheckoutFlow", "user-1") == pytest.approx(0.253418617872, abs=1e-12)


def test_groups_come_first() -> None:
    """Somebody of a named group sees the flag whatever the percentage, even without a key."""
    beta = flags(a=Flag(percentage=0, groups=("beta_users",)))

    assert beta.evaluate("a", {"groups": ["beta_users"]}).reason is Reason.TARGETING_MATCH
    assert beta.evaluate("a", {"group": "beta_users"}).value is True
    assert beta.evaluate("a", {"targetingKey": "u", "group": "others"}).value is False


def test_a_disabled_flag_gives_everybody_the_control() -> None:
    """Nobody sees a flag that is switched off, not even its groups."""
    off = flags(a=Flag(enabled=False, percentage=1, groups=("beta_users",)))

    found = off.evaluate("a", {"targetingKey": "u", "group": "beta_users"})

    assert (found.value, found.reason) == (False, Reason.DISABLED)


def test_a_following_flag_has_the_rollouts_share() -> None:
    """With `follow_rollout` a flag is seen by as many users as the router sends to the canary, growing with it."""
    following = flags(a=Flag(follow_rollout=True))

    five, quarter = (seen_by(following, "a", USERS, rollout(share)) for share in (0.05, 0.25))

    assert 0.045 < len(five) / len(USERS) < 0.055
    assert five < quarter


@pytest.mark.parametrize("state", [State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED])
def test_a_rollback_switches_a_following_flag_off(state: State) -> None:
    """After a rollback nobody sees a flag that follows the rollout, its groups included."""
    following = flags(a=Flag(follow_rollout=True, groups=("beta_users",)))

    found = following.evaluate("a", {"group": "beta_users"}, rollout(0, state))

    assert (found.value, found.reason) == (False, Reason.DISABLED)


def test_a_promotion_leaves_a_following_flag_on() -> None:
    """After a promotion everybody sees a flag that follows the rollout."""
    following = flags(a=Flag(follow_rollout=True))

    assert following.evaluate("a", {"targetingKey": "u"}, rollout(1, State.PROMOTED)).value is True


def test_missing_keys_and_unknown_flags_are_named() -> None:
    """A flag that needs a user's key says so, and an unknown flag is told apart from that."""
    half = flags(a=Flag(percentage=0.5))

    with pytest.raises(FlagError) as missing:
        half.evaluate("a", {})
    with pytest.raises(FlagError) as unknown:
        half.evaluate("b", {"targetingKey": "u"})
    with pytest.raises(FlagError) as odd:
        half.evaluate("a", {"targetingKey": 7})

    assert [error.value.code for error in (missing, unknown, odd)] == [
        "TARGETING_KEY_MISSING",
        "FLAG_NOT_FOUND",
        "INVALID_CONTEXT",
    ]


def test_an_experiments_variants_get_their_weights() -> None:
    """Three variants share the users as their weights say, and each tells its version."""
    weights = {"control": Variant(weight=80, version="v1.0"), "blue": Variant(weight=15), "green": Variant(weight=5)}
    policy = Policy(service="shop", experiments={"colour": Experiment(variants=weights)})
    chosen = Flags(policy)

    found = [chosen.evaluate("colour", {"targetingKey": user}) for user in USERS]

    shares = {name: sum(one.variant == name for one in found) / len(USERS) for name in weights}
    assert shares == pytest.approx({"control": 0.8, "blue": 0.15, "green": 0.05}, abs=0.01)
    assert next(one for one in found if one.variant == "control").metadata == {"version": "v1.0"}


def test_a_stopped_experiment_gives_everybody_the_control() -> None:
    """Once stopped, an experiment shows its control to all."""
    variants = {"control": Variant(weight=1), "treatment": Variant(weight=99)}
    policy = Policy(service="shop", experiments={"checkout": Experiment(variants=variants)})

    found = Flags(policy).evaluate("checkout", {"targetingKey": "u"}, stopped=("checkout",))

    assert (found.variant, found.reason) == ("control", Reason.DISABLED)


def test_growing_a_treatment_only_adds_users() -> None:
    """Nobody leaves a treatment when its weight grows at the control's expense."""
    small = Experiment(variants={"control": Variant(weight=90), "treatment": Variant(weight=10)})
    large = replace(small, variants={"control": Variant(weight=70), "treatment": Variant(weight=30)})

    before, after = (
        {
            user
            for user in USERS
            if Flags(Policy(service="shop", experiments={"e": experiment}))
            .evaluate("e", {"targetingKey": user})
            .variant
            == "treatment"
        }
        for experiment in (small, large)
    )

    assert before < after
