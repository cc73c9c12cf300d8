"""The KPIs of the running rollout as a table, each change with its confidence band drawn."""

from alertmanager.receiver.http.page.parts.tables import Cell, Row, table
from alertmanager.receiver.http.page.view import KpiRow, View
from canary.report.markup import Markup, join, tag
from canary.units import format_change, format_measured_ratio
from canary.verdicts import no_unit, verdict_words

_WIDTH, _HEIGHT = 160, 20
# A band is drawn on at least 5 % to both sides: on less, one that is narrow and means nothing would fill the cell.
_LEAST_SPAN = 0.05
_TITLES = ("KPI", "Verdict", "Change", "Band", "e-value", "Canary", "Stable", "Units")


def kpi_table(view: View) -> Markup:
    """The table, or why there is none."""
    if view.kpi_fault:
        return tag("p", view.kpi_fault, class_="fault")
    if not view.kpis:
        return tag("p", "No KPI is judged now.", class_="quiet")
    caption = (
        "Change of the canary against stable; the band holds the true change at any look. Harm is proven when the "
        "e-value reaches its threshold."
    )
    return table("KPIs", caption, _TITLES, (_row(row, row.name in view.about.ratios) for row in view.kpis))


def _row(row: KpiRow, ratio: bool) -> Row:
    test = tag("span", f" ({row.proof} test)", class_="quiet") if row.proof else None
    unit = tag("span", f" ({no_unit(row.over_dispersion)})", class_="quiet") if row.over_dispersion else None
    return (
        row.name.replace("_", " "),
        Cell(join(verdict_words(row.verdict), test, unit), f"verdict {row.verdict}".rstrip()),
        signed(row.change),
        band_cell(row.change, row.lower, row.upper, row.tolerance or 0.0),
        e_value(row.evidence, row.threshold),
        _value(row.canary, ratio),
        _value(row.stable, ratio),
        "—" if row.units is None else f"{row.units:,.0f}",
    )


def _value(value: float | None, ratio: bool) -> str:
    if value is None:
        return "—"
    return format_measured_ratio(value) if ratio else f"{value:,.2f}"


def e_value(evidence: float | None, threshold: float | None) -> str:
    """Both from their log10."""
    if evidence is None:
        return "—"
    of = "" if threshold is None else f" of 10^{threshold:.1f}"
    return f"10^{evidence:.1f}{of}"


def band_cell(change: float | None, lower: float | None, upper: float | None, tolerance: float) -> Markup:
    """A band as a picture and in words."""
    band = f"{signed(lower)} to {signed(upper)}"
    drawn = None if lower is None or upper is None else _drawn(change, lower, upper, tolerance, band)
    return join(drawn, " ", tag("span", band, class_="quiet"))


def signed(change: float | None) -> str:
    """A relative change, or a dash for none."""
    return "—" if change is None else format_change(change)


def _drawn(change: float | None, lower: float, upper: float, tolerance: float, band: str) -> Markup:
    """Zero and the tolerance as lines, the band as a bar; the text next to it says the same in words."""
    span = max(_LEAST_SPAN, abs(lower), abs(upper), tolerance) * 1.1

    def x(value: float) -> float:
        return round((value + span) / (2 * span) * _WIDTH, 1)

    return tag(
        "svg",
        tag("rect", x=x(lower), y=6, width=max(1.0, round(x(upper) - x(lower), 1)), height=8, class_="band"),
        tag("line", x1=x(0), y1=0, x2=x(0), y2=_HEIGHT, class_="zero"),
        tag("line", x1=x(-tolerance), y1=2, x2=x(-tolerance), y2=_HEIGHT - 2, class_="limit") if tolerance else None,
        tag("circle", cx=x(change), cy=10, r=3, class_="change") if change is not None else None,
        width=_WIDTH,
        height=_HEIGHT,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"band {band}",
    )
