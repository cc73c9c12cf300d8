"""Pages and pictures of the dashboards, from a real Prometheus and a real Chromium."""

import re
from pathlib import Path

import pytest
from PIL import Image

from scripts.preview import sources
from scripts.preview.__main__ import draw
from scripts.preview.prometheus import Prometheus
from tests.support.story import END

POLICY = Path(__file__).resolve().parents[3] / "canary.yaml"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rollout's dashboard after the story, drawn once."""
    folder = tmp_path_factory.mktemp("drawn")
    with sources.story(POLICY, "sastabazar") as source:
        assert source.end is not None
        draw(source, Prometheus(source.url, source.end - 60 * END, source.end), folder, only="rollout")
    return folder


def test_the_page_says_what_happened(drawn: Path) -> None:
    """The wall shows the rollback, the KPI that proved the harm first, and what asked for it."""
    html = (drawn / "canary-rollout.html").read_text()

    first_row = re.search(r"</th></tr><tr>(.*?)</tr>", html)
    assert "✖ Rolled back" in html
    assert "CanaryPaymentSuccessDegraded" in html
    assert first_row
    assert "Payment success rate" in first_row[1]
    assert "✖ harm proven" in first_row[1]
    assert "v2.0 after v1.0" in html


def test_the_page_needs_nothing_from_elsewhere(drawn: Path) -> None:
    """Nothing outside the file is loaded."""
    html = (drawn / "canary-rollout.html").read_text()

    assert not re.search(r"(src|href)=|url\((?!#)", html)


def test_every_clip_belongs_to_its_own_graph(drawn: Path) -> None:
    """No two graphs share an id, by which one would be cut to the other's size."""
    found = re.findall(r'<clipPath id="([^"]+)"', (drawn / "canary-rollout.html").read_text())

    assert len(found) == len(set(found)) > 5


def test_the_picture_is_whole(drawn: Path) -> None:
    """The picture is as wide as the page, tall enough, small in bytes, and not of one colour."""
    png = drawn / "canary-rollout.png"

    with Image.open(png) as picture:
        assert picture.size[0] == 1600
        assert picture.size[1] > 1500
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert png.stat().st_size < 300_000
