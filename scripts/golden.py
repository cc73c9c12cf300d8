"""Committed output of the generators: what a change of theirs changes for users is seen in a review.

`make golden` renews it; a test compares. The three policies are chosen for what they have: `strategy` is the strategy's
own as it stands at the root, `minimal` names a service and leaves all else to the defaults, and `custom` changes
whatever can be changed. `mixin.jsonnet` is a shop that uses the mixin without the command.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _jsonnet

from alertmanager.config.configuration import alertmanager_file
from canary.mixin.config import dashboards_config
from canary.mixin.yamltext import dump
from canary.policy import Policy, load_policy
from rules.generate import prometheus_files
from rules.names import names_libsonnet
from scripts import journals, reference

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "golden"
POLICIES = {
    "strategy": ROOT / "canary.yaml",
    "minimal": FOLDER / "policies" / "minimal.yaml",
    "custom": FOLDER / "policies" / "custom.yaml",
}


def policy(name: str) -> Policy:
    """One of the policies, as if it lay in /etc, so that no path of this machine gets into the files."""
    return dataclasses.replace(load_policy(POLICIES[name]), base="/etc/kpi-canary")


def golden() -> Iterator[tuple[Path, str]]:
    """Every committed file that is generated, with the text that it should have.

    promtool's test files are left out: they are long, and are run instead.
    """
    yield ROOT / "rules" / "lib" / "names.libsonnet", names_libsonnet()
    # What the mixin alone, without the command, makes dashboards from.
    shop = dataclasses.replace(policy("minimal"), service="shop")
    yield ROOT / "grafana" / "default.json", json.dumps(dashboards_config(shop), indent=2, ensure_ascii=False) + "\n"
    yield from reference.pages()
    yield FOLDER / "journals.txt", journals.folding()
    for name in POLICIES:
        found = policy(name)
        files = {f"prometheus/{path}": text for path, text in prometheus_files(found).items()}
        files["alertmanager/alertmanager.yml"] = alertmanager_file(found)
        for path, text in files.items():
            if not path.startswith("prometheus/tests/"):
                yield FOLDER / name / path, text
    made = mixin()
    yield FOLDER / "mixin" / "prometheus" / "rules" / "rules.yml", dump(made["rules"])
    yield FOLDER / "mixin" / "queries.txt", "".join(queries(made["dashboards"]))


def mixin() -> dict[str, Any]:
    """What `policies/mixin.jsonnet` gives, with the repository where `jb install` would put it.

    Its alerts are in no file: they are the command's own, written out, and tests hold the two together.
    """
    with tempfile.TemporaryDirectory() as vendor:
        (Path(vendor) / "github.com" / "kpi-canary").mkdir(parents=True)
        (Path(vendor) / "github.com" / "kpi-canary" / "kpi-canary").symlink_to(ROOT)
        text = _jsonnet.evaluate_file(str(FOLDER / "policies" / "mixin.jsonnet"), jpathdir=[vendor])
    found: dict[str, Any] = json.loads(text)
    return found


def queries(dashboards: dict[str, Any]) -> Iterator[str]:
    """What dashboards ask, by dashboard and panel; the rest of their text is the same for everybody."""
    for name, dashboard in dashboards.items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}: {' '.join(target['expr'].split())}\n"


def main() -> None:
    """Write every file whose text has changed."""
    for path, text in golden():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
