"""The state file: what was written is read again, and what cannot be used is not."""

from pathlib import Path

import pytest

from exporter.publish.counters import Series
from exporter.publish.statefile import Remembered, StateFile

_VALUES = {Series("shop_orders_total", "v1", ""): 3, Series("shop_order_value_total", "v1", "EUR"): 12_345_678}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """Counters and the beginning of the count survive."""
    StateFile(tmp_path / "state.json", "shop").write(1000.5, _VALUES)

    assert StateFile(tmp_path / "state.json", "shop").read() == Remembered(1000.5, _VALUES)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_another_shops_file_is_not_continued(tmp_path: Path) -> None:
    """Counters of another service are not taken for ours."""
    StateFile(tmp_path / "state.json", "shop").write(1000.5, _VALUES)

    assert StateFile(tmp_path / "state.json", "other").read() is None


_OURS = '{"format": 1, "identity": "shop", '


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"format": 9}',
        _OURS + '"since": "x", "counters": []}',
        _OURS + '"since": NaN, "counters": []}',
        _OURS + '"since": 1e999, "counters": []}',
        _OURS + '"since": 1, "counters": [["m", "v", "", 1e999]]}',
        _OURS + '"since": 1, "counters": [["m", 7, null, 1]]}',
    ],
)
def test_a_damaged_file_is_no_obstacle(tmp_path: Path, content: str) -> None:
    """A file that cannot be understood means restarting."""
    (tmp_path / "state.json").write_text(content)

    assert StateFile(tmp_path / "state.json", "shop").read() is None


def test_a_folder_that_is_not_there_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counting goes on where the state cannot be written; that is logged once, and so is its end."""
    caplog.set_level("INFO")
    state = StateFile(tmp_path / "nowhere" / "state.json", "shop")
    for _ in range(3):
        state.write(1.0, _VALUES)
    assert state.read() is None
    (tmp_path / "nowhere").mkdir()
    for _ in range(3):
        state.write(1.0, _VALUES)

    assert [record.message for record in caplog.records] == [
        "state file cannot be written",
        "state file can be written again",
    ]
