// KPIs as the rules need them, for those who use the mixin without the command.
local n = import 'names.libsonnet';

local common(name, kind, entered) = {
  local own_alerts = {
    conversion_rate: n.CONVERSION_DEGRADED,
    payment_success_rate: n.PAYMENT_SUCCESS_DEGRADED,
  },
  local own_floor_alerts = { payment_success_rate: n.PAYMENT_SUCCESS_LOW },

  name: name,
  words: std.strReplace(name, '_', ' '),
  gauge: 'shop_' + name,
  kind: kind,
  entered: 'shop_' + entered + '_total',
  complement: false,
  // Whether parts of the customers are looked at by themselves.
  segmented: false,
  upward: true,
  // What a proven harm leads to: rollback, hold or warn.
  action: 'warn',
  // evidence, or threshold: the strategy's windowed rule.
  judge: 'evidence',
  // Whether it has a floor and a target; the receiver publishes which.
  floor: false,
  floorJudged: kind != 'mean' && self.floor,
  target: false,
  alert: std.get(own_alerts, name, n.KPI_ALERT),
  floorAlert: std.get(own_floor_alerts, name, n.KPI_ALERT),
  floorLabels: if std.objectHas(own_floor_alerts, name) then {} else { [n.LIMIT]: 'floor' },
};

{
  // Units that convert later: visits that become orders.
  conversion(name, from, to):: common(name, 'conversion', from) + { converted: 'shop_' + to + '_total' },

  // The same, published as one minus the rate: cart abandonment.
  complement(name, from, to):: $.conversion(name, from, to) + { complement: true, upward: false },

  // Units that succeed or fail: payments.
  success(name, of):: common(name, 'success', of),

  // An average of values: order value.
  mean(name, of):: common(name, 'mean', of) + { of: of },
}
