"""A folder of generated files: whose they are, and that no service's are lost to another."""

from pathlib import Path

import pytest

from canary.errors import GenerateError
from canaryctl.output import WRITERS, write


def test_another_services_files_are_not_replaced(tmp_path: Path) -> None:
    """Refused before anything is written, with whose they are; its own are replaced, and so is what is the same."""
    write({"prometheus.yml": "shop's", "shared.json": "{}", "rules/shop.yml": "1"}, tmp_path, "shop")

    with pytest.raises(GenerateError, match="1 files there were written for service shop") as refused:
        write({"rules/books.yml": "1", "shared.json": "{}", "prometheus.yml": "books'"}, tmp_path, "books")
    write({"rules/books.yml": "1", "shared.json": "{}"}, tmp_path, "books")
    write({"prometheus.yml": "shop's own"}, tmp_path, "shop")

    assert f"--output {tmp_path}/books" in str(refused.value)
    assert (tmp_path / "prometheus.yml").read_text() == "shop's own"
    assert (tmp_path / "rules" / "books.yml").read_text() == "1"


def test_what_an_earlier_version_named_otherwise_goes_when_it_is_the_services_own(tmp_path: Path) -> None:
    """Next to today's file the same rules would be evaluated twice; those of another service are left."""
    former = tmp_path / "prometheus" / "rules" / "canary-alerts.rules.yml"
    former.parent.mkdir(parents=True)
    former.write_text("groups:\n  - rules:\n      - labels:\n          service: shop\n")

    write({"prometheus/rules/canary-alerts-books.rules.yml": ""}, tmp_path, "books")
    assert former.exists()
    write({"prometheus/rules/canary-alerts-shop.rules.yml": ""}, tmp_path, "shop")
    assert not former.exists()


def test_a_damaged_list_hinders_nobody(tmp_path: Path) -> None:
    """It says nothing then, as in a folder that an earlier version wrote."""
    (tmp_path / WRITERS).write_text("[")

    write({"a": "1"}, tmp_path, "shop")

    assert (tmp_path / "a").read_text() == "1"
