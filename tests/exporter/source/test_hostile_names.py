"""A shop whose tables and columns are called what is code elsewhere."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from canary.policy.load import load_policy
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, published, refresher_on, settle
from tests.support.databases.shopdata import VISITS, ShopData

_HOSTILE = ['"; DROP TABLE orders; --', "`; --", "'' OR 1=1", "]];", "%s%(x)s%%", ":name", "\\", "ä {{x}} ${y}"]


@pytest.mark.parametrize("sign", _HOSTILE)
async def test_no_name_of_a_column_is_code(data: ShopData, clock: FakeClock, tmp_path: Path, sign: str) -> None:
    """Each is quoted by the engine's own rules, in every question for counts, rows, joins and the schema."""
    named = {name: f"{name}{sign}" for name in ("visits", "buys", "id", "at", "version", "visit", "value", "money")}
    visits, buys = _table(named, "visits"), _table(named, "buys", "visit", "value", "money")
    await data.run(sa.schema.CreateTable(visits))
    await data.run(sa.schema.CreateTable(buys))
    for number in range(4):
        row = {"id": number, "version": "v1.0", "at": clock.now() - timedelta(seconds=30)}
        await data.run(visits.insert().values({named[key]: value for key, value in row.items()}))
        if number % 2:
            row |= {"visit": number, "value": 10, "money": "EUR"}
            await data.run(buys.insert().values({named[key]: value for key, value in row.items()}))
    (tmp_path / "canary.yaml").write_text(yaml.safe_dump(_policy(data.url, named)), encoding="utf-8")

    async with refresher_on(load_policy(tmp_path / "canary.yaml"), clock) as refresher:
        await settle(refresher, clock)
        counted, rates = published(refresher), kpis(refresher)
    await data.run(sa.schema.DropTable(buys))
    await data.run(sa.schema.DropTable(visits))

    assert counted["shop_visits_total"] == {("v1.0",): 4}
    assert counted["shop_buys_total"] == {("v1.0",): 2}
    assert rates["conversion", "v1.0"] == 0.5


def _table(named: Mapping[str, str], name: str, *further: str) -> sa.Table:
    kinds = {"version": sa.String(40), "at": VISITS.c.created_at.type, "money": sa.String(3)}
    columns: list[sa.Column[Any]] = [
        sa.Column(named[one], kinds.get(one, sa.Integer())) for one in ("id", "version", "at", *further)
    ]
    return sa.Table(named[name], sa.MetaData(), *columns)


def _policy(url: str, named: Mapping[str, str]) -> dict[str, object]:
    shared = {"id": named["id"], "time": named["at"], "version": named["version"]}
    visits = {"table": named["visits"], **shared}
    buys = {"table": named["buys"], **shared, "parent": {"visits": named["visit"]}}
    buys |= {"value": named["value"], "currency": named["money"]}
    return {
        "service": "shop",
        "database": {"url": url, "events": {"visits": visits, "buys": buys}},
        "kpis": {"conversion": {"kind": "conversion", "from": "visits", "to": "buys", "action": "hold"}},
    }
