"""Prometheus and Alertmanager between a receiver and what a test wants Prometheus to see, everything real and quick."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from alertmanager.config.configuration import alertmanager_file
from canary import names
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.ports import free_port
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.receiver import SERVICE, Setting
from tests.support.web.webserver import served

_PROMETHEUS = """\
global: {{scrape_interval: 500ms, evaluation_interval: 250ms, scrape_timeout: 500ms}}
rule_files: ["{rules}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: [{alertmanagers}]}}]}}]}}
scrape_configs:
- job_name: all
  static_configs: [{{targets: ["{receiver}", "{signals}"]}}]
"""

_RULES = """\
groups:
- name: canary
  rules:
  - alert: CanaryHighErrorRate
    # Prometheus forgets the rollout a while after the receiver is gone.
    expr: last_over_time(canary_rollout_info[1m]) * on () group_left () (signal{{name="bad"}} == 1)
    labels: {{service: {service}, action: rollback, severity: critical}}
    annotations: {{description: "12% of the canary's requests fail, the limit is 10%"}}
  - alert: CanaryBlind
    expr: canary_rollout_info * on () group_left () (signal{{name="blind"}} == 1)
    labels: {{service: {service}, action: hold, severity: critical}}
  - alert: {complete}
    expr: |
      canary_rollout_info * on () group_left () (signal{{name="complete"}} == 1)
      and on (rollout) (canary_rollout_state{{state=~"phase|baking"}} == 1)
      unless on (rollout) ALERTS{{action=~"rollback|hold"}}
    labels:
      service: {service}
      action: advance
      severity: info
      # Prometheus may still remember the rollout before.
      phase: >-
        {{{{ with printf "canary_rollout_phase{{rollout=%q}}" $labels.rollout | query }}}}{{{{ . | first | value
        }}}}{{{{ end }}}}
  - alert: {watchdog}
    expr: vector(1)
    labels: {{service: {service}, action: none, severity: info}}
"""


@dataclass
class Signals:
    """What Prometheus sees: three switches behind a metrics page."""

    bad: bool = False
    blind: bool = False
    complete: bool = False
    port: int = field(default_factory=free_port)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Signals"]:
        """Serve the metrics while the block runs."""

        async def metrics(_request: web.Request) -> web.Response:
            switches = {"bad": self.bad, "blind": self.blind, "complete": self.complete}
            lines = (f'signal{{name="{name}"}} {int(on)}\n' for name, on in switches.items())
            return web.Response(text="".join(lines))

        async with served(web.get("/metrics", metrics), port=self.port):
            yield self


@dataclass
class Chain:
    """The running servers."""

    signals: Signals
    prometheus: Prometheus
    alertmanager: Alertmanager


@dataclass(frozen=True)
class Places:
    """Ports that a setting can be told before the servers run."""

    prometheus: int = field(default_factory=free_port)
    alertmanager: int = field(default_factory=free_port)

    def section(self) -> dict[str, str]:
        """The keys of the policy's `receiver` section."""
        return {
            "prometheus": f"http://127.0.0.1:{self.prometheus}",
            "alertmanager": f"http://127.0.0.1:{self.alertmanager}",
        }


@asynccontextmanager
async def chained(
    setting: Setting, places: Places, folder: Path, *, pair: bool = False, merge: Path | None = None
) -> AsyncIterator[Chain]:
    """Prometheus, with rules on three switches, and Alertmanager, with the generated configuration.

    With *pair*, there are two Alertmanagers that do not know of each other, so that both tell everything. With *merge*,
    the configuration is that of other people, with ours in it.
    """
    async with Signals().listening() as signals:
        rules = folder / "rules.yml"
        rules.write_text(
            _RULES.format(service=SERVICE, complete=names.PHASE_COMPLETE, watchdog=names.WATCHDOG), encoding="utf-8"
        )
        ports = [places.alertmanager, *([free_port()] if pair else [])]
        configuration = _PROMETHEUS.format(
            rules=rules,
            alertmanagers=", ".join(f'"127.0.0.1:{port}"' for port in ports),
            receiver=f"127.0.0.1:{setting.port}",
            signals=f"127.0.0.1:{signals.port}",
        )
        with contextlib.ExitStack() as servers:
            generated = alertmanager_file(setting.policy, merge=merge)
            alertmanager, *_ = [servers.enter_context(Alertmanager(generated, port)) for port in ports]
            # Prometheus drops what fires before it has found Alertmanager, and tells it again only after this delay.
            arguments = ["--rules.alert.resend-delay=2s"]
            prometheus = Prometheus(configuration, port=places.prometheus, arguments=arguments)
            yield Chain(signals, servers.enter_context(prometheus), alertmanager)
