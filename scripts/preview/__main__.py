"""`python -m scripts.preview`: the dashboards of a policy, drawn with a Prometheus' data, as pages and pictures."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from canary.policy.load import load_policy
from grafana.generate import dashboards
from scripts.preview.page import page
from scripts.preview.picture import height_of, take
from scripts.preview.prometheus import Prometheus
from tests.support import prometheus as support
from tests.support.story import END, Story


@contextlib.contextmanager
def _source(url: str | None, minutes: float, story_minute: float, service: str) -> Iterator[Prometheus]:
    """The given server, or one that holds the tests' story up to a minute of it."""
    if url is not None:
        now = time.time()
        yield Prometheus(url, now - 60 * minutes, now)
        return
    story = Story(service, 1_764_000_000.0)
    with tempfile.TemporaryDirectory(prefix="canary-preview-") as folder:
        history = Path(folder) / "story.om"
        story.write(history)
        with support.Prometheus(history=history) as server:
            yield Prometheus(server.url, story.at(0), story.at(story_minute))


@click.command()
@click.option("--config.file", "policy_file", default="canary.yaml", help="The policy.", show_default=True)
@click.option("--prometheus", help="Its data are drawn; without it, those of the story that the tests tell.")
@click.option("--minutes", default=15.0, help="How far back to look.", show_default=True)
@click.option("--story-minute", default=END, help="Up to where the story is told.", show_default=True)
@click.option("--output", default="generated/preview", help="Folder for the pages and pictures.", show_default=True)
@click.option("--only", help="Only the dashboards whose file name contains this.")
def main(
    policy_file: str, prometheus: str | None, minutes: float, story_minute: float, output: str, only: str | None
) -> None:
    """Draw the dashboards as HTML pages and PNG pictures."""
    policy = load_policy(Path(policy_file))
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with _source(prometheus, minutes, story_minute, policy.service) as server:
        for name, text in dashboards(policy).items():
            if only and only not in name:
                continue
            html = page(json.loads(text), server)
            target = folder / Path(name).with_suffix(".html")
            target.write_text(html, encoding="utf-8")
            take(target, target.with_suffix(".png"), 1600, height_of(html))
            click.echo(f"{target}  {target.with_suffix('.png')}")


if __name__ == "__main__":
    main()
