// The mixin's configuration. It has no limits and no phases: the receiver publishes those of each rollout, and the rules
// compare with what it publishes. `canary generate` fills all of it from a policy; by hand it is
// changed as in any mixin: `kpiCanary { _config+:: { service: 'bookshop', critical+: { holdFor: '20s' } } }`.
// Numbers are texts. docs/rules.md says what each means.
local kpi = import 'lib/kpi.libsonnet';

{
  _config+:: {
    // The shop's name, on all series of the exporter and the receiver, and on all alerts.
    service: 'shop',

    // Write every alert out. With false, alerts read what the first group of prometheusRules has recorded, which is up to
    // one interval old, and costs less.
    inline: true,

    // The policy's digest, as exporter and receiver publish theirs. Empty when the rules are made by hand; then nothing
    // compares them.
    digest: '',

    evaluationInterval: '5s',
    // The same of the alerts that roll back for what the exporter has proven.
    fastEvaluationInterval: '1s',
    // So long may exporter and receiver give no series before that counts as missing: four scrapes.
    missedScrapes: '20s',

    runbookUrl: 'https://github.com/kpi-canary/kpi-canary/blob/main/docs/runbooks/',
    // Grafana's address, without a slash at its end, and the dashboards' ids there.
    dashboardUrl: '',
    // The receiver's page, as people open it.
    pageUrl: 'http://127.0.0.1:9878/',
    dashboards: {
      rollout: 'kpi-canary-rollout',
      business: 'kpi-canary-business',
      infrastructure: 'kpi-canary-infrastructure',
      guard: 'kpi-canary-guard',
      experiments: 'kpi-canary-experiments',
    },

    // Whether errors, response times and machines are watched at all; otherwise a rollout runs on its KPIs.
    technical: true,

    // Seconds of the exporter's window, over which the KPIs of a version are published.
    kpiWindowSeconds: '3600',

    // Where the shop's own series are.
    signals: {
      // application, or haproxy: HAProxy's built-in exporter, by backend. (`preset: log` of a policy is application, with
      // the series of `canary assignments`.)
      preset: 'application',
      selector: '',
      requests: 'http_requests_total',
      duration: 'http_request_duration_seconds',
      // classic or native.
      histograms: 'classic',
      // Empty when the shop does not count failed connections to its database.
      connectionErrors: 'database_connection_errors_total',
      // Empty when the shop does not measure its queries to the database.
      queryDuration: '',
      // Whether there is a limit of how long they take that rolls back.
      queriesRollBack: false,
      versionLabel: 'version',
      endpointLabel: 'endpoint',
      statusLabel: 'status',
      canaryBackend: 'canary',
      stableBackend: 'stable',
      nodeSelector: 'role="canary"',
      // Instead of the node exporter: the canary's process, and its memory limit.
      processSelector: '',
      memoryLimitBytes: '',
      window: '1m',
      longWindow: '5m',
      // The windows over which errors and response times may roll back, the shortest first, in seconds too. Each is
      // looked at once the rollout is older than it, so that it never reaches behind the rollout's start; the first
      // holds three scrapes. window and longWindow are among them.
      ladder: [
        { window: '15s', seconds: '15' },
        { window: '30s', seconds: '30' },
        { window: '1m', seconds: '60' },
        { window: '5m', seconds: '300' },
      ],
    },

    // The tiers of alerts: whether they are there, and how long each waits. Their limits are series of the receiver.
    critical: { enabled: true, holdFor: '10s' },
    warning: { enabled: true, holdFor: '5m' },
    // Much worse than stable: both a factor and a difference.
    againstStable: { enabled: true, holdFor: '5m' },
    info: { enabled: true, holdFor: '5m' },

    kpis: [
      kpi.conversion('conversion_rate', 'visits', 'orders') { action: 'rollback' },
      kpi.mean('average_order_value', 'orders') { action: 'hold' },
      kpi.complement('cart_abandonment_rate', 'carts', 'orders') { action: 'hold' },
      kpi.success('payment_success_rate', 'payments') { floor: true, target: true, action: 'rollback' },
      kpi.conversion('checkout_completion_rate', 'checkouts', 'orders') { target: true, action: 'hold' },
      kpi.mean('customer_satisfaction', 'feedback') { action: 'hold' },
    ],

    // How long routers may take to follow.
    converge: '30s',

    // Whether the order database is a read replica.
    replica: false,

    // Whether that replica is held against its primary.
    primary: false,

    // Whether `canary assignments` follows the router's log.
    log: false,

    // Experiments that are judged: name, control, guarded (has guardrails), compared (has other metrics), mismatch (the
    // share that is tolerated), and mismatchThreshold.text, log10 of treatments / alpha.
    experiments: [],

    // Empty when drills are not asked for.
    drillMaxAgeSeconds: '',

    // Who looks after each KPI, by its name: the label `owner` of its alerts.
    owners: {},

    // Changes by alert name: enabled, hold_for, severity, action, dry_run, labels, annotations.
    alerts: {},
  },
}
