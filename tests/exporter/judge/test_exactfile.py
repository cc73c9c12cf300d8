"""What the exact half has seen and spent, in a file."""

from pathlib import Path

import numpy as np

from exporter.judge.exactfile import ExactFile
from tests.exporter.evidence.exact.shop import START, WEIGHTS, fresh, payments


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Each KPI's arrays, and others cannot read them."""
    test = fresh("r1")
    test.count(payments(1).at(START + 900.0), WEIGHTS)
    test.look(WEIGHTS, START + 900.0)
    file = ExactFile(tmp_path / "evidence.npz", "shop")
    file.write("r1", {"payment_success_rate": test.saved()})
    again = fresh("r1")
    again.restore(file.read("r1")["payment_success_rate"])

    np.testing.assert_array_equal(again.sums, test.sums)
    np.testing.assert_array_equal(again.alive, test.alive)
    assert (again.used, again.next_look) == (test.used, test.next_look)
    assert (tmp_path / "evidence.npz").stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [tmp_path / "evidence.npz"]


def test_the_file_of_another_rollout_or_shop_is_not_gone_on_from(tmp_path: Path) -> None:
    """Nor one that is damaged or missing: the rows are replayed."""
    path = tmp_path / "evidence.npz"
    assert ExactFile(path, "shop").read("r1") == {}
    ExactFile(path, "shop").write("r1", {"payment_success_rate": fresh("r1").saved()})
    assert ExactFile(path, "shop").read("r2") == {}
    assert ExactFile(path, "other").read("r1") == {}
    path.write_bytes(path.read_bytes()[:5000])
    assert ExactFile(path, "shop").read("r1") == {}
    path.write_bytes(b"nothing of the kind")
    assert ExactFile(path, "shop").read("r1") == {}


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    """The fault is logged and judging goes on."""
    ExactFile(tmp_path / "missing" / "evidence.npz", "shop").write("r1", {})

    assert list(tmp_path.iterdir()) == []
