"""Every page of docs/ that is not tested with its own room: its commands do what it says, its files are valid."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from canary.policy import load_policy
from tests.support.documents.distribution import unpack
from tests.support.documents.pages import DOCS, Page

ROOT = DOCS.parent

SEARCHES = """
CREATE TABLE searches (id INTEGER PRIMARY KEY, created_at TEXT, version TEXT);
CREATE TABLE clicks (id INTEGER PRIMARY KEY, search_id INTEGER, created_at TEXT, version TEXT);
CREATE TABLE deliveries (id INTEGER PRIMARY KEY, created_at TEXT, version TEXT, state TEXT);
CREATE INDEX clicks_created_at ON clicks (created_at);
CREATE INDEX deliveries_created_at ON deliveries (created_at)
"""


@pytest.mark.timeout(400)  # some twenty programs, one after the other
def test_the_first_rollout_goes_as_the_page_says(shop: Path, wheels: Path) -> None:
    """From the installation and an order database to a rollback, on real HAProxy, Prometheus and Alertmanager."""
    unpack(wheels, shop / "source").rename(shop / "kpi-canary")

    page = Page("first-rollout.md", shop)
    page.write_files()

    page.administer()


def test_the_deployment_goes_as_the_page_says(tmp_path: Path, wheels: Path) -> None:
    """Program, user, policy, secrets, units and completions are installed, and systemd finds nothing wrong."""
    page = Page("operate/deployment.md", unpack(wheels, tmp_path))
    page.write_files()

    page.administer(["id prometheus >/dev/null 2>&1 || useradd --system prometheus"])


def test_the_front_page_installs(tmp_path: Path, wheels: Path) -> None:
    """What the README says about a checkout, in one."""
    Page("../README.md", unpack(wheels, tmp_path)).administer()


def test_kpis_of_ones_own_fit_their_tables(shop: Path) -> None:
    """The page's policy is valid for tables as it describes them, and the missing index is named."""
    engine = sa.create_engine(f"sqlite:///{shop / 'shop.db'}")
    with engine.begin() as connection:
        for statement in SEARCHES.split(";"):
            connection.execute(sa.text(statement))
    engine.dispose()
    page = Page("shop/your-kpis.md", shop)
    page.write_files()

    page.run()


@pytest.mark.parametrize(
    "name", ["evidence/low-traffic.md", "operate/troubleshooting.md", "release/before-a-release.md"]
)
def test_commands_do_what_the_page_says(tmp_path: Path, name: str) -> None:
    """Each command of the page, with the page's policies or a bare one."""
    (tmp_path / "canary.yaml").write_text("service: myshop\n", encoding="utf-8")
    page = Page(name, tmp_path)
    page.write_files()

    page.run()


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link inside the repository names a file that is there."""
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).resolve().exists()]

    assert missing == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "deploy/README.md"])
def test_links_of_the_front_pages_lead_somewhere(name: str) -> None:
    """As for docs/."""
    page = ROOT / name
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).resolve().exists()]

    assert missing == []


@pytest.mark.parametrize(
    "page", [page for page in sorted(DOCS.rglob("*.md")) if re.search(r"```yaml \S+\.yaml\n", page.read_text("utf-8"))],
    ids=lambda page: str(page.relative_to(DOCS)),
)  # fmt: skip
def test_policies_in_pages_are_valid(page: Path, tmp_path: Path) -> None:
    """Every policy that a page gives a name loads."""
    found = {
        name: text for name, text in Page(str(page.relative_to(DOCS)), tmp_path).files.items() if name.endswith(".yaml")
    }
    policies = {name: text for name, text in found.items() if re.search(r"^service:", text, re.MULTILINE)}
    assert policies
    for name, text in policies.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

        assert load_policy(path).service


def test_the_troubles_in_the_tables_are_the_programs_own_words() -> None:
    """What the page says the policy's loader says is found in its code."""
    text = (DOCS / "operate" / "troubleshooting.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "canary").rglob("*.py"))

    quoted = re.findall(r"^\| `([^`]+)` \|", text.partition("## Nothing is measured")[0], re.MULTILINE)

    assert quoted
    for words in quoted:
        pieces = re.split(r"; | \.\.\.|\.\.\.|1\.10,?", words)
        assert all(piece.strip(" ?,") in code for piece in pieces), words
