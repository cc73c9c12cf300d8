"""What is said when an optional part is not installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from canary import extras
from canary.errors import ExtraMissingError
from canary.report.html import figure


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


def test_what_is_installed_is_let_through() -> None:
    """Here everything is installed."""
    for extra in ("plots", "demo"):
        extras.require(extra, "this")


@pytest.mark.usefixtures("_bare")
def test_what_is_missing_is_one_sentence_with_a_remedy() -> None:
    """It says what needs which extra, and what to install."""
    with pytest.raises(ExtraMissingError) as caught:
        extras.require("plots", "--plot")

    assert str(caught.value) == (
        "--plot: needs the extra `plots`, which is not installed; "
        "install kpi-canary[plots] from where it came (a folder: pip install '.[plots]'; a wheel: 'FILE.whl[plots]')"
    )


@pytest.mark.usefixtures("_bare")
def test_a_report_is_written_without_pictures() -> None:
    """A line stands where the picture would be: the receiver writes reports with or without matplotlib."""

    def draw() -> str:
        extras.require("plots", "pictures")
        raise AssertionError

    text = str(figure(draw, "The canary's traffic weight."))

    assert "<img" not in text
    assert "No picture (The canary" in text
    assert "install kpi-canary[plots]" in text


def test_nothing_that_serves_needs_an_extra() -> None:
    """The modules of exporter, receiver and command line are imported without matplotlib or OpenFeature."""
    program = (
        "import sys\n"
        "sys.modules['matplotlib'] = sys.modules['openfeature'] = None\n"
        "import canaryctl.cli.services, canaryctl.cli.study.plan\n"
        "import canaryctl.cli.rollout.report, canaryctl.cli.demo\n"
        "import canary.report.html, alertmanager.receiver.service\n"
        "import exporter.study.power_plot, exporter.study.experiment_report\n"
    )
    root = Path(__file__).resolve().parents[2]

    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
