"""The one picture of a change and its confidence band over time, wherever it is drawn.

Used by the rollout's report, the experiments' report and the documentation's pictures: change in percent, the band that
holds the true change at every look, zero, and the tolerance as a dashed line on the side where harm lies.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#0b4f8a", "#a4110f", "#57606a"

_LEAST_REACH_PERCENT = 30.0
"""So far at least reaches the picture up and down: less would make noise look like news."""
_ROOM = 1.5
"""So many times the largest change: the band around it is seen too."""


def draw_band(
    axes: "Axes",
    *,
    band: tuple[Sequence[Any], Sequence[float], Sequence[float]],
    change: tuple[Sequence[Any], Sequence[float]],
    limit: float | None,
) -> None:
    """Draw a change with its band.

    Args:
        band: moments, and the band's lower and upper end at each, as ratios.
        change: moments, and the change at each, as ratios.
        limit: the change at which harm begins, such as -0.1; None draws none.
    """
    moments, values = change
    shown = [100 * value for value in values if value == value]  # noqa: PLR0124  # nan: nothing is known yet
    # The first looks know so little that their bands would flatten all that follows.
    reach = max(_LEAST_REACH_PERCENT, _ROOM * max((abs(value) for value in (*shown, 100 * (limit or 0.0))), default=0))
    at, lower, upper = band
    axes.fill_between(at, _within(lower, reach), _within(upper, reach), color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(moments, [100 * value for value in values], color=BLUE)
    axes.axhline(0, color=GREY, linewidth=0.8)
    if limit:
        axes.axhline(100 * limit, color=RED, linewidth=1, linestyle="--")
    axes.set_ylabel("change, %")
    axes.set_ylim(-reach, reach)


def _within(ratios: Sequence[float], reach: float) -> list[float]:
    """In percent, and no farther than the picture: a band may have no end on one side."""
    return [max(-reach, min(reach, 100 * ratio)) for ratio in ratios]
