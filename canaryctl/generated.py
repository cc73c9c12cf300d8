"""The files of one service, and of several together: what `canary generate` writes, and `canary check` holds against.

Rules, their tests and ConfigMaps are a service's own and have its name. `prometheus.yml`, `alertmanager.yml`, the data
sources and the dashboards are one for all: Prometheus and Alertmanager read one file, and Grafana keeps one dashboard
under one id.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from canary.errors import GenerateError
from canary.policy import Policy
from canary.routers import routers_of

REMOTE = ("mimir", "thanos", "victoriametrics")
"""Rulers that take rules in a form of their own, next to everything else."""

Files = Mapping[str, str]
"""Relative path to text."""


def files_of(
    policies: Sequence[Policy],
    target: str,
    *,
    merge: Sequence[Path] = (),
    output: Path = Path(),
    removed: Sequence[str] = (),
    inline: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Mapping[str, Files]:
    """Everything of several services, by whose it is; names of services that share a file are parted by a space.

    Args:
        target: `files`, `kubernetes`, or one of `REMOTE`.
        merge: an alertmanager.yml and a prometheus.yml that are there already; ours are these with our parts added.
        output: the folder that everything is written into; a merged prometheus.yml names it.
        removed: services that are no more; what was merged for them is taken out of the files to merge into.
        labels: of Kubernetes' resources.

    Raises:
        GenerateError: something cannot be generated, two services would have one name or address, or the target has
            no file to merge into.
    """
    _require_different(policies)
    _require_a_file(target, merge)
    if target == "kubernetes":
        own = {policy.service: _own_manifests(policy, labels or {}, inline=inline) for policy in policies}
        shared = _shared_manifests(*policies)
    else:
        own = {policy.service: _files_for(policy, target, inline=inline) for policy in policies}
        shared = {**_shared_files(*policies), **_merged_files(policies, merge, _rules(own, output), removed)}
    if len(policies) == 1:
        return {policies[0].service: {**own[policies[0].service], **shared}}
    return {
        **{service: _apart(files, service) for service, files in own.items()},
        " ".join(policy.service for policy in policies): shared,
    }


def _require_different(policies: Sequence[Policy]) -> None:
    from rules.targets import slug

    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for number, policy in enumerate(policies):
        service, url = policy.service, policy.receiver.url.rstrip("/")
        if service in {other.service for other in policies[:number]}:
            raise GenerateError(f"two policies are of service {service}", remedy="give each a name of its own")
        if (other := names.setdefault(slug(service), service)) != service:
            raise GenerateError(
                f"services {other} and {service} would have one name, {slug(other)}",
                remedy="give one of them a name that differs in letters or digits",
            )
        if (other := addresses.setdefault(url, service)) != service:
            raise GenerateError(
                f"services {other} and {service} have one receiver, {url}, and alerts of both would go to one of them",
                remedy="write the address of each, as a receiver of several has them: receiver.url: "
                f"{url.partition('/services/')[0]}/services/{service}",
            )


def _require_a_file(target: str, merge: Sequence[Path]) -> None:
    if merge and target == "kubernetes":
        raise GenerateError(
            "Kubernetes' resources are merged into no file",
            place=f"merge: {merge[0]}",
            remedy="leave --merge out: the operator joins them with yours",
        )


def _apart(files: Files, service: str) -> Files:
    """With the service's name where several services' files would have one name."""
    return {
        f"{folder}/{service}/{name}" if folder in {"kubernetes", "router"} else path: text
        for path, text in files.items()
        for folder, _, name in [path.partition("/")]
    }


def generated_files(policy: Policy, *, inline: bool = False) -> Files:
    """Everything that is generated from one policy.

    Raises:
        GenerateError: something cannot be generated.
    """
    return {**_own_files(policy, inline=inline), **_shared_files(policy)}


def remote_files(policy: Policy, target: str, *, inline: bool = False) -> Files:
    """The rules for a ruler that is not Prometheus, one of `REMOTE`.

    Raises:
        GenerateError: the rules cannot be generated.
    """
    from canary.mixin.yamltext import dump
    from rules.targets import mimir_namespace, thanos_rules, victoriametrics_rules

    match target:
        case "mimir":
            made = mimir_namespace(policy, inline=inline)
        case "thanos":
            made = thanos_rules(policy, inline=inline)
        case _:
            made = victoriametrics_rules(policy)
    return {f"{target}/canary-{policy.service}.rules.yml": dump(made)}


def _files_for(policy: Policy, target: str, *, inline: bool) -> Files:
    """A service's own files, with those of a ruler of its own."""
    remote = remote_files(policy, target, inline=inline) if target in REMOTE else {}
    return {**_own_files(policy, inline=inline), **remote}


