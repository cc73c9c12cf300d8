import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canary.policy.load import load_policy
from canary.policy.model import Policy
from grafana import generate
from tests.support.programs.prometheus import Prometheus
from tests.support.stories.story import Story

ROOT = Path(__file__).resolve().parents[2]

# Within a block of two hours, so that one start of Prometheus serves every test.
STORY_ENDS_AT = 1_764_000_000.0


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The house's own policy."""
    return load_policy(ROOT / "canary.yaml")


@pytest.fixture(scope="session")
def dashboards(policy: Policy) -> dict[str, dict[str, Any]]:
    """What is generated from it."""
    return {name: json.loads(text) for name, text in generate.dashboards(policy).items()}


@pytest.fixture(scope="session")
def story(policy: Policy) -> Story:
    """A rollout that went wrong."""
    return Story(policy.service, STORY_ENDS_AT)


@pytest.fixture(scope="session")
def prometheus(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A server that holds the story."""
    history = tmp_path_factory.mktemp("story") / "story.om"
    story.write(history)
    with Prometheus(history=history) as server:
        yield server
