"""What an earlier version has written is read by this one: journal, policy, state of the exporter."""

import sqlite3
from pathlib import Path

import pytest

from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.model import State as Section
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Step
from canary.rollout.state import State
from exporter.publish.counters import Series
from exporter.publish.statefile import StateFile

FORMATS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "journal.sql").exists())


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def written(request: pytest.FixtureRequest) -> Path:
    """The folder of one version."""
    folder: Path = request.param
    return folder


async def test_a_journal_is_read_and_continued(written: Path, tmp_path: Path) -> None:
    """Every rollout is what it was, with who decided and why, and a new entry follows the old ones."""
    database = sqlite3.connect(tmp_path / "journal.db")
    database.executescript((written / "journal.sql").read_text(encoding="utf-8"))
    database.close()
    policy = Policy(service="shop", state=Section(url="sqlite:///journal.db"), base=str(tmp_path))
    async with Journal.open(policy) as journal:
        entries = await journal.entries()
        again = await journal.append(entries[-1], after=entries[-1].seq)
    rollouts = fold(entries)

    failed, promoted = rollouts["r1"], rollouts["r2"]
    assert (failed.state, failed.phase, failed.cause) == (State.ROLLED_BACK, 1, "CanaryPaymentSuccessDegraded")
    assert failed.steps >= {Step.TRAFFIC, Step.PROCESS}
    assert [weight.ratio for weight in failed.weights] == [0.05, 0.25, 0.0]
    assert (promoted.state, promoted.canary, promoted.actor, promoted.reason) == (State.PROMOTED, "v2.1", "ann", "fine")
    assert again.seq > entries[-1].seq


def test_a_policy_is_valid_as_it_was_written(written: Path) -> None:
    """No key has gone, and none means something else."""
    policy = load_policy(written / "canary.yaml")

    assert [phase.traffic for phase in policy.phases] == [0.05, 0.25, 0.5, 1.0]
    assert policy.kpis["payment_success_rate"].floor == 0.9


def test_counters_go_on(written: Path) -> None:
    """The exporter counts from where the version before had stopped."""
    found = StateFile(written / "exporter-state.json", "shop sqlite:///shop.db").read()

    assert found is not None
    assert found.since == 1767225600.0
    assert found.values[Series("shop_payments_total", "v2.0", "failed")] == 3
