"""The distribution as others install it."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.distribution import ROOT, build, unpack

ROOMS = {"canary", "exporter", "rules", "alertmanager", "grafana", "demo"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of what git knows."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    [packages] = (folder / "lib").glob("python*/site-packages")
    # A folder named by a .pth file comes after the environment's own, and its own .pth files are not read.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def run(installed: Path, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the fresh environment, away from this repository."""
    program = [str(installed / "bin" / argv[0]), *argv[1:]]
    return subprocess.run(program, cwd=cwd, check=False, capture_output=True, text=True)


def test_the_wheel_holds_the_rooms_and_what_they_read(built: Path) -> None:
    """Every room, with jsonnet, styles, scripts and the licence; no tests, no notes."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()

    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == ROOMS
    for needed in (
        "rules/main.jsonnet",
        "alertmanager/page/style.css",
        "alertmanager/page/live.js",
        "grafana/main.jsonnet",
        "demo/canary.yaml",
    ):
        assert needed in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".data/data/share/man/man1/canary.1") for name in names)
    assert not [name for name in names if name.endswith((".db", ".pyc", ".log"))]


def test_the_sdist_can_be_built_again(built: Path, tmp_path: Path) -> None:
    """A wheel made from the sdist holds the same files."""
    source = unpack(built, tmp_path / "source")

    again = build(tmp_path / "again", source)

    with zipfile.ZipFile(next(built.glob("*.whl"))) as first, zipfile.ZipFile(next(again.glob("*.whl"))) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
    assert (source / "LICENSE").exists()
    assert (source / "tests").is_dir()


def test_each_top_level_name_is_this_distributions_only(installed: Path, tmp_path: Path) -> None:
    """Names as plain as `rules` are ours in an environment of our own, and nobody else's."""
    program = (
        "from importlib.metadata import packages_distributions as found\n"
        "import json, sys\n"
        f"names = {sorted(ROOMS)}\n"
        "print(json.dumps({name: sorted(set(found().get(name, []))) for name in names}))\n"
        "import canary, exporter, rules, alertmanager, grafana, demo\n"
        "print(canary.__file__)\n"
    )

    answer = run(installed, "python", "-c", program, cwd=tmp_path)

    assert answer.returncode == 0, answer.stderr
    mapping, where = answer.stdout.splitlines()
    assert mapping.count("kpi-canary") == len(ROOMS)
    assert mapping.count('["kpi-canary"]') == len(ROOMS)
    assert str(installed) in where


def test_the_installed_command_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    """Version, help with exit statuses, and a policy from one line to generated files."""
    (tmp_path / "canary.yaml").write_text("service: shop\n", encoding="utf-8")

    version = run(installed, "canary", "--version", cwd=tmp_path)
    usage = run(installed, "canary", "--help", cwd=tmp_path)
    generated = run(installed, "canary", "generate", "--output", "out", cwd=tmp_path)
    unknown = run(installed, "canary", "chekc", cwd=tmp_path)

    assert version.stdout.startswith("canary, version ")
    assert "Exit status: 0 done; 1 a fault was found; 2 wrong usage; 3 refused" in " ".join(usage.stdout.split())
    assert generated.returncode == 0, generated.stderr
    assert (tmp_path / "out" / "prometheus" / "prometheus.yml").exists()
    assert unknown.returncode == 2


def test_the_example_policy_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    """A script gets the list of what was generated from it, with every room's files."""
    shutil.copy(ROOT / "canary.yaml", tmp_path)

    generated = run(installed, "canary", "generate", "--output", "out", "--format", "json", cwd=tmp_path)

    assert generated.returncode == 0, generated.stderr
    tops = {name.split("/")[0] for name in json.loads(generated.stdout)["files"]}
    assert tops == {"alertmanager", "grafana", "prometheus", "router"}


def test_installers_find_the_man_page(installed: Path) -> None:
    """It lies in the environment where pipx looks for pages to expose."""
    assert (installed / "share" / "man" / "man1" / "canary.1").is_file()


def test_shells_complete_commands(installed: Path, tmp_path: Path) -> None:
    """bash, zsh and fish each get a script from click."""
    for shell, mark in (("bash", "complete -o nosort"), ("zsh", "#compdef canary"), ("fish", "complete --no-files")):
        program = ["env", f"_CANARY_COMPLETE={shell}_source", str(installed / "bin" / "canary")]
        answer = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert mark in answer.stdout
