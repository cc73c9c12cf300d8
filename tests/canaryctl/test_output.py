"""A folder of generated files: whose they are, and that no service's are lost to another."""

from pathlib import Path

import pytest

from canary.errors import GenerateError
from canaryctl.output import WRITERS, write


def test_another_services_files_are_not_replaced(tmp_path: Path) -> None:
    """Refused before anything is written, with whose they are; its own are replaced, and so is what is the same."""
    write({"shop": {"prometheus.yml": "shop's", "shared.json": "{}", "rules/shop.yml": "1"}}, tmp_path)

    with pytest.raises(GenerateError, match="1 files there were written for service shop") as refused:
        write({"books": {"rules/books.yml": "1", "shared.json": "{}", "prometheus.yml": "books'"}}, tmp_path)
    write({"books": {"rules/books.yml": "1", "shared.json": "{}"}}, tmp_path)
    write({"shop": {"prometheus.yml": "shop's own"}}, tmp_path)

    (tmp_path / "rules" / "shop.yml").write_bytes(b"\xff")
    with pytest.raises(GenerateError, match="1 files there were written for service shop"):
        write({"books": {"rules/shop.yml": "1"}}, tmp_path)

    assert "--remove shop" in str(refused.value)
    assert (tmp_path / "prometheus.yml").read_text() == "shop's own"
    assert (tmp_path / "rules" / "books.yml").read_text() == "1"


def test_what_an_earlier_version_named_otherwise_goes_when_it_is_the_services_own(tmp_path: Path) -> None:
    """Next to today's file the same rules would be evaluated twice; those of another service are left."""
    former = tmp_path / "prometheus" / "rules" / "canary-alerts.rules.yml"
    former.parent.mkdir(parents=True)
    former.write_text("groups:\n  - rules:\n      - labels:\n          service: shop\n")

    write({"books": {"prometheus/rules/canary-alerts-books.rules.yml": ""}}, tmp_path)
    assert former.exists()
    write({"shop": {"prometheus/rules/canary-alerts-shop.rules.yml": ""}}, tmp_path)
    assert not former.exists()


def test_a_damaged_list_hinders_nobody(tmp_path: Path) -> None:
    """It says nothing then, as in a folder that an earlier version wrote."""
    (tmp_path / WRITERS).write_text("[")

    write({"shop": {"a": "1"}}, tmp_path)

    assert (tmp_path / "a").read_text() == "1"


def test_what_was_broken_off_is_whose_it_was_to_be(tmp_path: Path) -> None:
    """A full disk or a kill leaves files behind; another service replaces them no more than those of a whole run."""
    (tmp_path / "rules").mkdir()
    broken = {"shop": {"prometheus.yml": "shop's", "rules": "a folder has this name"}}

    with pytest.raises(GenerateError, match="cannot be written"):
        write(broken, tmp_path)
    with pytest.raises(GenerateError, match="written for service shop"):
        write({"books": {"prometheus.yml": "books'"}}, tmp_path)

    assert (tmp_path / "prometheus.yml").read_text() == "shop's"
    write({"shop": {"prometheus.yml": "shop's own"}}, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [WRITERS, "prometheus.yml", "rules"]


def test_what_is_of_several_is_written_again_by_all_of_them_only(tmp_path: Path) -> None:
    """One of them alone would drop the others from it; one that is no more is removed by name, with its own files."""
    write({"shop": {"shop.yml": "1"}, "books": {"books.yml": "1"}, "shop books": {"all.yml": "2"}}, tmp_path)

    with pytest.raises(GenerateError, match="written for service books"):
        write({"shop": {"shop.yml": "1", "all.yml": "1"}}, tmp_path)
    assert (tmp_path / "all.yml").read_text() == "2"
    write({"shop": {"shop.yml": "1", "all.yml": "1"}}, tmp_path, removed=["books"])

    assert (tmp_path / "all.yml").read_text() == "1"
    assert not (tmp_path / "books.yml").exists()


def test_a_list_that_names_files_elsewhere_removes_none_of_them(tmp_path: Path) -> None:
    """The list can be edited, and comes with the folder from wherever that was copied."""
    (tmp_path / "mine").write_text("")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / WRITERS).write_text('{"../mine": "books"}')

    with pytest.raises(GenerateError, match="outside"):
        write({"shop": {"a": "1"}}, folder, removed=["books"])

    assert (tmp_path / "mine").exists()
    assert not (folder / "a").exists()
