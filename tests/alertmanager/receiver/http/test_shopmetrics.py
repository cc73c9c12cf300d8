"""The strategy's debugging commands."""

from datetime import UTC, datetime
from typing import Any

from alertmanager.receiver.http.shopmetrics import shop_metrics
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.prometheus.client import Sample
from canary.rollout.folding import fold, newest
from canary.rollout.kinds import Kind
from tests.support.receiving.entries import entry

START = {"stable": "v1.0", "canary": "v2.0", "traffic": [0.05, 1.0], "durations_seconds": [10, 10]}


class Known:
    """A Prometheus that knows some rates of the two versions."""

    async def query(self, expression: str) -> list[Sample]:
        """One sample, or none; stable's payments are in another Prometheus, which is away."""
        if "payment" in expression and "v1.0" in expression:
            raise RemoteError("away", place="Prometheus")
        value = 0.25 if "http_requests_total" in expression else 0.96
        return [Sample({}, value)] if "v2.0" in expression else []


async def test_each_rate_of_the_canary_is_one_number_and_the_unknown_is_null() -> None:
    """What `jq '.error_rate'` prints is a number; without a rollout there is nobody whose rate it could be."""
    policy, prometheus = Policy(service="shop"), Known()
    started = entry("r-1", Kind.STARTED, datetime(2026, 1, 1, tzinfo=UTC), "ann", "", START)

    async def asked(rollout: Any) -> dict[str, Any]:
        return await shop_metrics(policy, prometheus, rollout, 0.25)  # type: ignore[arg-type]  # only asked

    during, before = await asked(newest(fold([started]))), await asked(None)

    assert (during["error_rate"], during["payment_success_rate"]) == (0.25, 0.96)
    assert during["stable"] == {"error_rate": None, "payment_success_rate": None}
    assert during["traffic_split"] == before["traffic_split"] == {"stable": 0.75, "canary": 0.25}
    assert before["error_rate"] is before["payment_success_rate"] is None
