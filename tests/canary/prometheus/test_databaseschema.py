"""Whether the schema is compatible is known from the exporter's series, of this service alone, or not at all."""

from pathlib import Path

import aiohttp

from canary.prometheus import Prometheus, schema_compatible
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus as PrometheusServer

RULES = """\
groups:
- name: told
  interval: 100ms
  rules:
  - {record: canary_schema_compatible, expr: vector(0), labels: {service: broken}}
  - {record: canary_schema_compatible, expr: vector(1), labels: {service: fine}}
"""


async def test_a_service_is_told_from_another(tmp_path: Path) -> None:
    """A real server answers for each service by itself; one that has no exporter is unknown."""
    (tmp_path / "rules.yml").write_text(RULES)
    with PrometheusServer(f"rule_files: ['{tmp_path}/rules.yml']\n") as server:
        async with aiohttp.ClientSession() as session:
            prometheus = Prometheus(session, server.url)

            async def told() -> bool:
                return await schema_compatible(prometheus, "fine") is True

            await eventually(told, "the series are there")

            assert await schema_compatible(prometheus, "broken") is False
            assert await schema_compatible(prometheus, "absent") is None
