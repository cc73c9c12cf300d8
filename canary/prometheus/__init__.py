"""Everything that is asked of Prometheus and Alertmanager, by whichever part of kpi-canary.

In: an HTTP session and the addresses that the policy names. Out: alerts, samples, rules and silences of known types,
or a `RemoteError` that says what is wrong and what to do. There is no third outcome: an answer that is not understood,
that is cut off, too large, or about fewer series than asked for, is *unknown*, and never an empty list. Who decides on
the absence of alerts asks through `ServiceAlerts`, which also knows whether the rules are evaluated there at all.
"""

from canary.prometheus.alert import Alert
from canary.prometheus.alertmanager import Alertmanager
from canary.prometheus.api import PATIENT, QUICK, Limits
from canary.prometheus.client import Prometheus, Rule, Sample, Series
from canary.prometheus.databaseschema import schema_compatible
from canary.prometheus.policies import Differing, PoliciesInUse, policies_in_use
from canary.prometheus.service import ServiceAlerts, UnevaluatedError
from canary.prometheus.silences import LOWERING, Inhibited, Matcher, Silence, Suppression

__all__ = [
    "LOWERING",
    "PATIENT",
    "QUICK",
    "Alert",
    "Alertmanager",
    "Differing",
    "Inhibited",
    "Limits",
    "Matcher",
    "PoliciesInUse",
    "Prometheus",
    "Rule",
    "Sample",
    "Series",
    "ServiceAlerts",
    "Silence",
    "Suppression",
    "UnevaluatedError",
    "policies_in_use",
    "schema_compatible",
]
