// The dashboards' configuration, worked out from the rules' (rules/config.libsonnet), for those who use the mixin
// without the command. Whoever renames a series or leaves a KPI out says so once: dashboards of another shop than the
// alerts are about would be empty, and nobody would be told why.
//
// rules: the rules' `_config`. defaults: what is shown where it says nothing, such as limits, which are the policy's.
local initial = (import '../rules/config.libsonnet')._config;

function(rules, defaults)
  local by(key, list) = { [one[key]]: one for one in list };
  local known = { kpis: by('name', defaults.kpis), counters: by('metric', defaults.counters) };

  local title(words) = std.asciiUpper(words[0]) + words[1:];
  local elapsed(kpi) = kpi.kind == 'mean' && kpi.of == '';
  // Of a KPI of one's own the tolerance is the policy's, which is not known here; the graph draws it.
  local drawn = { tolerance: 'the tolerated change', shown: 0.2, cut: '0.4', cutText: '40%' };
  local limits(name) = { [key]: std.get(known.kpis, name, drawn)[key] for key in std.objectFields(drawn) };
  local shown(kpi) = limits(kpi.name) + {
    name: kpi.name,
    metric: kpi.gauge,
    title: title(kpi.words),
    unit: if elapsed(kpi) then 's' else if kpi.kind == 'mean' then 'none' else 'percentunit',
    decimals: if kpi.kind == 'mean' then 2 else 1,
    worse: if kpi.kind == 'mean' && !kpi.upward then 'higher' else 'lower',
    note: if kpi.complement then ' It is judged on the conversions, whose fall is a rise of this rate.' else '',
    action: kpi.action,
    judged: kpi.judge == 'evidence',
    segmented: self.judged && std.get(kpi, 'segmented', false),
    currency: kpi.kind == 'mean' && kpi.of == 'orders',
  };

  // What the KPIs are made from, those that every shop has first and in their usual order.
  local metrics = std.set(std.flattenArrays([
    [kpi.entered] + (if std.objectHas(kpi, 'converted') then [kpi.converted] else [])
    for kpi in rules.kpis
  ]));
  local counter(metric) =
    local event = std.substr(metric, std.length('shop_'), std.length(metric) - std.length('shop__total'));
    std.get(known.counters, metric, { metric: metric, title: title(std.strReplace(event, '_', ' ')), headline: false });
  local usual = [one.metric for one in defaults.counters if std.member(metrics, one.metric)];

  local duration(seconds) =
    local units = [unit for unit in [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]] if seconds % unit[1] == 0];
    '%d%s' % [seconds / units[0][1], units[0][0]];

  defaults {
    service: rules.service,
    kpis: [shown(kpi) for kpi in rules.kpis],
    counters: [counter(metric) for metric in usual + std.setDiff(metrics, std.set(usual))],
    revenue: std.length([1 for kpi in rules.kpis if shown(kpi).currency]) > 0,
    experiments: [
      { treatments: [], kpis: [] } + one { mismatchThreshold+: { value: std.parseJson(one.mismatchThreshold.text) } }
      for one in rules.experiments
    ],
    // The rules must know which machines are the canary's; where nobody has said, dashboards show all.
    signals: rules.signals {
      nodeSelector: if super.nodeSelector == initial.signals.nodeSelector then '' else super.nodeSelector,
    },
    window: duration(std.parseJson(rules.kpiWindowSeconds)),
    uids: rules.dashboards,
  }
