// The canary's machine, its processes, and the order database as the canary meets it.
local query = import '../lib/query.libsonnet';
local variants = import '../lib/variants.libsonnet';

// s: where the series are, as `config.signals` has it.
local machines(config, s) =
  local select = (import '../lib/select.libsonnet')(config);
  local node(metric, more=[]) = select.metric(metric, [s.nodeSelector] + more);
  local process(metric) = select.metric(metric, [if s.processSelector == '' then s.selector else s.processSelector]);
  local real = ['fstype!~"tmpfs|ramfs|squashfs|overlay|iso9660"'];

  {
    cpu:: query.range(
      '1 - avg by (instance) (rate(' + node('node_cpu_seconds_total', ['mode="idle"']) + '[$__rate_interval]))', '{{instance}}'
    ),
    memory:: query.range(
      '1 - ' + node('node_memory_MemAvailable_bytes') + ' / ' + node('node_memory_MemTotal_bytes'), '{{instance}}'
    ),
    disk:: query.range(
      '1 - ' + node('node_filesystem_avail_bytes', real) + ' / ' + node('node_filesystem_size_bytes', real),
      '{{instance}} {{mountpoint}}'
    ),
    processCpu:: query.range('rate(' + process('process_cpu_seconds_total') + '[$__rate_interval])', '{{job}} {{instance}}'),
    processMemory:: query.range(process('process_resident_memory_bytes'), '{{job}} {{instance}}'),
    processFiles:: query.range(process('process_open_fds') + ' / ' + process('process_max_fds'), '{{job}} {{instance}}'),
  };

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local variant = variants(config, function(s) machines(config, s));
  {
    cpu:: variant.one(function(made) made.cpu),
    memory:: variant.one(function(made) made.memory),
    disk:: variant.one(function(made) made.disk),
    processCpu:: variant.one(function(made) made.processCpu),
    processMemory:: variant.one(function(made) made.processMemory),
    processFiles:: variant.one(function(made) made.processFiles),
    replicaLag:: query.range('max(' + select.own('replica_lag_seconds') + ')', 'behind the primary'),
    unknownVersions:: query.range('max by (event) (' + select.own('unknown_version_ratio') + ')', '{{event}}'),
    faultyRows::
      local rows(metric) = 'max by (event, column, fault, version) (' + select.rollout(metric) + ')';
      query.range(rows('consistency_faulty_rows') + ' / ' + rows('consistency_rows') + ' > 0', '{{version}}: {{event}}, {{column}} ({{fault}})'),
    replicaFaults::
      query.range(
        'max by (event, fault) (' + select.rollout('replica_faulty_rows') + ') / on (event) group_left '
        + 'max by (event) (' + select.rollout('replica_rows') + ') > 0',
        'replica: {{event}} ({{fault}})'
      ),
    logAge:: query.range('max(' + select.own('log_line_age_seconds') + ')', 'behind the log'),
    logLines:: [
      query.range('sum by (service) (rate(' + select.own(pair[0]) + '[$__rate_interval]))', pair[1])
      for pair in [
        ['log_lines_total', 'lines'],
        ['log_crawler_requests_total', 'of crawlers'],
        ['log_garbage_lines_total', "none of the router's"],
        ['log_dropped_lines_total', 'dropped'],
        ['log_gaps_total', 'gaps'],
      ]
    ],
    logStore:: query.instant('min(' + select.own('log_store_up') + ')', ''),
    schema:: query.instant('min(' + select.own('schema_compatible') + ')', ''),
  }
