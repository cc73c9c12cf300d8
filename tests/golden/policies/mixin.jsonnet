// As a shop uses the mixin that `jb install` has laid into its vendor folder, with names and KPIs of its own.
local canary = (import 'github.com/kpi-canary/kpi-canary/mixin.libsonnet') {
  local kpi = import 'github.com/kpi-canary/kpi-canary/rules/lib/kpi.libsonnet',
  _config+:: {
    service: 'bookshop',
    dashboards+: { rollout: 'books-rollout' },
    signals+: {
      requests: 'books_http_requests_total',
      duration: 'books_http_request_seconds',
      connectionErrors: '',
      versionLabel: 'release',
      endpointLabel: 'route',
      statusLabel: 'code',
      selector: 'job="books"',
    },
    kpis: [
      kpi.conversion('conversion_rate', 'visits', 'orders') { action: 'rollback' },
      kpi.mean('gift_wrap_price', 'gift_wraps') { action: 'hold', upward: false },
    ],
  },
};
{
  alerts: canary.prometheusAlerts,
  rules: canary.prometheusRules,
  dashboards: canary.grafanaDashboards,
}
