// The variables that every dashboard has, in this order.
local datasource = { type: 'prometheus', uid: '${datasource}' };

function(config)
  local select = (import 'lib/select.libsonnet')(config);
  local query(name, label, metric, hide=0) = {
    type: 'query',
    name: name,
    label: label,
    datasource: datasource,
    definition: self.query,
    query: 'label_values(' + metric + ', ' + name + ')',
    // On every change of the time range, so that a new rollout appears by itself.
    refresh: 2,
    sort: 1,
    regex: '',
    multi: false,
    includeAll: false,
    hide: hide,
    options: [],
    current: {},
  };
  [
    {
      type: 'datasource',
      name: 'datasource',
      label: 'Data source',
      query: 'prometheus',
      regex: '',
      refresh: 1,
      multi: false,
      includeAll: false,
      hide: 0,
      options: [],
      current: {},
    },
    query('service', 'service', config.names.rollout_state) {
      current: if config.service == '' then {} else { selected: true, text: config.service, value: config.service },
    },
    // The newest rollout first, whatever its name: by the time of the last thing that happened to it.
    query('rollout', 'rollout', '') {
      query: 'query_result(sort_desc(max by (rollout) (last_over_time('
             + select.own('rollout_event_timestamp_seconds') + '[$__range]))))',
      regex: '/rollout="([^"]+)"/',
      sort: 0,
    },
    // The versions in the chosen rollout; the panels name them, nobody chooses them.
    query('stable', 'stable', select.rollout('rollout_info'), 2),
    query('canary', 'canary', select.rollout('rollout_info'), 2),
  ]
