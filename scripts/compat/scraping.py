"""The demo's scrape configuration for a program that scrapes, and evaluates no rules."""

from pathlib import Path
from typing import Any

import yaml

from demo.stack.places import Places


def scrape_file(places: Places, generated: Path, **labels: str) -> Path:
    """Write what the generated configuration scrapes, and give the file.

    Args:
        labels: `external_labels` of everything that is scraped.
    """
    whole: dict[str, Any] = yaml.safe_load((generated / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    every = {"scrape_interval": whole["global"]["scrape_interval"], **({"external_labels": labels} if labels else {})}
    file = places.file("scrape.yml")
    file.write_text(yaml.safe_dump({"global": every, "scrape_configs": whole["scrape_configs"]}), encoding="utf-8")
    return file
