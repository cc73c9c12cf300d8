"""The page on experiments, with a receiver that listens and a shop whose experiment has run for an hour."""

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from canary.policy import load_policy
from canary.rollout.experiments import CHAIN, ExperimentStarted
from canary.rollout.journal.journal import Journal
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData
from tests.support.documents.pages import DOCS, Page, blocks_of

_MINUTES = 60
_BUYING = {"control": 0.2, "one_page": 0.5, "with_wallet": 0.2}
_WEIGHTS = {"control": 50, "one_page": 25, "with_wallet": 25}


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """The page in a folder with its policy and a shop as it describes."""
    made = Page("shop/experiments.md", tmp_path)
    made.write_files()
    asyncio.run(_history(tmp_path))
    return made


async def _history(folder: Path) -> None:
    """A visit a second for an hour; one_page sells more than the others."""
    luck = random.Random(5)
    now = datetime.now(UTC)
    seen: list[dict[str, Any]] = []
    bought: list[dict[str, Any]] = []
    paid: list[dict[str, Any]] = []
    for number in range(1, _MINUTES * 60):
        variant = luck.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        row = {"id": number, "version": variant, "created_at": now - timedelta(seconds=number)}
        seen.append(row)
        if luck.random() < _BUYING[variant]:
            bought.append({**row, "visit_id": number, "status": "paid", "total": 30, "currency": "EUR"})
            settled = {"status": "succeeded", "amount": 30, "settled_at": row["created_at"]}
            paid.append({**row, "order_id": number, **settled})
    data = ShopData(f"sqlite+aiosqlite:///{folder}/shop.db")
    await data.create()
    for table, rows in ((VISITS, seen), (ORDERS, bought), (PAYMENTS, paid)):
        await data.insert_many(table, rows)
    [added] = [block.text for block in blocks_of(DOCS / "shop" / "experiments.md") if block.language == "sql"]
    for statement in filter(str.strip, added.split(";")):
        await data.run(sa.text(statement))
    for name in ("visits", "payments"):
        await data.run(sa.text(f"UPDATE {name} SET variant = version"))
    for name in ("visits", "orders", "payments"):
        await data.run(sa.text(f"UPDATE {name} SET version = 'v1.0'"))
    await data.close()
    begun = ExperimentStarted(
        rollout="checkoutFlow", at=now - timedelta(minutes=_MINUTES), actor="receiver", weights=_WEIGHTS
    )
    async with Journal.open(load_policy(folder / "canary.yaml"), CHAIN) as journal:
        await journal.append(begun)


def test_the_page_on_experiments_does_what_it_says(page: Page) -> None:
    """Its commands ask, report, stop and start, and the report names the winner."""
    page.run()

    assert "one_page is proven better than control in conversion rate" in (page.folder / "experiments.html").read_text()


def test_policies_on_flags_and_experiments_are_valid(tmp_path: Path) -> None:
    """Every policy that a page shows, with or without a name, loads."""
    for name in ("shop/feature-flags.md", "shop/experiments.md"):
        policies = re.findall(r"```yaml[^\n]*\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
        assert policies
        for text in policies:
            path = tmp_path / "canary.yaml"
            path.write_text(text)

            assert load_policy(path).service == "sastabazar"
