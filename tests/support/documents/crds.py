"""The fields of other projects' Kubernetes resources that our manifests use, with their types, and a check.

Written from the published CustomResourceDefinitions; a field that is not here has not been looked up:

* PrometheusRule v1 and AlertmanagerConfig v1alpha1: github.com/prometheus-operator/prometheus-operator,
  example/prometheus-operator-crd/, of 0.82.2 and 0.93.1; ServiceMonitor v1 there, of 0.84.1. Routes below the first
  are not described there; the operator reads them as routes.
* AnalysisTemplate v1alpha1: github.com/argoproj/argo-rollouts, manifests/crds/analysis-template-crd.yaml, of 1.8.
* MetricTemplate v1beta1: github.com/fluxcd/flagger, artifacts/flagger/crd.yaml, of commit 023004da (after 1.41).
* HTTPRoute v1: github.com/kubernetes-sigs/gateway-api, config/crd/standard/, of 1.4; Role v1: the Kubernetes API.
* ConfigMap v1 and all metadata: the Kubernetes API.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.documents.crdtypes import Fields, Type, boolean, integer, items, mapping, text, texts


def _route(value: Any) -> Iterator[tuple[str, str]]:
    yield from _ROUTE(value)


_DURATION = text(r"0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
_NOT_EMPTY_DURATION = text(r"0|(?=.)([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
_LABELS = texts()
_DAY = r"(?i:sun|mon|tues|wednes|thurs|fri|satur)day"
_CLOCK = text(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _itself(value: Any) -> Any:
    return value


def _name(value: Any) -> Any:
    return value.get("name")


_MATCHER = Fields({"name": text(".+")}, {"matchType": text("=|!=|=~|!~"), "value": text()})

_ROUTE = Fields(
    {},
    {
        "receiver": text(),
        "groupBy": items(text(), unique=_itself),
        "groupWait": _NOT_EMPTY_DURATION,
        "groupInterval": _NOT_EMPTY_DURATION,
        "repeatInterval": _NOT_EMPTY_DURATION,
        "matchers": items(_MATCHER),
        "continue": boolean,
        "muteTimeIntervals": items(text(), unique=_itself),
        "routes": items(_route),
    },
)

_RULE = Fields(
    {"expr": text()},
    {"record": text(), "alert": text(), "for": _DURATION, "labels": _LABELS, "annotations": _LABELS},
)

_LABEL_NAME = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"

_SELECTED = texts(_LABEL_NAME, _LABEL_VALUE)

_SECRET_KEY = Fields({"key": text()}, {"name": text()})

_WEBHOOK = Fields(
    {},
    {
        "url": text(),
        "sendResolved": boolean,
        "maxAlerts": integer,
        "httpConfig": Fields(
            {},
            {
                "authorization": Fields({}, {"type": text(), "credentials": _SECRET_KEY}),
                "tlsConfig": Fields({}, {"ca": Fields({}, {"secret": _SECRET_KEY})}),
            },
        ),
    },
)

_ENDPOINT = Fields(
    {},
    {
        "port": text(),
        "path": text(),
        "params": mapping(items(text())),
        "scheme": text("https?"),
        "interval": _DURATION,
        "scrapeTimeout": _DURATION,
        "honorLabels": boolean,
        "tlsConfig": Fields({}, {"ca": Fields({}, {"secret": _SECRET_KEY}), "serverName": text()}),
    },
)

_MEASUREMENT = Fields(
    {
        "name": text(),
        "provider": Fields(
            {},
            {
                "prometheus": Fields(
                    {},
                    {
                        "address": text(),
                        "query": text(),
                        "headers": items(Fields({"key": text(), "value": text()}, {})),
                    },
                )
            },
        ),
    },
    {
        "interval": text(r"([0-9]+(h|m|s|ms))+"),  # read by Go's time.ParseDuration, which knows no days
        "successCondition": text(),
        "failureCondition": text(),
        "failureLimit": integer,
        "inconclusiveLimit": integer,
        "consecutiveErrorLimit": integer,
    },
)


def _day_of_month(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, int) or not -31 <= value <= 31:
        yield "", f"expected a day from -31 to 31, found {value!r}"


def _weight(value: Any) -> Iterator[tuple[str, str]]:
    yield from integer(value)
    if isinstance(value, int) and value > 1_000_000:
        yield "", "is more than 1000000"


_HEADER_MATCH = Fields(
    {"name": text(r"[A-Za-z0-9!#$%&'*+.^_\x60|~-]{1,256}"), "value": text(r"(?s:.{1,4096})")},
    {"type": text("Exact|RegularExpression")},
)

_BACKEND = Fields(
    {"name": text(r".{1,253}")},
    {
        "group": text(),
        "kind": text(),
        "namespace": text(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"),
        "port": integer,
        "weight": _weight,
    },
)

_HTTP_RULE = Fields(
    {},
    {
        "matches": items(
            Fields(
                {},
                {
                    "path": Fields({}, {"type": text("Exact|PathPrefix|RegularExpression"), "value": text("/.*")}),
                    "headers": items(_HEADER_MATCH, unique=_name),
                },
            )
        ),
        "backendRefs": items(_BACKEND),
    },
)

_SPECS: Mapping[str, tuple[str, str, Type]] = {
    "PrometheusRule": (
        "monitoring.coreos.com/v1",
        "spec",
        Fields(
            {},
            {
                "groups": items(
                    Fields({"name": text(".+")}, {"interval": _DURATION, "rules": items(_RULE)}), unique=_name
                ),
            },
        ),
    ),
    "ServiceMonitor": (
        "monitoring.coreos.com/v1",
        "spec",
        Fields(
            {"selector": Fields({}, {"matchLabels": _SELECTED}), "endpoints": items(_ENDPOINT)},
            {"jobLabel": text()},
        ),
    ),
    "AlertmanagerConfig": (
        "monitoring.coreos.com/v1alpha1",
        "spec",
        Fields(
            {},
            {
                "route": _ROUTE,
                "inhibitRules": items(
                    Fields(
                        {},
                        {"sourceMatch": items(_MATCHER), "targetMatch": items(_MATCHER), "equal": items(text())},
                    )
                ),
                "receivers": items(Fields({"name": text()}, {"webhookConfigs": items(_WEBHOOK)}), unique=_name),
                "muteTimeIntervals": items(
                    Fields(
                        {"name": text()},
                        {
                            "timeIntervals": items(
                                Fields(
                                    {},
                                    {
                                        "times": items(Fields({}, {"startTime": _CLOCK, "endTime": _CLOCK})),
                                        "weekdays": items(text(f"{_DAY}(:{_DAY})?")),
                                        "daysOfMonth": items(
                                            Fields({}, {"start": _day_of_month, "end": _day_of_month})
                                        ),
                                        "months": items(text()),
                                        "years": items(text(r"2[0-9]{3}(:2[0-9]{3})?")),
                                    },
                                )
                            )
                        },
                    )
                ),
            },
        ),
    ),
    "AnalysisTemplate": (
        "argoproj.io/v1alpha1",
        "spec",
        Fields(
            {"metrics": items(_MEASUREMENT, unique=_name)},
            {
                "args": items(
                    Fields({"name": text()}, {"value": text(), "valueFrom": Fields({}, {"secretKeyRef": _SECRET_KEY})})
                )
            },
        ),
    ),
    "MetricTemplate": (
        "flagger.app/v1beta1",
        "spec",
        Fields(
            {
                "provider": Fields(
                    {"type": text("prometheus")}, {"address": text(), "secretRef": Fields({}, {"name": text()})}
                ),
                "query": text(),
            },
            {},
        ),
    ),
    "HTTPRoute": (
        "gateway.networking.k8s.io/v1",
        "spec",
        Fields(
            {},
            {
                "parentRefs": items(Fields({"name": text(r".{1,253}")}, {"namespace": text(), "sectionName": text()})),
                "hostnames": items(text(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")),
                "rules": items(_HTTP_RULE),
            },
        ),
    ),
    "Role": (
        "rbac.authorization.k8s.io/v1",
        "rules",
        items(
            Fields(
                {"verbs": items(text("get|list|watch|create|update|patch|delete"))},
                {"apiGroups": items(text()), "resources": items(text()), "resourceNames": items(text())},
            )
        ),
    ),
    "ConfigMap": ("v1", "data", texts(keys=r"[-._a-zA-Z0-9]{1,253}")),
}

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_METADATA = Fields(
    {"name": text(rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*")},
    {"labels": texts(_LABEL_NAME, _LABEL_VALUE), "annotations": texts(_LABEL_NAME), "namespace": text(_DNS_LABEL)},
)


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """Everything in a manifest that Kubernetes would refuse or drop, each with its place."""
    version, key, content = _SPECS[manifest["kind"]]
    schema = Fields(
        {"apiVersion": text(re.escape(version)), "kind": text(), "metadata": _METADATA, key: content},
        {},
    )
    return [f"{manifest['kind']}{place}: {fault}" for place, fault in schema(manifest)]
