"""Pages and pictures of the dashboards, from a real Prometheus and a real Chromium."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from canary.policy.load import load_policy
from grafana import generate
from scripts.preview import sources
from scripts.preview.__main__ import draw
from scripts.preview.page import page
from scripts.preview.prometheus import Prometheus
from tests.support.stories.story import END, FAULT

POLICY = Path(__file__).resolve().parents[3] / "canary.yaml"


def _server(source: sources.Source) -> Prometheus:
    assert source.end is not None
    return Prometheus(source.url, source.end - 60 * END, source.end)


@pytest.fixture(scope="module")
def html() -> str:
    """The rollout's dashboard after the story."""
    text = generate.dashboards(load_policy(POLICY))["canary-rollout.json"]
    with sources.story(POLICY, "sastabazar") as source:
        return page(json.loads(text), _server(source))


def test_the_page_says_what_happened(html: str) -> None:
    """The wall shows the rollback, the KPI that proved the harm first, and what asked for it."""
    first_row = re.search(r"</th></tr><tr>(.*?)</tr>", html)

    assert "✖ Rolled back" in html
    assert "CanaryPaymentSuccessDegraded" in html
    assert first_row
    assert "Payment success rate" in first_row[1]
    assert "✖ harm proven" in first_row[1]
    assert "v2.0 after v1.0" in html


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    """Nothing outside the file is loaded."""
    assert not re.search(r"(src|href)=|url\((?!#)", html)


def test_an_alert_that_fires_is_listed_once() -> None:
    """Shortly after a phase has ended, its alert was pending a moment ago: it is one alert, and it fires."""
    text = generate.dashboards(load_policy(POLICY))["canary-rollout.json"]
    with sources.story(POLICY, "sastabazar", FAULT - 1) as source:
        shown = page(json.loads(text), _server(source))

    listed = re.findall(r"<b>(Canary\w+)</b><small>(\w+) ", shown)
    assert listed == [("CanaryPhaseComplete", "firing")]


def test_every_clip_belongs_to_its_own_graph(html: str) -> None:
    """No two graphs share an id, by which one would be cut to the other's size."""
    found = re.findall(r'<clipPath id="([^"]+)"', html)

    assert len(found) == len(set(found)) > 5


def test_the_picture_is_whole(tmp_path: Path) -> None:
    """The picture is as wide as the page, tall enough, small in bytes, and not of one colour."""
    with sources.story(POLICY, "sastabazar") as source:
        draw(source, _server(source), tmp_path, only="guard")

    png = tmp_path / "canary-guard.png"
    with Image.open(png) as picture:
        assert picture.size[0] == 1600
        assert picture.size[1] > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert png.stat().st_size < 300_000
