"""Tables of the commands that look at the shop's past, on a terminal of 80 columns."""

import io

from rich.console import Console
from rich.table import Table

from canaryctl.cli.console import study_table
from canaryctl.cli.study.calibrate import tables
from exporter.judge.shop.calibration import Calibration, HarmFound, KpiCalibration

LONG = "checkout_completion_rate"


def shown(table: Table) -> list[str]:
    """The lines that a person reads."""
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_measurement_has_one_line_for_each_kpi() -> None:
    """With the longest name and long figures; titles may take two, nothing is cut."""
    harms = tuple(HarmFound(ratio, 1000, 1.0, 5400.0) for ratio in (0.05, 0.1, 0.2, 0.5))
    kpi = KpiCalibration("rollback", 0.0025, 99, 0.1234, 0.2345, 12.34, harms)
    found = Calibration("shop", "d", "2026-03-01T12:00:00Z", 7, 1000, 0, 0.0, 0.0, 0, 0, {LONG: kpi})

    healthy, harmed = (shown(table) for table in tables(found))

    assert [" ".join(line.split()) for line in healthy] == [
        "healthy rows hang",
        "KPI action allowed failed (95 %) together",
        f"{LONG} rollback 0.25% 99 of 1,000 12.34% to 23.45% x12.34",
    ]
    assert " ".join(harmed[-1].split()) == f"{LONG} 100%, 1h30m 100%, 1h30m 100%, 1h30m 100%, 1h30m"
    assert max(map(len, [*healthy, *harmed])) <= 80


def test_a_name_stays_whole_and_nothing_is_cut() -> None:
    """Where all of it does not fit, numbers and words go on below."""
    table = study_table("phase", "KPI", *["a figure"] * 6)
    table.add_row("1 (50% for 20m)", LONG, *["123,456 affected"] * 6)
    lines = shown(table)

    assert any(LONG in line for line in lines)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80
