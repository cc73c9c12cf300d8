"""What the exact half has seen and spent, in files."""

from pathlib import Path

import numpy as np
import pytest

from exporter.judge.exactfile import ExactFiles
from tests.exporter.evidence.exact.shop import START, WEIGHTS, fresh, payments

KPI = "payment_success_rate"
COUNTED = "attempts of customers"


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """All of a KPI's arrays, and others cannot read them."""
    test = fresh("r1")
    test.count(payments(1).at(START + 900.0), WEIGHTS)
    test.look(WEIGHTS, START + 900.0)
    files = ExactFiles(tmp_path / "evidence", "shop")
    files.write("r1", KPI, test.saved(), COUNTED)
    again = fresh("r1")
    saved = files.read("r1", KPI, COUNTED)

    assert saved is not None
    assert again.restore(saved)
    np.testing.assert_array_equal(again.sums, test.sums)
    np.testing.assert_array_equal(again.alive, test.alive)
    assert (again.used, again.next_look) == (test.used, test.next_look)
    [written] = (tmp_path / "evidence").iterdir()
    assert written.stat().st_mode & 0o777 == 0o640


def test_the_file_of_another_rollout_or_shop_is_not_gone_on_from(tmp_path: Path) -> None:
    """Nor one that is damaged, missing, or counted otherwise: the rows are replayed."""
    files = ExactFiles(tmp_path, "shop")
    assert files.read("r1", KPI, COUNTED) is None
    files.write("r1", KPI, fresh("r1").saved(), COUNTED)
    assert files.read("r1", KPI, COUNTED) is not None
    assert files.read("r2", KPI, COUNTED) is None
    assert files.read("r1", KPI, "rows") is None
    assert ExactFiles(tmp_path, "other").read("r1", KPI, COUNTED) is None
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    assert files.read("r1", KPI, COUNTED) is None
    path.write_bytes(b"nothing of the kind")
    assert files.read("r1", KPI, COUNTED) is None


def test_files_that_cannot_be_written_stop_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fault is logged once, not at each look, and so is its end; judging goes on."""
    caplog.set_level("INFO")
    files = ExactFiles(tmp_path / "missing" / "evidence", "shop")
    for _ in range(3):
        files.write("r1", KPI, {}, COUNTED)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "missing").mkdir()
    for _ in range(3):
        files.write("r1", KPI, {}, COUNTED)

    assert [record.message for record in caplog.records] == [
        "evidence file cannot be written",
        "evidence file can be written again",
    ]
