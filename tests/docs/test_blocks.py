"""No block of code in the docs goes unrun: each is given to a test here, or says why there can be none."""

import re
import shlex
from pathlib import Path

import pytest

from scripts.reference.commands import tree
from tests.support.documents.pages import DOCS, Block, blocks_of

ROOT = DOCS.parent
# Made from the code, and compared with it.
MADE = {"docs/reference-commands.md"}
PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), ROOT / "deploy" / "README.md", *DOCS.rglob("*.md")])
    # The platforms' pages are made from the mappings, and followed by tests/canaryctl/init/test_platforms.py.
    if str(path.relative_to(ROOT)) not in MADE and path.parent.name != "platforms"
]

# The test that takes all blocks of a kind on a page. `console` are commands with what they print, together with the
# files that the page names; `text` is for reading.
RUN_BY = {
    ("README.md", "console"): "docs/test_pages.py",
    ("docs/alertmanager.md", "console"): "docs/test_rules_pages.py",
    ("docs/api.md", "console"): "docs/test_receiver_pages.py",
    ("docs/backtest.md", "csv"): "exporter/test_evidence_docs.py",
    ("docs/backtest.md", "sh"): "exporter/test_evidence_docs.py",
    ("docs/before-a-release.md", "console"): "docs/test_pages.py",
    ("docs/before-a-release.md", "yaml"): "alertmanager/receiver/act/telling/test_routing.py",
    ("docs/calibrate.md", "sh"): "exporter/test_evidence_docs.py",
    ("docs/dashboards.md", "console"): "grafana/test_docs.py",
    ("docs/demo.md", "sh"): "demo/test_docs.py",
    ("docs/demo.md", "yaml"): "demo/test_docs.py",
    ("docs/deployment.md", "console"): "docs/test_pages.py",
    ("docs/deployment.md", "yaml"): "canary/prometheus/test_access.py",
    ("docs/evidence-statistics.md", "python"): "exporter/test_evidence_docs.py",
    ("docs/evidence.md", "yaml"): "exporter/test_evidence_docs.py",
    ("docs/experiments.md", "console"): "docs/test_experiments.py",
    ("docs/experiments.md", "sql"): "docs/test_experiments.py",
    ("docs/experiments.md", "yaml"): "docs/test_experiments.py",
    ("docs/exporter.md", "console"): "docs/test_exporter_pages.py",
    ("docs/feature-flags.md", "console"): "docs/test_feature_flags.py",
    ("docs/feature-flags.md", "yaml"): "docs/test_experiments.py",
    ("docs/finishing.md", "console"): "docs/test_receiver_pages.py",
    ("docs/first-rollout.md", "console"): "docs/test_pages.py",
    ("docs/kubernetes.md", "console"): "docs/test_rules_pages.py",
    ("docs/kubernetes.md", "yaml"): "docs/test_kubernetes.py",
    ("docs/low-traffic.md", "console"): "docs/test_pages.py",
    ("docs/mimir-thanos-victoriametrics.md", "console"): "docs/test_rules_pages.py",
    ("docs/mimir-thanos-victoriametrics.md", "yaml"): "canary/prometheus/test_access.py",
    ("docs/page.md", "yaml"): "canary/timing/test_zones.py",
    ("docs/plans.md", "console"): "docs/test_receiver_pages.py",
    ("docs/plan.md", "sh"): "exporter/test_evidence_docs.py",
    ("docs/request-log.md", "console"): "docs/test_receiver_pages.py",
    ("docs/review.md", "sh"): "docs/test_review.py",
    ("docs/review.md", "yaml"): "canary/report/test_drift.py",
    ("docs/rollout.md", "console"): "docs/test_receiver_pages.py",
    ("docs/router-plugins.md", "python"): "canary/policy/routers/test_kinds.py",
    ("docs/router-plugins.md", "yaml"): "canary/policy/routers/test_kinds.py",
    ("docs/routers-envoy.md", "sh"): "canary/routers/test_pages.py",
    ("docs/routers-envoy.md", "yaml"): "canary/routers/test_pages.py",
    ("docs/routers-front.md", "yaml"): "canary/routers/test_fronts.py",
    ("docs/routers-gateway.md", "yaml"): "canary/routers/gateway/test_driver.py",
    ("docs/routers-haproxy.md", "sh"): "canary/routers/test_pages.py",
    ("docs/routers-haproxy.md", "yaml"): "canary/routers/test_pages.py",
    ("docs/routers-nginx.md", "sh"): "canary/routers/test_pages.py",
    ("docs/routers-nginx.md", "yaml"): "canary/routers/test_pages.py",
    ("docs/routers-other.md", "console"): "canary/routers/test_pages.py",
    ("docs/routers-other.md", "json"): "canary/routers/test_pages.py",
    ("docs/routers-other.md", "yaml"): "canary/routers/test_pages.py",
    ("docs/routers-traefik.md", "sh"): "canary/routers/traefik/test_driver.py",
    ("docs/routers-traefik.md", "yaml"): "canary/routers/traefik/test_driver.py",
    ("docs/rules.md", "console"): "docs/test_rules_pages.py",
    ("docs/rules.md", "haproxy"): "docs/test_rules_pages.py",
    ("docs/rules.md", "jsonnet"): "docs/test_rules_pages.py",
    ("docs/rules.md", "yaml"): "docs/test_rules_pages.py",
    ("docs/security.md", "console"): "docs/test_receiver_pages.py",
    ("docs/several-receivers.md", "console"): "docs/test_receiver_pages.py",
    ("docs/several-services.md", "console"): "docs/test_receiver_pages.py",
    ("docs/stamps.md", "sh"): "canaryctl/init/test_stamp.py",
    ("docs/stamps.md", "yaml"): "canaryctl/init/test_stamp.py",
    ("docs/tags.md", "console"): "docs/test_receiver_pages.py",
    ("docs/troubleshooting.md", "console"): "docs/test_pages.py",
    ("docs/simulation.md", "python"): "canary/testing/test_docs.py",
    ("docs/your-database.md", "console"): "docs/test_exporter_pages.py",
    ("docs/your-database.md", "sql"): "docs/test_your_database.py",
    ("docs/your-database.md", "yaml"): "docs/test_your_database.py",
    ("docs/your-kpis.md", "console"): "docs/test_pages.py",
    ("docs/your-kpis.md", "yaml"): "exporter/test_evidence_docs.py",
}

