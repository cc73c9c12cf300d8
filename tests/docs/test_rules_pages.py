"""The pages about rules and Alertmanager: their commands do what they say, and no alert is left out."""

import json
import subprocess
from pathlib import Path

import _jsonnet
import pytest

from canary import names
from canary.policy import load_policy
from tests.support.documents.pages import DOCS, Page, blocks_of
from tests.support.programs.processes import SEARCH_PATH


def test_the_page_about_rules_does_what_it_says(shop: Path) -> None:
    """From a policy to checked and tested rules, and to blocks with the shop's past."""
    page = Page("operate/rules.md", shop)
    page.write_files()

    page.run()


@pytest.mark.parametrize(
    "name", ["operate/alertmanager.md", "operate/kubernetes.md", "operate/mimir-thanos-victoriametrics.md"]
)
def test_commands_do_what_the_page_says(tmp_path: Path, name: str) -> None:
    """Each command of the page, with the page's own policy."""
    page = Page(name, tmp_path)
    page.write_files()

    page.run()


def test_the_mixin_is_used_as_the_page_says(tmp_path: Path) -> None:
    """With the repository where jb puts it, the page's jsonnet gives alerts and rules of the shop that it names."""
    [block] = [block for block in blocks_of(DOCS / "operate" / "rules.md") if block.language == "jsonnet"]
    (tmp_path / "github.com" / "kpi-canary").mkdir(parents=True)
    (tmp_path / "github.com" / "kpi-canary" / "kpi-canary").symlink_to(DOCS.parent)

    made = json.loads(_jsonnet.evaluate_snippet("page.jsonnet", block.text, jpathdir=[str(tmp_path)]))

    assert set(made) == {"canary-alerts.json", "canary-rules.json"}
    assert 'service="bookshop"' in json.dumps(made["canary-alerts.json"]).replace("\\", "")


def test_pieces_of_a_policy_fit_into_one(tmp_path: Path) -> None:
    """Each piece without a name is taken below a service's name."""
    pieces = [
        block.text for block in blocks_of(DOCS / "operate" / "rules.md") if (block.language, block.name) == ("yaml", "")
    ]

    assert pieces
    for text in pieces:
        (tmp_path / "canary.yaml").write_text(f"service: shop\n{text}", encoding="utf-8")

        assert load_policy(tmp_path / "canary.yaml").service == "shop"


def test_haproxy_takes_its_part(tmp_path: Path) -> None:
    """The page's piece of a configuration is valid next to others."""
    [block] = [block for block in blocks_of(DOCS / "operate" / "rules.md") if block.language == "haproxy"]
    file = tmp_path / "haproxy.cfg"
    file.write_text(f"defaults\n  mode http\n  timeout client 9s\n\n{block.text}", encoding="utf-8")

    result = subprocess.run(
        ["haproxy", "-c", "-f", file], check=False, capture_output=True, text=True, env={"PATH": SEARCH_PATH}
    )

    assert result.returncode == 0, result.stderr


def test_every_alert_stands_in_the_list() -> None:
    """The page lists each alert with a link to its runbook, but for those about experiments."""
    text = (DOCS / "operate" / "rules.md").read_text(encoding="utf-8")

    missing = [name for name in names.ALERTS if f"runbooks/{name}.md" not in text and "Experiment" not in name]

    assert missing == []
