{
  _config+:: {
    // Metric names by their name in canary/names.py, in lower case: names.kpi_evidence.
    names: error 'must provide names of metrics',
    // The rollout's states, in the order that gives each its number.
    states: error 'must provide states',
    // What is marked on the time axis: start, advance, ...
    events: error 'must provide events',
    // The heartbeat, which always fires and says nothing on a timeline.
    watchdog: error 'must provide watchdog',

    // The policy's KPIs: name, title, unit, worse (lower or higher), action, tolerance, segmented, currency.
    kpis: error 'must provide kpis',
    // Kinds of rows in the order database that are counted.
    counters: error 'must provide counters',
    // Whether `canary assignments` follows the router's log.
    log: false,
    // The policy's experiments: name, treatments, kpis, mismatchThreshold.value (log10 of the evidence).
    experiments: error 'must provide experiments',
    // The shop's own series: names, labels, selectors.
    signals: error 'must provide signals',
    // Of services that name theirs differently: as `signals`, and each with `services`, a pattern of their names.
    others: [],
    // What graphs draw as lines, by the limit's name: `value`, and `text` as people write it. No value: not drawn.
    limits: error 'must provide limits',

    // The service that is shown until another is chosen; empty: whichever Grafana finds first.
    service: '',
    uids: error 'must provide uids of dashboards',
    tags: ['kpi-canary'],
    refresh: '5s',
    // Shortest step of a graph: the policy's scrape interval; and that of one that shows rates.
    step: error 'must provide step',
    rateStep: error 'must provide rateStep',
  },
}
