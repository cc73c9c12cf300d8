"""`canary generate`: the files that Prometheus, Alertmanager, Grafana and the routers read."""

from collections.abc import Mapping
from pathlib import Path

import click

from canary.cli.options import config_file
from canary.errors import GenerateError
from canary.policy import Policy, load_policy
from canary.routers import routers_of


@click.command()
@config_file
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write into.")
@click.option(
    "--merge",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An alertmanager.yml of yours: the generated one is yours with our parts added.",
)
@click.option("--inline", is_flag=True, help="Alerts read no recorded series (vmalert and other remote evaluators).")
def command(config_file: str, output: Path, merge: Path | None, inline: bool) -> None:
    """Write Prometheus rules, Alertmanager configuration, dashboards and router snippets.

    Files that are there already are replaced; files that are no longer generated stay.
    """
    files = generated_files(load_policy(config_file), merge=merge, inline=inline)
    write_files(files, output)
    click.echo(f"{len(files)} files written to {output}")


def generated_files(policy: Policy, *, merge: Path | None = None, inline: bool = False) -> Mapping[str, str]:
    """Relative path to text of everything that is generated from a policy.

    Raises:
        GenerateError: something cannot be generated.
    """
    from alertmanager.config import alertmanager_file
    from grafana.generate import dashboards, provisioning
    from rules.generate import prometheus_files

    files = {f"prometheus/{name}": text for name, text in prometheus_files(policy, inline=inline).items()}
    files["alertmanager/alertmanager.yml"] = alertmanager_file(policy, merge)
    files |= {f"grafana/dashboards/{name}": text for name, text in dashboards(policy).items()}
    files |= {f"grafana/provisioning/{name}": text for name, text in provisioning(policy).items()}
    for router in routers_of(policy):
        files |= {f"router/{name}": text for name, text in router.snippet().items()}
    return files


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write the files below *folder*.

    Raises:
        GenerateError: the folder cannot be written to.
    """
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GenerateError(f"--output {folder}: cannot be written ({error.strerror})") from error
