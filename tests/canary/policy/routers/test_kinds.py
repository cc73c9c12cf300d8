"""The registry of router kinds: ours, a plug-in as users install it, and plug-ins that are broken."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from canary.policy.routers.kinds import GROUP, kinds_of
from tests.support.documents.pages import DOCS, blocks_of

PLUGIN = DOCS / "examples" / "router-plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example plug-in, built and installed as a distribution."""
    folder = tmp_path_factory.mktemp("plugin")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    argv = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(PLUGIN)]
    subprocess.run(argv, check=True)
    return folder


def _run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """A program in an environment that has the plug-in, in the folder that the policy is in."""
    code = f"import sys; sys.path.insert(0, {str(folder / 'site')!r}); "
    code += "from canaryctl.cli import main; main()" if argv else (folder / "run.py").read_text()
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, cwd=folder)


def _policy(folder: Path, **keys: str) -> None:
    [text] = [block.text for block in blocks_of(DOCS / "routers" / "plugins.md") if block.language == "yaml"]
    for key, value in keys.items():
        text = text.replace(f"{key}: /var/lib/edge/canary.json", f"{key}: {value}")
    (folder / "canary.yaml").write_text(text, encoding="utf-8")


def test_an_installed_plugin_is_a_kind_like_ours(installed: Path) -> None:
    """Its section is read, its configuration generated, its checks are made, by the command as it is installed."""
    _policy(installed, file=str(installed / "canary.json"))

    generated = _run(installed, "generate", "--output", str(installed / "out"))
    assert generated.returncode == 0, generated.stderr
    [snippet] = (installed / "out").rglob("canary.json")
    snippet.rename(installed / "canary.json")
    checked = _run(installed, "check")

    assert "router edge: can be switched; in force: edge: 0%" in " ".join(checked.stdout.split())


def test_a_plugins_faults_have_a_line(installed: Path) -> None:
    """An unknown key and what contradicts itself are told as for our own kinds."""
    _policy(installed, file="canary.json")
    relative = _run(installed, "check")
    _policy(installed, file="/x\n  fil: 2")
    unknown = _run(installed, "check")

    assert "canary.yaml:4: router.file: is no absolute path" in " ".join((relative.stdout + relative.stderr).split())
    told = " ".join((unknown.stdout + unknown.stderr).split())
    assert "canary.yaml:5: router.fil: unknown key" in told
    assert "did you mean 'file'?" in told


def test_the_example_keeps_the_contract_of_a_router(installed: Path) -> None:
    """The page's own test, against the installed plug-in."""
    [test] = [block.text for block in blocks_of(DOCS / "routers" / "plugins.md") if block.language == "python"]
    test = f"{test}\nimport asyncio, pathlib\nasyncio.run(test_our_router(pathlib.Path({str(installed)!r})))\n"
    (installed / "run.py").write_text(f"\n{test}", encoding="utf-8")

    run = _run(installed)

    assert (run.returncode, run.stderr) == (0, "")


def test_our_own_kinds_stand_in_the_same_registry() -> None:
    """Without any plug-in the kinds are ours, and a plug-in with one of their names changes nothing."""
    ours = kinds_of([])
    disguised = kinds_of([EntryPoint("haproxy", "json:dumps", GROUP)])

    assert sorted(ours.usable) == ["command", "envoy", "gateway", "haproxy", "nginx", "traefik"]
    assert disguised.usable == ours.usable


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:KIND", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:KIND", "AttributeError"),
        ("json:dumps", "TypeError: expected a RouterKind, found function"),
        ("canary.routers.kinds:NGINX", "TypeError: expected `kind: Literal['ours']`"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_left_out(value: str, said: str) -> None:
    """The others stay usable, and what is wrong with this one is known."""
    kinds = kinds_of([EntryPoint("ours", value, GROUP)])

    assert sorted(kinds.usable) == ["command", "envoy", "gateway", "haproxy", "nginx", "traefik"]
    assert said in kinds.broken["ours"]


def test_two_plugins_of_one_name_cancel_each_other() -> None:
    """Which of them comes first in a folder must not decide who switches traffic."""
    kinds = kinds_of([EntryPoint("ours", "a:KIND", GROUP), EntryPoint("ours", "b:KIND", GROUP)])

    assert kinds.broken == {"ours": "several plug-ins offer it: a:KIND, b:KIND"}


def test_who_names_a_broken_plugin_is_told_why(installed: Path) -> None:
    """The policy's fault is the plug-in's, not a choice of other kinds."""
    module = installed / "site" / "canary_edge_file.py"
    text = module.read_text(encoding="utf-8")
    _policy(installed, file="/x")
    try:
        module.write_text("raise RuntimeError('needs the edge library')", encoding="utf-8")
        checked = _run(installed, "check")
    finally:
        module.write_text(text, encoding="utf-8")

    told = " ".join((checked.stdout + checked.stderr).split())
    assert (
        "router.kind: the plug-in canary_edge_file:KIND cannot be loaded: RuntimeError: needs the edge library" in told
    )