_PEOPLES = "for those who work on kpi-canary; `make test` and CI give these commands themselves"
# By page and first line: why no test can run it.
NOT_RUN = {
    ("CONTRIBUTING.md", "$ make setup   # .venv with everything"): _PEOPLES,
    ("README.md", "git clone https://git.example/kpi-canary.git   # a placeholder: take the address of this page"): (
        "its address is a placeholder; `make demo` is held by tests/demo/test_docs.py"
    ),
    ("README.md", "make test"): _PEOPLES,
    ("docs/api.md", "export LOAD_BALANCER_URL=http://shop.example CANARY_URL=http://shop.example"): (
        "needs a shop's address; tests/canary/routers/test_fronts.py asks the same of both routers"
    ),
    ("docs/compatibility.md", "make compat PROGRAMS=~/programs"): _PEOPLES,
    ("docs/dashboards.md", ".venv/bin/python -m grafana.lint"): _PEOPLES,
    ("docs/deployment.md", "podman build -t kpi-canary -f deploy/Containerfile ."): (
        "needs podman, and a base image from the network; tests/deploy builds the program from what the file copies"
    ),
    ("docs/deployment.md", "sudo /opt/kpi-canary/bin/pip install --no-deps --require-hashes -r requirements/run.txt"): (
        "needs the network; scripts/venv gives the same commands for every run of the tests"
    ),
    ("docs/feature-flags.md", 'const flags = await featureFlags("http://127.0.0.1:9878", process.env.FLAGS_TOKEN);'): (
        "how to use docs/examples/feature-flags.mjs, which tests/alertmanager/receiver/http/test_ofrep.py runs"
    ),
    ("docs/feature-flags.md", 'headers = {"Authorization": f"Bearer {token}"}'): (
        "from docs/examples/feature_flags.py, which tests/alertmanager/receiver/http/test_ofrep.py runs"
    ),
    ("docs/feature-flags.md", "async with asyncio.timeout(0.5):"): (
        "as demo/shop/flags.py does it, which tests/demo/shop/test_flags.py runs"
    ),
    ("docs/router-plugins.md", '[project.entry-points."kpi_canary.routers"]'): (
        "from docs/examples/router-plugin, which tests/canary/policy/routers/test_kinds.py installs"
    ),
    ("docs/router-plugins.md", "$ /opt/kpi-canary/bin/pip install --no-deps docs/examples/router-plugin"): (
        "builds in an environment from the network; tests/canary/policy/routers/test_kinds.py installs it without"
    ),
    ("docs/rules.md", "jb install github.com/kpi-canary/kpi-canary"): (
        "needs the network; the jsonnet after it is run with the repository where jb would put it"
    ),
    (
        "docs/simulation.md",
        "$ make simulate SEEDS=1000 JOBS=2   # many worlds: what was drawn, which states it met, which promises were broken",  # noqa: E501  # as it stands there
    ): ("takes minutes; tests/simulation lives a fixed set of the same worlds"),
}


def _kind(block: Block) -> str:
    return "console" if block.name else block.language


def _first(block: Block) -> str:
    return block.text.splitlines()[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    """A block that no test takes must be added to a test, or here with its reason."""
    name = str(page.relative_to(ROOT))

    missing = [
        _first(block)
        for block in blocks_of(page)
        if block.language != "text" and (name, _kind(block)) not in RUN_BY and (name, _first(block)) not in NOT_RUN
    ]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_stands_in_fences(page: Path) -> None:
    """An indented block would not be seen here."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)

    assert re.findall(r"\n\n {4}(\w.*)", outside) == []


@pytest.mark.parametrize(("page", "kind"), sorted(RUN_BY))
def test_the_named_test_knows_the_page(page: str, kind: str) -> None:
    """The page has such blocks still, and the test that is to run them names it."""
    assert any(_kind(block) == kind for block in blocks_of(ROOT / page))
    assert Path(page).name in (ROOT / "tests" / RUN_BY[page, kind]).read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "line"), sorted(NOT_RUN))
def test_what_is_not_run_is_still_there(page: str, line: str) -> None:
    """An excuse goes with its block."""
    assert line in [_first(block) for block in blocks_of(ROOT / page)]


OPTIONS = {
    context.command_path: {name for parameter in context.command.params for name in parameter.opts}
    for context in tree()
}
SPANS = sorted(
    {
        (str(page.relative_to(ROOT)), " ".join(span.split()))
        for page in PAGES
        for span in re.findall(r"`(canary [a-z][^`]*)`", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize(("page", "span"), SPANS)
def test_commands_in_the_text_are_there(page: str, span: str) -> None:
    """A command that a sentence names exists, with its options."""
    words = shlex.split(span)
    path = max((name for name in OPTIONS if f"{span} ".startswith(f"{name} ")), key=len)
    asked = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}

    assert path != "canary", f"{page}: there is no such command: {span}"
    assert asked <= OPTIONS[path], f"{page}: {span}"
