// Is the guard itself well? When one of these is not, nobody watches the canary.
local colours = import '../lib/colours.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local layout = import '../lib/layout.libsonnet';
local panels = import '../lib/panels.libsonnet';
local words = import '../lib/words.libsonnet';

local noExporter = 'The exporter does not report: is it running, and is it scraped?';
local noReceiver = 'The receiver does not report: is it running, and is it scraped?';

{
  local config = $._config,
  local guard = (import '../queries/guard.libsonnet')(config),
  local l = config.limits,

  local now(title, description, query, empty, unit, limits, more={}) = panels.stat({
    title: title,
    description: description,
    empty: empty,
    size: [4, 4],
    queries: [query],
    unit: unit,
    limits: limits,
  } + more),

  local lights = [
    now('Order database readable', 'Whether the exporter can read the order database. When it cannot, the KPIs are absent rather than stale.', guard.databaseUp, noExporter, 'none', [], { mappings: words.upDown }),
    now('Since the last refresh', 'Age of what the exporter publishes. Older than ' + l.staleness_seconds.text + ' is blind.', guard.refreshAgeNow, noExporter, 's', [panels.limit(l.staleness_seconds.value, colours.bad)], { decimals: 1 }),
    now('Since the last heartbeat', "Age of the watchdog's alert at the receiver. After " + l.watchdog.text + ' a running rollout is held.', guard.watchdogAgeNow, 'No heartbeat has reached the receiver: is Alertmanager configured as generated?', 's', [panels.limit(l.watchdog.value, colours.bad)], { decimals: 0 }),
    now('Router drift', 'Difference between the share that was asked for and the one that the router has in force.', guard.drift, noReceiver, 'percentunit', [panels.limit(l.drift.value, colours.bad)], { decimals: 1 }),
    now('Messages not delivered', 'Notifications that failed in this time range.', guard.notDelivered, 'No message has been sent yet', 'short', [panels.limit(1, colours.bad)], { decimals: 0 }),
    now('Since the last drill', 'Age of the last proof that a rollback would arrive and could act (`canary drill`).', guard.drillAge, 'No drill has succeeded yet: run canary drill', 's', if l.drill == null then [] else [panels.limit(l.drill.value, colours.bad)], { decimals: 0 }),
  ],

  local graph(title, description, queries, empty, unit, more={}) = panels.timeseries({
    title: title,
    description: description,
    empty: empty,
    size: [8, 7],
    queries: queries,
    unit: unit,
  } + more),

  local exporter = [
    graph('Freshness', 'Age of the last refresh, and of the newest order that it saw. In a quiet shop the second one grows.', [guard.refreshAge, guard.dataLag], noExporter, 's'),
    graph('Time of a refresh', 'How long one refresh takes, median and 99th percentile.', guard.refresh, noExporter, 's'),
    graph("Exporter's errors", 'What went wrong while reading the order database, by class of error.', [guard.errors], 'No error has been counted', 'short', { draw: 'bars' }),
    graph('Rows put right', 'Rows that the hourly comparison of ledger and table repaired, and corrections that lowered a count.', guard.repaired, 'Nothing has been compared yet', 'short', { draw: 'bars' }),
    graph('History read', "Share of the order database's history that the exporter has counted since it started.", [guard.backfill], noExporter, 'percentunit', { min: 0, max: 1 }),
    panels.stat({
      title: 'Policy reloaded',
      description: 'Whether exporter and receiver could read the policy when they last tried; a bad one leaves the old one in force.',
      empty: noExporter,
      size: [8, 7],
      queries: [guard.reloaded],
      mappings: words.upDown,
    }),
  ],

  local receiver = [
    graph('Heartbeat', "Age of the watchdog's alert at the receiver: a saw that grows until the next heartbeat.", [guard.watchdogAge], 'No heartbeat has reached the receiver', 's', { limits: [panels.limit(l.watchdog.value, colours.bad)] }),
    graph('Alerts that arrived', 'Alerts in webhooks, by what they ask for and what came of it.', [guard.webhook], 'No webhook has arrived', 'short', { draw: 'bars' }),
    graph('Actions', 'What the receiver did, and whether it worked.', [guard.actions], 'The receiver has done nothing yet', 'short', { draw: 'bars' }),
    graph('Rollbacks by cause', 'How many rollbacks there have been since the receiver started.', [guard.rollbacks], 'No rollback yet', 'short', { decimals: 0, interpolation: 'stepAfter' }),
    graph('Time until the routers agree', 'From a decision until every router has it in force, median and 99th percentile.', guard.convergence, 'No change of traffic in this time range', 's', { points: 'auto' }),
    graph('Router drift put right', 'How often a router was found with another share than it should have, and was put right.', [guard.drifts], noReceiver, 'short', { draw: 'bars' }),
    graph('Messages', 'Notifications to people, by outcome.', [guard.notifications], 'No message has been sent yet', 'short', { draw: 'bars' }),
    graph("Alertmanager's failed webhooks", 'Deliveries to webhooks that Alertmanager counts as failed.', [guard.deliveries], "Alertmanager's own metrics are not scraped", 'short', { draw: 'bars' }),
  ],

  local heldBack = panels.timeline({
    title: 'Freezes and silences',
    description: 'When a change freeze was in force, and when a silence kept alerts from acting: one that names the action by equality. Other silences only keep people from being paged.',
    empty: noReceiver,
    size: [24, 6],
    queries: guard.heldBack,
    mappings: words.noFound,
  }),

  local builds = [
    panels.table({
      title: 'Policy in use',
      description: 'By which policy exporter, receiver and rules go, as its digest. During a rollout all of them must be the same.',
      empty: noExporter,
      size: [8, 7],
      queries: [guard.policies],
      transformations: [{ id: 'organize', options: {
        excludeByName: { Time: true, Value: true },
        indexByName: { component: 0, digest: 1 },
        renameByName: { component: 'Part', digest: 'Digest' },
      } }],
      unit: 'none',
    }),
    panels.table({
      title: 'Versions of the guard',
      description: 'What runs where.',
      empty: noExporter,
      size: [8, 7],
      queries: [guard.builds],
      transformations: [{ id: 'organize', options: {
        excludeByName: { Time: true, Value: true },
        indexByName: { job: 0, instance: 1, version: 2 },
        renameByName: { job: 'Job', instance: 'Instance', version: 'Version' },
      } }],
      unit: 'none',
    }),
  ],

  grafanaDashboards+:: {
    'canary-guard.json': dashboard(config, {
      key: 'guard',
      title: 'Canary / Guard',
      description: "The guard's own health: exporter, receiver, and the links between them.",
      from: 'now-1h',
      sections: [
        layout.section(null, lights),
        layout.section('Exporter: measures', exporter),
        layout.section('Receiver: acts', receiver + [heldBack] + builds),
      ],
    }),
  },
}
