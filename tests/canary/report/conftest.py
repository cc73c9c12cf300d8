"""A rollout that went wrong, in a journal's entries and in a real Prometheus."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from canary.policy import Policy, load_policy
from canary.rollout.entries import Entry
from canary.rollout.kinds import Kind
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.entries import entry as entry_of
from tests.support.stories.story import CANARY, SECOND, STABLE, START, THIRD, Story

STORY_ENDS_AT = 1_764_000_000.0
SERVICE = "shop"


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The strategy's six KPIs, and the shop's own series by version."""
    path = tmp_path_factory.mktemp("policy") / "canary.yaml"
    path.write_text(f"service: {SERVICE}\nsignals: {{selector: 'job=\"shop\"'}}\n", encoding="utf-8")
    return load_policy(path)


@pytest.fixture(scope="session")
def story() -> Story:
    """The series."""
    return Story(SERVICE, STORY_ENDS_AT)


@pytest.fixture(scope="session")
def entries(story: Story) -> list[Entry]:
    """The journal that belongs to the series."""

    def entry(minute: float, kind: Kind, actor: str, reason: str = "", **data: object) -> Entry:
        at = datetime.fromtimestamp(story.at(minute), UTC)
        return entry_of(story.rollout, kind, at, actor, reason, data, seq=round(minute * 10))

    return [
        entry(
            START, Kind.STARTED, "ada", f"{CANARY} against {STABLE}",
            stable=STABLE, canary=CANARY, traffic=[0.05, 0.25, 0.5, 1.0], durations_seconds=[300, 900, 1200, 1800],
        ),
        entry(SECOND, Kind.ADVANCED, "alertmanager", phase=1),
        entry(THIRD, Kind.ADVANCED, "alertmanager", phase=2),
        entry(
            story.proven, Kind.ROLLBACK, "alertmanager", "payments <b>fail</b> | *often*",
            cause="CanaryPaymentSuccessDegraded",
        ),
        entry(story.proven + 0.2, Kind.STEP_DONE, "receiver", step="traffic"),
        entry(story.proven + 0.5, Kind.ROLLED_BACK, "receiver"),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def prometheus(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A server that holds the series."""
    history = tmp_path_factory.mktemp("story") / "story.om"
    story.write(history)
    with Prometheus(history=history) as server:
        yield server
