"""The pages about rollouts, the API, security and several receivers do what they say."""

from pathlib import Path

import pytest

from canary.policy.load import load_policy
from tests.support.documents.pages import Page


@pytest.mark.timeout(400)  # some thirty commands, one after the other
@pytest.mark.parametrize(
    "name",
    [
        "release/rollout.md",
        "release/plans.md",
        "release/finishing.md",
        "operate/api.md",
        "operate/security.md",
        "operate/several-services.md",
        "shop/tags.md",
    ],
)
def test_the_page_can_be_followed(name: str, tmp_path: Path) -> None:
    """Every command of the page, given in order, prints what the page shows."""
    page = Page(name, tmp_path)
    page.write_files()

    page.run()


@pytest.mark.parametrize(
    "name",
    [
        "release/rollout.md",
        "release/plans.md",
        "release/finishing.md",
        "operate/api.md",
        "operate/security.md",
        "operate/several-receivers.md",
        "operate/several-services.md",
        "shop/request-log.md",
        "shop/tags.md",
    ],
)
def test_the_pages_policies_are_valid(name: str, tmp_path: Path) -> None:
    """Every policy that the page shows is taken without a fault."""
    page = Page(name, tmp_path)
    page.write_files()

    policies = [file for file in page.files if file.endswith(".yaml")]
    assert policies
    for file in policies:
        assert load_policy(tmp_path / file).service in {"myshop", "books"}
