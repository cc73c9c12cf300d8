"""A prometheus.yml that is there already, with our jobs, rules and Alertmanager added.

Copying jobs by hand into a file whose `global` says another interval, and rules into a folder that `rule_files` may or
may not name, is where shops with a Prometheus of their own stumbled. What is theirs is never touched: ours are known by
their names, which begin with `kpi-canary-` and end with the service's. Doing it again renews them, and takes those of
a service away that is said to be no more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from canary.errors import GenerateError
from canary.mixin.theirs import parts_of, with_access
from canary.mixin.yamltext import dump
from canary.policy import Policy
from rules.generate import alerts_file, recording_file
from rules.scrape import scrape_config

Section = dict[str, Any]

_SECTIONS = {"scrape_configs", "scrape_config_files", "rule_files", "alerting", "remote_write", "remote_read"}
"""Only Prometheus' file has them; `global` is Alertmanager's too."""

_PARTS = ("exporter", "verdicts", "receiver", "assignments")
"""Whose jobs are ours. Those of the shop itself may be theirs, and then say more than ours would."""
_ACCESS = (
    "scheme", "basic_auth", "authorization", "oauth2", "tls_config", "http_headers",
    "proxy_url", "proxy_from_environment", "no_proxy", "proxy_connect_header",
)  # fmt: skip
"""What a job of ours keeps as they have written it."""


def is_prometheus(data: Section) -> bool:
    """Whether a configuration is Prometheus' own, and not Alertmanager's."""
    return not _SECTIONS.isdisjoint(data)


def merged_file(theirs: Section, policies: Sequence[Policy], rules: Sequence[Path], removed: Sequence[str] = ()) -> str:
    """The text of their file with our parts in it.

    Args:
        rules: the files that our rules are generated into; they are read from there, so that they need no copying.
        removed: services that are no more; their jobs and rules are taken out.

    Raises:
        GenerateError: a section that ours are added to is not what Prometheus takes.
    """
    ours = scrape_config(*policies)
    services = [*(policy.service for policy in policies), *removed]
    own = [f"kpi-canary-{part}-{service}" for service in services for part in _PARTS]
    every = parts_of(theirs, "scrape_configs")
    jobs = [job for job in every if job.get("job_name") not in own]
    there = [job.get("job_name") for job in jobs]
    # Of a folder that we wrote into before they would be loaded twice, and each alert would fire twice.
    ours_by_name = {path.name for path in rules} | {
        file(gone) for gone in removed for file in (alerts_file, recording_file)
    }
    named = [file for file in parts_of(theirs, "rule_files", str) if Path(file).name not in ours_by_name]
    return dump(
        {
            **theirs,
            "alerting": _alerting(theirs.get("alerting") or {}, ours["alerting"]["alertmanagers"]),
            "rule_files": [*named, *map(str, rules)],
            "scrape_configs": [
                *jobs,
                *(_with_access(job, every) for job in ours["scrape_configs"] if job["job_name"] not in there),
            ],
        }
    )


def _with_access(job: Section, theirs: Sequence[Section]) -> Section:
    """A job of ours, with what they have added to get in where it was there before."""
    before = next((one for one in theirs if one.get("job_name") == job["job_name"]), {})
    return with_access(job, {key: before[key] for key in _ACCESS if key in before})


def _alerting(theirs: Any, ours: Sequence[Section]) -> Section:
    """Theirs, where it names any Alertmanager: which one is behind an address that is discovered cannot be known here.

    `canary check` and `canary drill` say whether what ours needs arrives by theirs.
    """
    if not isinstance(theirs, dict):
        raise GenerateError("expected a mapping", place="merge: alerting")
    return theirs if parts_of(theirs, "alertmanagers") else {**theirs, "alertmanagers": list(ours)}
