"""What others' usual settings would have done."""

from datetime import UTC, datetime

from canary.report.review.opinion import Curves, judged


def minutes(*values: float) -> list[tuple[float, float]]:
    """One value a minute."""
    return [(60.0 * minute, value) for minute, value in enumerate(values)]


def test_each_decides_by_its_own_counting() -> None:
    """At 30 % errors the strategy acts at the first look, Flagger at the fifth, Argo at its fourth measurement."""
    literal, flagger, argo = judged(Curves(errors=minutes(*[0.0] * 3, *[0.3] * 30)))

    assert literal.at == datetime.fromtimestamp(3 * 60, UTC)
    assert "30.0%" in literal.why
    assert flagger.at == datetime.fromtimestamp(7 * 60, UTC)
    assert argo.at == datetime.fromtimestamp(20 * 60, UTC)


def test_payments_alone_concern_the_strategy_only() -> None:
    """The two others look at requests, and see nothing of payments that fail with status 200."""
    literal, flagger, argo = judged(Curves(errors=minutes(*[0.0] * 30), payments=minutes(0.0, -0.2)))

    assert literal.at == datetime.fromtimestamp(60, UTC)
    assert flagger.at is None
    assert argo.at is None


def test_a_slow_answer_is_a_failed_check_too() -> None:
    """A check that is both slow and full of errors is one failed check."""
    curves = Curves(errors=minutes(*[0.02] * 4), p99_seconds=minutes(*[0.6] * 4))

    assert judged(curves)[1].at is None
    assert judged(Curves(errors=minutes(*[0.02] * 5)))[1].at == datetime.fromtimestamp(4 * 60, UTC)


def test_nothing_known_is_no_opinion() -> None:
    """Without a series nobody would have looked at anything."""
    assert judged(Curves()) == []
