"""The KPIs of the running rollout as a table, each change with its confidence band drawn."""

from alertmanager.receiver.http.page.view import KpiRow, View
from canary.report.markup import Markup, tag
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
    head = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in _TITLES)))
    body = tag("tbody", *(_row(row, row.name in view.ratios) for row in view.kpis))
    caption = tag(
        "caption",
        "Change of the canary against stable; the band holds the true change at any look. Harm is proven when the "
        "e-value reaches its threshold.",
    )
    return tag(
        "div", tag("table", caption, head, body), class_="wide", tabindex="0", role="region", aria_label="Table of KPIs"
    )


def _row(row: KpiRow, ratio: bool) -> Markup:
    band = f"{_signed(row.lower)} to {_signed(row.upper)}"
    return tag(
        "tr",
        tag("th", row.name.replace("_", " "), scope="row"),
        tag(
            "td",
            verdict_words(row.verdict),
            tag("span", f" ({row.proof} test)", class_="quiet") if row.proof else None,
            tag("span", f" ({no_unit(row.over_dispersion)})", class_="quiet") if row.over_dispersion else None,
            class_=f"verdict {row.verdict}" if row.verdict else None,
        ),
        tag("td", _signed(row.change)),
        tag("td", _drawn(row, band), " ", tag("span", band, class_="quiet")),
        tag("td", _e_value(row)),
        tag("td", _value(row.canary, ratio)),
        tag("td", _value(row.stable, ratio)),
        tag("td", "—" if row.units is None else f"{row.units:,.0f}"),
    )


def _value(value: float | None, ratio: bool) -> str:
    if value is None:
        return "—"
    return format_measured_ratio(value) if ratio else f"{value:,.2f}"


def _e_value(row: KpiRow) -> str:
    if row.evidence is None:
        return "—"
    of = "" if row.threshold is None else f" of 10^{row.threshold:.1f}"
    return f"10^{row.evidence:.1f}{of}"


def _signed(change: float | None) -> str:
    return "—" if change is None else format_change(change)


def _drawn(row: KpiRow, band: str) -> Markup | None:
    """Zero and the tolerance as lines, the band as a bar; the text next to it says the same in words."""
    if row.lower is None or row.upper is None:
        return None
    tolerance = row.tolerance or 0.0
    span = max(_LEAST_SPAN, abs(row.lower), abs(row.upper), tolerance) * 1.1

    def x(change: float) -> float:
        return round((change + span) / (2 * span) * _WIDTH, 1)

    return tag(
        "svg",
        tag(
            "rect", x=x(row.lower), y=6, width=max(1.0, round(x(row.upper) - x(row.lower), 1)), height=8, class_="band"
        ),
        tag("line", x1=x(0), y1=0, x2=x(0), y2=_HEIGHT, class_="zero"),
        tag("line", x1=x(-tolerance), y1=2, x2=x(-tolerance), y2=_HEIGHT - 2, class_="limit") if tolerance else None,
        tag("circle", cx=x(row.change), cy=10, r=3, class_="change") if row.change is not None else None,
        width=_WIDTH,
        height=_HEIGHT,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"band {band}",
    )
