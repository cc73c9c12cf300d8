"""What the page shows of the KPIs."""

from alertmanager.receiver.http.page.parts.kpitable import kpi_table
from alertmanager.receiver.http.page.view import About, KpiRow, View, rows
from canary import names
from tests.support.receiving.pageview import IDLE


def sample(name: str, value: float, **labels: str) -> tuple[dict[str, str], float]:
    """One sample as Prometheus answers it."""
    return {"__name__": name, names.KPI: "payment_success_rate", **labels}, value


def view(*kpis: KpiRow, fault: str = "") -> View:
    """A view with these KPIs."""
    return View(IDLE, kpis, fault, about=About(frozenset({"payment_success_rate"})))


def test_the_series_of_a_kpi_become_one_row() -> None:
    """Values by role, the band, the verdict that is 1; what is not a number is not known."""
    found = rows(
        [
            sample(names.KPI_VALUE, 0.97, role="stable"),
            sample(names.KPI_VALUE, 0.81, role="canary"),
            sample(names.KPI_UNITS, 412, role="canary"),
            sample(names.KPI_RELATIVE_CHANGE, -0.16),
            sample(names.KPI_RELATIVE_CHANGE_LOWER, -0.21),
            sample(names.KPI_RELATIVE_CHANGE_UPPER, float("nan")),
            sample(names.KPI_TOLERANCE, 0.05),
            sample(names.KPI_VERDICT, 0, verdict="pass"),
            sample(names.KPI_VERDICT, 1, verdict="fail"),
        ]
    )

    assert found == [
        KpiRow(
            "payment_success_rate",
            stable=0.97,
            canary=0.81,
            units=412,
            change=-0.16,
            lower=-0.21,
            tolerance=0.05,
            verdict="fail",
        ),
    ]


def test_a_band_is_drawn_and_said() -> None:
    """The drawing has a name with the same numbers as the cell next to it."""
    row = KpiRow("payment_success_rate", 0.97, 0.81, 412, -0.16, -0.21, -0.11, 2.4, 2.0, 0.05, "fail")

    table = kpi_table(view(row))

    assert 'aria-label="band -21.0% to -11.0%"' in table
    assert "97.00%" in table
    assert "harm proven" in table
    assert "10^2.4 of 10^2.0" in table
    assert 'class="limit"' in table


def test_what_is_not_known_is_said() -> None:
    """No KPI, a KPI without data, and a Prometheus that is down each read differently."""
    assert "No KPI is judged now." in kpi_table(view())
    assert "<svg" not in kpi_table(view(KpiRow("x")))
    assert "is down" in kpi_table(view(fault="Prometheus is down"))


def test_a_harmed_segment_is_named() -> None:
    """Where harm to a part of the customers is proven, the row says to which, next to what else has proven harm."""
    found = rows(
        [
            sample(names.KPI_PROOF, 1, test="exact"),
            sample(names.KPI_PROOF, 1, test="segment"),
            sample(names.KPI_SEGMENT_PROOF, 1, segment="wallet"),
            sample(names.KPI_SEGMENT_PROOF, 0, segment="card"),
        ]
    )

    assert [row.proof for row in found] == ["exact and wallet segment"]
