"""The page on Kubernetes: its pieces of manifests name what is generated."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.policy import load_policy
from canaryctl.generated import files_of
from rules.monitors import service_monitors
from tests.support.documents.pages import DOCS, Page, blocks_of


def named(value: Any) -> set[str]:
    """Every template that a piece of a manifest refers to."""
    if isinstance(value, list):
        return set().union(*map(named, value))
    if not isinstance(value, dict):
        return set()
    found = {value["templateName"]} if "templateName" in value else set()
    found |= {value["templateRef"]["name"]} if "templateRef" in value else set()
    return found.union(*map(named, value.values()))


@pytest.fixture
def generated(tmp_path: Path) -> dict[str, set[str]]:
    """Names of the manifests generated from the page's policy, by kind."""
    page = Page("kubernetes.md", tmp_path)
    page.write_files()
    names: dict[str, set[str]] = {}
    (files,) = files_of([load_policy(tmp_path / "canary.yaml")], "kubernetes").values()
    for text in files.values():
        for manifest in yaml.safe_load_all(text):
            names.setdefault(manifest["kind"], set()).add(manifest["metadata"]["name"])
    return names


def test_the_pieces_refer_to_what_is_generated(generated: dict[str, set[str]], tmp_path: Path) -> None:
    """Argo's analysis and Flagger's metric find their templates by the page's names, a monitor the Service."""
    pieces = [yaml.safe_load(block.text) for block in blocks_of(DOCS / "kubernetes.md") if block.language == "yaml"]
    argo, flagger = (next(named(piece) for piece in pieces if key in piece) for key in ("strategy", "analysis"))
    [in_front] = [piece for piece in pieces if piece.get("kind") == "Service"]

    assert argo
    assert argo <= generated["AnalysisTemplate"]
    assert flagger
    assert flagger <= generated["MetricTemplate"]
    monitors = service_monitors(load_policy(tmp_path / "canary.yaml"), {})
    assert in_front["metadata"]["labels"] in [one["spec"]["selector"]["matchLabels"] for one in monitors]
