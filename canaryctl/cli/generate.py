"""`canary generate`: the files that Prometheus, Alertmanager, Grafana and the routers read."""

from pathlib import Path

import click

from canary.errors import InputError
from canary.fleet.files import policy_files
from canary.policy import Policy, load_policy
from canary.routers.tag import with_tag
from canaryctl import output as output_files
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_files, format_option
from canaryctl.generated import REMOTE, files_of

_TARGETS = ("files", "kubernetes", *REMOTE)


@click.command()
@config_files
@format_option(*_TARGETS)
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write into.")
@click.option(
    "--target",
    type=click.Choice(_TARGETS),
    default="files",
    show_default=True,
    help="Where the rules live: next to a Prometheus, with the operator, in Mimir, Thanos Ruler or vmalert.",
)
@click.option(
    "--merge",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An alertmanager.yml or prometheus.yml of yours, or both: what is written is yours with our parts added.",
)
@click.option("--inline", is_flag=True, help="Alerts read no recorded series (vmalert and other remote evaluators).")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --target kubernetes: a label that your operator selects PrometheusRules by; repeatable.",
)
@click.option(
    "--remove",
    "removed",
    multiple=True,
    metavar="SERVICE",
    help="A service that is no more: its files are taken away, and its parts out of a file to merge into.",
)
@click.option(
    "--tag-header",
    metavar="NAME",
    help="The routers write which side serves a request behind this header: one that the shop stores, as user-agent.",
)
def command(
    *,
    config_files: tuple[Path, ...],
    output_format: str,
    output: Path,
    target: str,
    merge: tuple[Path, ...],
    inline: bool,
    labels: tuple[str, ...],
    removed: tuple[str, ...],
    tag_header: str | None,
) -> None:
    """Write Prometheus rules, Alertmanager configuration, dashboards and router snippets.

    With several policies, or a folder of them: rules, tests and scrape jobs of each service, one prometheus.yml, one
    alertmanager.yml and one set of dashboards for all. Files of services whose policies are not named are not replaced:
    then nothing is written.
    """
    policies = _policies(config_files, removed)
    if tag_header is not None:
        policies = [with_tag(policy, tag_header) for policy in policies]
    if output_format in _TARGETS:  # the earlier name of --target
        target = output_format
    labelled = _pairs(labels)
    files = files_of(
        policies, target, merge=merge, output=output.absolute(), removed=removed, inline=inline, labels=labelled
    )
    output_files.write(files, output, removed)
    written = sorted(name for texts in files.values() for name in texts)
    if output_format == "json":
        print_json({"output": str(output), "files": written})
    else:
        of_services = f" for {len(policies)} services" if len(policies) > 1 else ""
        click.echo(f"{len(written)} files written to {output}{of_services}")
        click.echo(f"Next: {_next(target, output, merge)}")


def _policies(config_files: tuple[Path, ...], removed: tuple[str, ...]) -> list[Policy]:
    policies = [load_policy(path) for path in policy_files(config_files)]
    if not policies:
        raise InputError("no policy (*.yaml) is in it", place=f"--config.file {config_files[0]}")
    for service in removed:
        if service in {policy.service for policy in policies}:
            raise click.BadParameter(f"{service} is the service of a policy that is named", param_hint="--remove")
    return policies


def _next(target: str, output: Path, merge: tuple[Path, ...]) -> str:
    """What somebody who has these files does with them; a merged one takes the place of what it was made from."""
    if target == "kubernetes":
        return f"kubectl apply --recursive --filename {output}/kubernetes; then: canary check"
    if not merge:
        return "let Prometheus, Alertmanager and the router read them; then: canary check"
    merged = " and ".join(path.name for path in merge)
    return f"let the files in {output} that hold your {merged} take their place, and reload them; then: canary check"


def _pairs(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, found {label!r}", param_hint="--label")
        pairs[name] = value
    return pairs
