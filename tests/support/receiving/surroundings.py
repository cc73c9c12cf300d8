"""What is around a rollout, as series: an experiment, the canary's machine, the shop's processes."""

import numpy as np

from canary import names
from tests.support.series import STEP_SECONDS, Series, Values


def experiment(series: Series, minute: Values) -> None:
    """A treatment that converts better, and nothing else; proven half-way."""
    gains = {"conversion_rate": 0.06, "cart_abandonment_rate": 0.01, "payment_success_rate": 0.0, "checkout_time": 0.0}
    arm = {names.EXPERIMENT: "checkoutFlow", names.VARIANT: "treatment"}
    half: Values = np.divide(1.2, np.sqrt(1 + 30 * minute))
    for kpi, gain in gains.items():
        labels = arm | {names.KPI: kpi}
        lower, upper, better = (np.asarray(it, dtype=np.float64) for it in (gain - half, gain + half, gain > half))
        series.own(names.EXPERIMENT_RELATIVE_CHANGE, labels, gain)
        series.own(names.EXPERIMENT_RELATIVE_CHANGE_LOWER, labels, lower)
        series.own(names.EXPERIMENT_RELATIVE_CHANGE_UPPER, labels, upper)
        series.own(names.EXPERIMENT_EVIDENCE, labels, -0.5)
        series.own(names.EXPERIMENT_EVIDENCE_THRESHOLD, labels, 2.0)
        series.own(names.EXPERIMENT_BETTER, labels, better)
        series.own(names.EXPERIMENT_GUARDRAIL, labels, float(kpi == "payment_success_rate"))
        passed = np.asarray(lower > -0.1, dtype=np.float64)
        verdicts: dict[str, Values | float] = {"pass": passed, "hold": 1 - passed, "fail": 0.0, "blind": 0.0}
        for verdict, holds in verdicts.items():
            series.own(names.EXPERIMENT_VERDICT, labels | {names.VERDICT: verdict}, holds)
        for role, factor, share in (("control", 1.0, 0.9), ("treatment", 1 + gain, 0.1)):
            series.own(names.EXPERIMENT_UNITS, labels | {names.ROLE: role}, np.floor(share * 900 * minute))
            series.own(names.EXPERIMENT_VALUE, labels | {names.ROLE: role}, 0.24 * factor)
    series.own(names.EXPERIMENT_MISMATCH_EVIDENCE, arm, 0.2 * np.sin(minute))
    series.own(names.EXPERIMENT_RUNNING, arm, 1.0)


def machine(series: Series, minute: Values, failed: Values) -> None:
    """A node, two processes of the shop, and an Alertmanager with *failed* deliveries."""
    node = {"job": "node", "instance": "10.0.1.20:9100"}
    busy = 0.35 + 0.1 * np.sin(minute / 5)
    series.shops("node_cpu_seconds_total", node | {"mode": "idle", "cpu": "0"}, np.cumsum((1 - busy) * STEP_SECONDS))
    series.shops("node_memory_MemTotal_bytes", node, np.full_like(busy, 8e9))
    series.shops("node_memory_MemAvailable_bytes", node, 8e9 * (0.55 - busy / 5))
    disk = node | {"mountpoint": "/", "fstype": "ext4"}
    series.shops("node_filesystem_size_bytes", disk, np.full_like(busy, 4e10))
    series.shops("node_filesystem_avail_bytes", disk, 2.2e10 - minute * 1e7)
    for version, port in (("v1.0", 5000), ("v2.0", 5001)):
        process = {"job": "shop", "instance": f"10.0.1.20:{port}", "version": version}
        series.shops("process_cpu_seconds_total", process, np.cumsum(busy * 0.4 * STEP_SECONDS))
        series.shops("process_resident_memory_bytes", process, 9e7 + 1e5 * minute)
        series.shops("process_open_fds", process, 40 + 5 * busy)
        series.shops("process_max_fds", process, np.full_like(busy, 1024.0))
    series.shops("alertmanager_notifications_failed_total", {"integration": "webhook"}, failed)