def _own_files(policy: Policy, *, inline: bool) -> Files:
    from rules.generate import rules_and_tests

    files = {f"prometheus/{name}": text for name, text in rules_and_tests(policy, inline=inline).items()}
    for router in routers_of(policy):
        files |= {f"router/{name}": text for name, text in router.snippet().items()}
    return files


def _shared_files(*policies: Policy) -> Files:
    from alertmanager.config.configuration import alertmanager_config
    from canary.mixin.yamltext import dump
    from grafana.generate import dashboards, provisioning
    from rules.scrape import scrape_config

    return {
        "prometheus/prometheus.yml": dump(scrape_config(*policies)),
        "alertmanager/alertmanager.yml": dump(alertmanager_config(*policies)),
        **{f"grafana/dashboards/{name}": text for name, text in dashboards(*policies).items()},
        **{f"grafana/provisioning/{name}": text for name, text in provisioning(*policies).items()},
    }


def _rules(own: Mapping[str, Files], output: Path) -> list[Path]:
    return sorted(output / path for files in own.values() for path in files if path.startswith("prometheus/rules/"))


def _merged_files(
    policies: Sequence[Policy], merge: Sequence[Path], rules: Sequence[Path], removed: Sequence[str]
) -> Files:
    """Which of the two a file is, is told by what is in it: its name may be any."""
    from alertmanager.config.configuration import alertmanager_file
    from canary.mixin.theirs import read_theirs
    from rules.merging import is_prometheus, merged_file

    files: dict[str, str] = {}
    for path in merge:
        theirs = read_theirs(path)
        if is_prometheus(theirs):
            name, text = "prometheus/prometheus.yml", merged_file(theirs, policies, rules, removed)
        else:
            name, text = "alertmanager/alertmanager.yml", alertmanager_file(*policies, merge=path, removed=removed)
        if name in files:
            raise GenerateError(f"two files to merge into would both be {name}", place=f"merge: {path}")
        files[name] = text
    return files


def _own_manifests(policy: Policy, labels: Mapping[str, str], *, inline: bool) -> Files:
    from alertmanager.config.kubernetes import alertmanager_config_resource
    from canary.mixin.yamltext import dump
    from rules.monitors import service_monitors
    from rules.targets import analysis_template, metadata, metric_templates, prometheus_rule

    files = {
        "prometheusrule.yaml": dump(prometheus_rule(policy, labels, inline=inline)),
        "servicemonitors.yaml": "---\n".join(dump(monitor) for monitor in service_monitors(policy, labels)),
        "alertmanagerconfig.yaml": dump(alertmanager_config_resource(policy, metadata(policy, "", labels))),
        "argo-analysistemplate.yaml": dump(analysis_template(policy)),
        "flagger-metrictemplates.yaml": "---\n".join(dump(template) for template in metric_templates(policy)),
    }
    return {f"kubernetes/{name}": text for name, text in files.items()}


def _shared_manifests(*policies: Policy) -> Files:
    from grafana.generate import kubernetes

    return {f"kubernetes/dashboards/{name}": text for name, text in kubernetes(*policies).items()}
