"""`canary generate`: the files that Prometheus, Alertmanager, Grafana and the routers read."""

from collections.abc import Mapping
from pathlib import Path

import click

from canary.policy import Policy, load_policy
from canary.routers import routers_of
from canary.routers.tag import with_tag
from canaryctl import output as output_files
from canaryctl.cli.console import print_json
from canaryctl.cli.options import config_file, format_option

_TARGETS = ("files", "kubernetes", "mimir", "thanos")


@click.command()
@config_file
@format_option(*_TARGETS)
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write into.")
@click.option(
    "--target",
    type=click.Choice(_TARGETS),
    default="files",
    show_default=True,
    help="Where the rules live: next to a Prometheus, with the operator, in Mimir or Cortex, in Thanos Ruler.",
)
@click.option(
    "--merge",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An alertmanager.yml of yours: the generated one is yours with our parts added.",
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
    "--tag-header",
    metavar="NAME",
    help="The routers write which side serves a request behind this header: one that the shop stores, as user-agent.",
)
def command(
    config_file: str,
    output_format: str,
    output: Path,
    target: str,
    merge: Path | None,
    inline: bool,
    labels: tuple[str, ...],
    tag_header: str | None,
) -> None:
    """Write Prometheus rules, Alertmanager configuration, dashboards and router snippets.

    This service's files are replaced, and those of another service are not: then nothing is written. Rules, their tests
    and scrape jobs have the service's name, so those of several services can be brought together in one folder.
    """
    policy = load_policy(config_file)
    if tag_header is not None:
        policy = with_tag(policy, tag_header)
    if output_format in _TARGETS:  # the earlier name of --target
        target = output_format
    match target:
        case "kubernetes":
            files = kubernetes_files(policy, _pairs(labels), inline=inline)
        case "mimir" | "thanos":
            files = {
                **generated_files(policy, merge=merge, inline=inline),
                **remote_files(policy, target, inline=inline),
            }
        case _:
            files = generated_files(policy, merge=merge, inline=inline)
    output_files.write(files, output, policy.service)
    if output_format == "json":
        print_json({"output": str(output), "files": sorted(files)})
    else:
        click.echo(f"{len(files)} files written to {output}")


def _pairs(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, found {label!r}", param_hint="--label")
        pairs[name] = value
    return pairs


def generated_files(policy: Policy, *, merge: Path | None = None, inline: bool = False) -> Mapping[str, str]:
    """Relative path to text of everything that is generated from a policy.

    Raises:
        GenerateError: something cannot be generated.
    """
    from alertmanager.config.configuration import alertmanager_file
    from grafana.generate import dashboards, provisioning
    from rules.generate import prometheus_files

    files = {f"prometheus/{name}": text for name, text in prometheus_files(policy, inline=inline).items()}
    files["alertmanager/alertmanager.yml"] = alertmanager_file(policy, merge)
    files |= {f"grafana/dashboards/{name}": text for name, text in dashboards(policy).items()}
    files |= {f"grafana/provisioning/{name}": text for name, text in provisioning(policy).items()}
    for router in routers_of(policy):
        files |= {f"router/{name}": text for name, text in router.snippet().items()}
    return files


def remote_files(policy: Policy, target: str, *, inline: bool = False) -> Mapping[str, str]:
    """The rules for a ruler that is not Prometheus: `mimir` or `thanos`.

    Raises:
        GenerateError: the rules cannot be generated.
    """
    from canary.mixin.yamltext import dump
    from rules.targets import mimir_namespace, thanos_rules

    made = mimir_namespace if target == "mimir" else thanos_rules
    return {f"{target}/canary-{policy.service}.rules.yml": dump(made(policy, inline=inline))}


def kubernetes_files(policy: Policy, labels: Mapping[str, str], *, inline: bool = False) -> Mapping[str, str]:
    """Manifests below `kubernetes/`: rules, Alertmanager's part, dashboards, and templates for other engines.

    Raises:
        GenerateError: something cannot be generated.
    """
    from alertmanager.config.kubernetes import alertmanager_config_resource
    from canary.mixin.yamltext import dump
    from grafana.generate import kubernetes
    from rules.targets import analysis_template, metadata, metric_templates, prometheus_rule

    files = {
        "prometheusrule.yaml": dump(prometheus_rule(policy, labels, inline=inline)),
        "alertmanagerconfig.yaml": dump(alertmanager_config_resource(policy, metadata(policy, "", labels))),
        "argo-analysistemplate.yaml": dump(analysis_template(policy)),
        "flagger-metrictemplates.yaml": "---\n".join(dump(template) for template in metric_templates(policy)),
    }
    files |= {f"dashboards/{name}": text for name, text in kubernetes(policy).items()}
    return {f"kubernetes/{name}": text for name, text in files.items()}
