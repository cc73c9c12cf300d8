// The canary's machine, its processes and the databases.
local colours = import '../lib/colours.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local layout = import '../lib/layout.libsonnet';
local panels = import '../lib/panels.libsonnet';
local words = import '../lib/words.libsonnet';

{
  local config = $._config,
  local machine = (import '../queries/machine.libsonnet')(config),
  local signals = (import '../queries/signals.libsonnet')(config),
  local guard = (import '../queries/guard.libsonnet')(config),
  local s = config.signals,
  local l = config.limits,
  // Null without a read replica.
  local replica = std.get(l, 'replica_lag_seconds'),
  local noNode = 'No series of a node exporter' + (if s.nodeSelector == '' then '' else ' with ' + s.nodeSelector) + ": scrape one on the canary's machine, and name it in signals.node_selector",
  local noProcess = 'No process metrics of the shop: name them in signals.process_selector or signals.selector',

  local used(title, description, query, normal, critical, empty) = panels.timeseries({
    title: title,
    description: description,
    empty: empty,
    size: [8, 7],
    queries: [query],
    unit: 'percentunit',
    min: 0,
    max: 1,
    limits: [panels.limit(normal.value, colours.canary)] + (if critical == null then [] else [panels.limit(critical.value, colours.bad)]),
  }),

  local machines = [
    used('CPU in use', 'Share of CPU time that is not idle. The normal range ends at ' + l.normal_cpu_ratio.text + '.', machine.cpu, l.normal_cpu_ratio, null, noNode),
    used('Memory in use', 'Share of memory that is not available. The normal range ends at ' + l.normal_memory_ratio.text + '; the canary rolls back above ' + l.critical_memory_ratio.text + '.', machine.memory, l.normal_memory_ratio, l.critical_memory_ratio, noNode),
    used('Disk in use', 'Share of each file system. The normal range ends at ' + l.normal_disk_ratio.text + '.', machine.disk, l.normal_disk_ratio, null, noNode),
  ],

  local processes = [
    panels.timeseries({
      title: 'CPU by process',
      description: 'CPU seconds per second: 1 is a whole core.',
      empty: noProcess,
      size: [8, 7],
      queries: [machine.processCpu],
      unit: 'short',
    }),
    panels.timeseries({
      title: 'Memory by process',
      description: 'Resident memory.',
      empty: noProcess,
      size: [8, 7],
      queries: [machine.processMemory],
      unit: 'bytes',
    }),
    panels.timeseries({
      title: 'Open files by process',
      description: 'Share of the file descriptors that the process may open.',
      empty: noProcess,
      size: [8, 7],
      queries: [machine.processFiles],
      unit: 'percentunit',
    }),
  ],

  local connections = if signals.connectionErrors == [] then [] else [
    panels.timeseries({
      title: 'Failed database connections by version',
      description: 'Requests that found the order database out of reach, as the shop counts them. The canary rolls back at ' + l.critical_connection_failures.text + ' within ' + s.window + '.',
      empty: 'The shop counts none: name its counter in signals.connection_errors',
      size: [8, 7],
      queries: signals.connectionErrors,
      unit: 'short',
    }),
  ],

  local normalQuery = std.get(l, 'normal_query_seconds'),
  local criticalQuery = std.get(l, 'critical_query_seconds'),
  local queries = if signals.queryTime == [] then [] else [
    panels.timeseries({
      title: 'Database query time, p95, by version',
      description: "Nineteen of twenty of the shop's queries to its database are answered faster than this, as the shop measures them."
                   + (if normalQuery == null then '' else ' The normal range ends at ' + normalQuery.text + '.')
                   + (if criticalQuery == null then '' else ' From ' + criticalQuery.text + ' on the canary is rolled back.'),
      empty: 'The shop measures none: name its histogram in signals.query_duration',
      size: [8, 7],
      queries: signals.queryTime,
      unit: 's',
    } + (if normalQuery == null then {} else { limits: [panels.limit(normalQuery.value, colours.canary)] })),
  ],

  local databases = connections + queries + [
    panels.timeseries({
      title: 'Time to read the order database',
      description: 'How long one refresh of the exporter takes, which is how long the database takes to answer.',
      empty: 'The exporter has not read the order database in this time range',
      size: [8, 7],
      queries: guard.refresh,
      unit: 's',
    }),
    panels.timeseries({
      title: 'Replication lag',
      description: 'How far the read replica is behind its primary. Beyond ' + (if replica == null then "the policy's limit" else replica.text) + ' the verdict is blind and the rollout holds.',
      empty: if replica == null then 'The policy names no read replica (database.replica)' else 'The replica does not tell its lag',
      size: [8, 7],
      queries: [machine.replicaLag],
      unit: 's',
    } + (if replica == null then {} else { limits: [panels.limit(replica.value, colours.bad)] })),
    panels.timeseries({
      title: 'Rows without a version',
      description: 'Share of the rows of each event that no version is known of; they are in no verdict. Beyond ' + l.unknown_version_ratio.text + ' the rollout holds.',
      empty: 'The exporter has counted no rows in this time range',
      size: [if connections == [] then 8 else 24, 7],
      queries: [machine.unknownVersions],
      unit: 'percentunit',
      min: 0,
      max: 1,
      limits: [panels.limit(l.unknown_version_ratio.value, colours.bad)],
    }),
    panels.timeseries({
      title: 'Rows that do not fit together',
      description: "Of each version's newest rows the share that is at fault, while a rollout runs: orphans name a row that is not there, childless ones have no payment, amounts differ from what was paid, empty ones lack a column. More of them on the canary than chance explains hold the rollout. So does any row of the replica that is missing, surplus or differing, compared with its primary.",
      empty: 'No rollout runs, or every row fits',
      size: [24, 7],
      queries: [machine.faultyRows, machine.replicaFaults],
      unit: 'percentunit',
      min: 0,
      max: 1,
    }),
    panels.stat({
      title: 'Order database readable',
      description: 'Whether the exporter can read the order database.',
      empty: 'The exporter does not report',
      size: [12, 4],
      queries: [guard.databaseUp],
      mappings: words.upDown,
    }),
    panels.stat({
      title: 'Schema fits both versions',
      description: 'Whether the tables and columns that both versions need are all there.',
      empty: 'The exporter does not report',
      size: [12, 4],
      queries: [machine.schema],
      mappings: words.upDown,
    }),
  ],

  local noLog = '`canary assignments` does not report: does it run, and is it scraped?',
  local log = [
    panels.timeseries({
      title: "Age of the router's log",
      description: 'How long ago the last line was kept, or the end of the log last reached: the longer of both. Versions of customers who came since are unknown.',
      empty: noLog,
      size: [8, 7],
      queries: [machine.logAge],
      unit: 's',
      min: 0,
    }),
    panels.timeseries({
      title: "Lines of the router's log per second",
      description: "Lines that were taken in; among them requests of crawlers and lines that are not the router's. Dropped are those that came faster than they could be kept, gaps are files that were gone before their end.",
      empty: noLog,
      size: [8, 7],
      queries: machine.logLines,
      unit: 'short',
      min: 0,
    }),
    panels.stat({
      title: "Store of the router's log writable",
      description: 'Whether `canary assignments` can write down which version served whom.',
      empty: noLog,
      size: [8, 7],
      queries: [machine.logStore],
      mappings: words.upDown,
    }),
  ],

  grafanaDashboards+:: {
    'canary-infrastructure.json': dashboard(config, {
      key: 'infrastructure',
      title: 'Canary / Infrastructure',
      description: "CPU, memory and disk of the canary's machine, the shop's processes, and the databases.",
      from: 'now-1h',
      sections: [
        // A shop that has only process metrics has no use for empty panels about machines.
        if s.processSelector != '' && s.nodeSelector == '' then [] else layout.section('Machine', machines),
        layout.section('Processes of the shop', processes),
        layout.section('Databases', databases),
        if config.log then layout.section("Follower of the router's log", log) else [],
      ],
    }),
  },
}
