"""`python -m scripts.preview`: the dashboards of a policy, drawn with a Prometheus' data, as pages and pictures."""

import contextlib
import json
import time
from contextlib import AbstractContextManager
from pathlib import Path

import click

from canary.policy.load import load_policy
from grafana.generate import dashboards
from scripts.preview import sources
from scripts.preview.page import page
from scripts.preview.picture import height_of, take
from scripts.preview.prometheus import Prometheus
from tests.support.stories.story import END

_WIDTH = 1600
"""In pixels, as `page` lays it out: a laptop's screen with Grafana's menu folded away."""


@click.command()
@click.option("--source", type=click.Choice(["demo", "story"]), default="demo", help="Whose data.", show_default=True)
@click.option("--prometheus", help="Draw from this server instead, with the policy of --config.file.")
@click.option("--config.file", "policy_file", default="canary.yaml", help="The policy.", show_default=True)
@click.option("--scenario", default="bad", help="The demo's scenario.", show_default=True)
@click.option("--speed", default=15.0, help="The demo's speed.", show_default=True)
@click.option("--rate", default=50.0, help="The demo's customers a second.", show_default=True)
@click.option("--story-minute", default=END, help="Up to where the story is told.", show_default=True)
@click.option("--minutes", type=float, help="How far back to look; 3, or the whole story.")
@click.option("--ago", default=0.0, help="Seconds before the end of the data to look from.", show_default=True)
@click.option("--output", default="generated/preview", help="Folder for pages and pictures.", show_default=True)
@click.option("--only", default="", help="Only dashboards whose file name contains this.")
@click.option("--height", type=int, help="Cut the pictures to this many pixels.")
def main(
    *,
    source: str,
    prometheus: str | None,
    policy_file: str,
    scenario: str,
    speed: float,
    rate: float,
    story_minute: float,
    minutes: float | None,
    ago: float,
    output: str,
    only: str,
    height: int | None,
) -> None:
    """Draw the dashboards as HTML pages and PNG pictures."""
    chosen: AbstractContextManager[sources.Source]
    if prometheus is not None:
        chosen = contextlib.nullcontext(sources.Source(prometheus, Path(policy_file)))
    elif source == "demo":
        chosen = sources.demo(scenario, speed, rate)
    else:
        chosen = sources.story(Path(policy_file), load_policy(Path(policy_file)).service, story_minute)
    with chosen as found:
        end = (found.end or time.time()) - ago
        start = end - 60 * (minutes or (3 if found.end is None else story_minute))
        draw(found, Prometheus(found.url, start, end), Path(output), only, height)


def draw(source: sources.Source, server: Prometheus, folder: Path, only: str = "", height: int | None = None) -> None:
    """Write a page and a picture of every dashboard into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards(load_policy(source.policy)).items():
        if only not in name:
            continue
        html = page(json.loads(text), server)
        target = folder / Path(name).with_suffix(".html")
        target.write_text(html, encoding="utf-8")
        take(target, target.with_suffix(".png"), _WIDTH, height or height_of(html))
        click.echo(f"{target}  {target.with_suffix('.png')}")


if __name__ == "__main__":
    main()
