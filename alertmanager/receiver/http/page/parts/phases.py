"""The plan as a line of phases: what is over, what runs, what comes, and for how long."""

from collections.abc import Iterator

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.parts.words import RUNNING, about
from canary.report.markup import Markup, join, tag
from canary.units import format_duration, format_ratio

_GATES = {"manual": "then a person decides", "url": "then your check decides"}
_DONE, _NOW, _NEXT = "done", "now", "next"


def phase_line(rollout: answers.Rollout) -> Markup:
    """An ordered list, so that it reads aloud as what it is; where each stands is said in words too."""
    return tag("ol", *_phases(rollout), class_="phases", aria_label="Phases of the plan")


def _phases(rollout: answers.Rollout) -> Iterator[Markup]:
    over = rollout["state"] in ("promoted", "finishing", "finished")
    for index, phase in enumerate(rollout["phases"]):
        place = _DONE if over or index < rollout["phase"] else _NOW if index == rollout["phase"] else _NEXT
        runs = place == _NOW and rollout["state"] in RUNNING
        said = "over" if place == _DONE else "now" if runs else "left" if place == _NOW else "not reached"
        if place == _NEXT and rollout["state"] in RUNNING:
            said = "to come"
        lasts = format_duration(phase["duration_seconds"])
        gate = _GATES.get(phase["gate"])
        yield tag(
            "li",
            tag("strong", format_ratio(phase["traffic_ratio"])),
            tag("span", f"phase {index + 1}: {said}", class_="quiet"),
            tag("span", f"{lasts}{', ' + gate if gate else ''}", class_="quiet"),
            _progress(rollout, phase["duration_seconds"]) if runs else None,
            class_=place if runs or place != _NOW else "left",
            aria_current="step" if runs else None,
        )


def _progress(rollout: answers.Rollout, least: float) -> Markup:
    elapsed = rollout["phase_elapsed_seconds"]
    # In twentieths, so that a bar that nobody can see moving is not sent every second.
    twentieths = min(20, int(20 * elapsed / least)) if least > 0 else 20
    left = least - elapsed
    said = f"{about(left)} left" if left > 0 else "time is over"
    bar = tag("progress", value=twentieths, max=20, aria_label="Time of this phase")
    return join(bar, tag("span", said, class_="quiet"))
