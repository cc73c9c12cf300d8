"""What is made from the code for docs/ and deploy/: the references, the man page, snippets for routers.

`make golden` writes them; a test fails when a page is not what the code says.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from canary.policy import load_policy
from canary.policy.schema import policy_schema
from canary.routers import routers_of
from scripts.reference import manpage
from scripts.reference.api import api_page, description
from scripts.reference.commands import commands_page
from scripts.reference.metrics import metrics_page
from scripts.reference.platforms import platform_pages
from scripts.reference.policy import policy_page

ROOT = Path(__file__).resolve().parents[2]


def pages() -> Iterator[tuple[Path, str]]:
    """Every file that is made here, with its text."""
    schema = policy_schema()
    yield ROOT / "docs" / "reference" / "policy.md", policy_page(schema)
    yield ROOT / "docs" / "policy.schema.json", json.dumps(schema, indent=1) + "\n"
    yield ROOT / "docs" / "reference" / "metrics.md", metrics_page()
    api = description()
    yield ROOT / "docs" / "openapi.json", json.dumps(api, indent=1) + "\n"
    yield ROOT / "docs" / "reference" / "api.md", api_page(api)
    yield ROOT / "docs" / "reference" / "commands.md", commands_page()
    for name, text in platform_pages():
        yield ROOT / "docs" / "platforms" / name, text
    yield manpage.PAGE, manpage.man_page()
    for folder, policy in (("haproxy", "canary.yaml"), ("nginx", "deploy/nginx/canary.yaml")):
        for router in routers_of(load_policy(ROOT / policy)):
            for name, text in router.snippet().items():
                yield ROOT / "deploy" / folder / name, text
