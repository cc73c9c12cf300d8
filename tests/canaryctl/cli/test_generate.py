"""`canary generate` as a script uses it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from canary.errors import GenerateError
from canaryctl.cli.generate import command


def files(tmp_path: Path, *options: str) -> list[str]:
    """What the command says it wrote; all of it is there."""
    policy = tmp_path / "canary.yaml"
    policy.write_text("service: shop\n", encoding="utf-8")
    output = tmp_path / "out"
    argv = ["--config.file", str(policy), "--output", str(output), *options]

    result = CliRunner().invoke(command, argv, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    if "json" not in options:
        return sorted(str(path.relative_to(output)) for path in output.rglob("[!.]*") if path.is_file())
    said = json.loads(result.stdout)
    assert said["output"] == str(output)
    assert all((output / name).is_file() for name in said["files"])
    return list(said["files"])


def test_scripts_get_the_files(tmp_path: Path) -> None:
    """The folder, and every file in it that was written."""
    assert "prometheus/prometheus.yml" in files(tmp_path, "--format", "json")


@pytest.mark.parametrize("target", ["kubernetes", "mimir", "thanos", "victoriametrics"])
def test_the_target_has_its_earlier_name(tmp_path: Path, target: str) -> None:
    """`--format TARGET` goes on meaning `--target TARGET`."""
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()

    written = files(tmp_path / "new", "--target", target, "--format", "json")

    assert any(name.startswith(f"{target}/") for name in written)
    assert files(tmp_path / "old", "--format", target) == written


def test_what_cannot_be_merged_is_not_passed_over(tmp_path: Path) -> None:
    """Kubernetes' resources were written as if no file had been named."""
    theirs = tmp_path / "prometheus.yml"
    theirs.write_text("scrape_configs: []\n", encoding="utf-8")

    with pytest.raises(GenerateError, match="Kubernetes' resources are merged into no file"):
        files(tmp_path, "--target", "kubernetes", "--merge", str(theirs))


def test_a_service_that_is_removed_leaves_the_merged_files(tmp_path: Path) -> None:
    """Of both files, in one go with its own files."""
    prometheus, alertmanager = tmp_path / "prometheus.yml", tmp_path / "alertmanager.yml"
    prometheus.write_text(
        "scrape_configs: [{job_name: kpi-canary-exporter-books}, {job_name: node}]\n", encoding="utf-8"
    )
    alertmanager.write_text(
        "route: {receiver: on-call, routes: [{receiver: canary-books}]}\n"
        "receivers: [{name: on-call}, {name: canary-books}]\n",
        encoding="utf-8",
    )

    files(tmp_path, "--merge", str(prometheus), "--merge", str(alertmanager), "--remove", "books")

    written = [tmp_path / "out" / path for path in ("prometheus/prometheus.yml", "alertmanager/alertmanager.yml")]
    assert not [path for path in written if "books" in path.read_text(encoding="utf-8")]
    assert "job_name: node" in written[0].read_text(encoding="utf-8")


def test_a_tag_is_for_this_time(tmp_path: Path) -> None:
    """The option writes the tag into the router's configuration, whatever the policy says of it."""
    policy = tmp_path / "canary.yaml"
    policy.write_text("service: shop\nrouter: {kind: nginx}\n", encoding="utf-8")
    argv = ["--config.file", str(policy), "--output", str(tmp_path), "--tag-header", "user-agent"]

    result = CliRunner().invoke(command, argv, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    text = (tmp_path / "router" / "canary.conf").read_text(encoding="utf-8")
    assert 'proxy_set_header user-agent "$http_user_agent $canary_tag";' in text
