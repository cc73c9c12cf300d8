// What the shop sells, by version, as counted in the order database.
local query = import '../lib/query.libsonnet';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local series(metric, version) = metric + '{service="$service"' + version + '}';
  local perMinute(metric, version, by='', offset='') =
    '60 * sum' + by + ' (rate(' + series(metric, version) + '[$__rate_interval]' + offset + '))';
  local trend(metric, by='', label='') = [
    query.range(perMinute(metric, ', version="$stable"', by), 'stable $stable' + label, 'stable'),
    query.range(perMinute(metric, ', version="$canary"', by), 'canary $canary' + label, 'canary'),
    query.range(perMinute(metric, '', by, ' offset 1d'), 'all, the day before' + label, 'before'),
  ];
  local total(metric, by='', label='') = [
    query.instant('sum' + by + ' (increase(' + series(metric, '') + '[$__range]))', 'now' + label),
    query.instant('sum' + by + ' (increase(' + series(metric, '') + '[$__range] offset 1d))', 'the day before' + label, 'before'),
  ];

  {
    counted(counter):: trend(counter.metric),
    countedTotal(counter):: total(counter.metric),
    revenue:: trend(config.names.order_value_total, ' by (currency)', ' {{currency}}'),
    revenueTotal:: total(config.names.order_value_total, ' by (currency)', ' {{currency}}'),
  }
