// The mixin's configuration, with the strategy's numbers. `canary generate` fills all of it from a policy; by hand it is
// changed as in any mixin: `kpiCanary { _config+:: { service: 'bookshop', critical+: { errorRate: '0.08' } } }`.
// Numbers are texts, because jsonnet prints 0.8 as 0.80000000000000004. docs/rules.md says what each means.
local kpi = import 'lib/kpi.libsonnet';

{
  _config+:: {
    // The shop's name, on all series of the exporter and the receiver, and on all alerts.
    service: 'shop',

    // Write every alert out, without reading recorded series: for vmalert and other remote evaluators.
    inline: false,

    evaluationInterval: '5s',
    // So long may exporter and receiver give no series before that counts as missing: four scrapes.
    missedScrapes: '20s',

    runbookUrl: 'https://github.com/kpi-canary/kpi-canary/blob/main/docs/runbooks/',
    // Grafana's address, without a slash at its end, and the dashboards' ids there.
    dashboardUrl: '',
    dashboards: {
      rollout: 'kpi-canary-rollout',
      business: 'kpi-canary-business',
      infrastructure: 'kpi-canary-infrastructure',
      guard: 'kpi-canary-guard',
      experiments: 'kpi-canary-experiments',
    },

    // z of Wilson's interval: alpha (1 %) split over the windows of a rollout. Also z^2/2, z^2/4 and z^2.
    // And how many requests a 95th percentile must rest on to be compared with.
    confidence: { z: '3.675', half: '6.752', quarter: '3.376', square: '13.504', quantileRequests: '257' },

    // Where the shop's own series are.
    signals: {
      // application, or haproxy: HAProxy's built-in exporter, by backend.
      preset: 'application',
      selector: '',
      requests: 'http_requests_total',
      duration: 'http_request_duration_seconds',
      // classic or native.
      histograms: 'classic',
      // Empty when the shop does not count failed connections to its database.
      connectionErrors: 'database_connection_errors_total',
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
      longWindowSeconds: '300',
      minimumRequests: '50',
    },

    critical: {
      enabled: true,
      errorRate: '0.1',
      responseTime: '10',
      memory: '0.95',
      databaseConnectionFailures: '5',
      holdFor: '10s',
    },
    warning: { enabled: true, errorRate: '0.05', responseTime: '5', holdFor: '5m' },
    // Much worse than stable: both a factor and a difference.
    againstStable: {
      enabled: true,
      errorRateFactor: '2',
      errorRateDifference: '0.005',
      responseTimeFactor: '1.5',
      responseTimeDifference: '0.1',
      holdFor: '5m',
    },
    info: { enabled: true, errorRate: '0.05', responseTime: '2', cpu: '0.8', memory: '0.8', disk: '0.8', holdFor: '5m' },

    kpis: [
      kpi.conversion('conversion_rate', 'visits', 'orders') { action: 'rollback' },
      kpi.mean('average_order_value', 'orders') { action: 'hold' },
      kpi.complement('cart_abandonment_rate', 'carts', 'orders') { action: 'hold' },
      kpi.success('payment_success_rate', 'payments') { floor: '0.9', target: '0.95', action: 'rollback' },
      kpi.conversion('checkout_completion_rate', 'checkouts', 'orders') { target: '0.9', action: 'hold' },
      kpi.mean('customer_satisfaction', 'feedback') { action: 'hold' },
    ],

    phases: [
      { index: '0', traffic: '5%', durationSeconds: '300', advance: 'on_schedule', gate: '' },
      { index: '1', traffic: '25%', durationSeconds: '900', advance: 'on_schedule', gate: '' },
      { index: '2', traffic: '50%', durationSeconds: '1200', advance: 'on_schedule', gate: '' },
      { index: '3', traffic: '100%', durationSeconds: '1800', advance: 'on_schedule', gate: '' },
    ],

    rollback: {
      converge: '30s',
      convergeSeconds: '30',
      // How long the absolute limits stay watched after promotion.
      watchSeconds: '172800',
    },

    evidence: {
      minimumUnits: '0',
      stalenessSeconds: '120',
      mismatch: '0.2',
      // log10(1 / alpha)
      mismatchThreshold: '2',
    },

    database: {
      // Empty without a read replica.
      replicaMaxLagSeconds: '',
    },

    // Experiments that are judged: name, control, guarded (has guardrails), compared (has other metrics), and
    // mismatchThreshold, log10 of treatments / alpha.
    experiments: [],

    // Empty when drills are not asked for.
    drillMaxAgeSeconds: '',

    // Changes by alert name: enabled, hold_for, severity, action, dry_run, labels, annotations.
    alerts: {},
  },
}
