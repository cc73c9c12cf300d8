"""The release passport, as a command reads it from a receiver of another version."""

from canary.rollout.passport import Passport


def test_a_receiver_of_another_version_is_understood() -> None:
    """What a newer one says besides is passed over; what an older one does not say is empty."""
    passport = Passport.read({"stable": {"s1": "v1.0"}, "weather": "fine"})

    assert passport == Passport(stable={"s1": "v1.0"})
    assert dict(passport.lines())["stable servers"] == "v1.0 (s1)"
