// The canary's machines: how much of memory, CPU and disk is in use, of the worst of them.
local p = import 'promql.libsonnet';

function(config, read) {
  local s = config.signals,
  local process = s.processSelector != '',
  local idle = p.equals('mode', 'idle'),
  local real_disks = [s.nodeSelector, 'fstype!~"tmpfs|ramfs|squashfs|overlay|iso9660"'],
  local used(available, total) = p.of_service(config, 'max(1 - ' + available + ' / ' + total + ')'),

  memory:: if process then 'canary:process_memory_utilisation:ratio' else 'canary:node_memory_utilisation:ratio',
  cpu:: if process then 'canary:process_cpu_utilisation:ratio_rate' + s.longWindow else 'canary:node_cpu_utilisation:ratio_rate' + s.longWindow,
  disk:: 'canary:node_filesystem_utilisation:ratio',

  // A process has no disk of its own, and its memory needs a limit to be a share of.
  watched:: {
    memory: !process || s.memoryLimitBytes != '',
    cpu: true,
    disk: !process,
  },

  // The series themselves, to notice that they are not there.
  raw_memory:: if process then p.select('process_resident_memory_bytes', [s.processSelector])
  else p.select('node_memory_MemAvailable_bytes', [s.nodeSelector]),
  raw_cpu:: if process then p.select('process_cpu_seconds_total', [s.processSelector])
  else p.select('node_cpu_seconds_total', [s.nodeSelector, idle]),
  raw_disk:: p.select('node_filesystem_size_bytes', real_disks),

  exprs:: (if $.watched.memory then {
             [$.memory]: if process
             then p.of_service(config, 'max(' + p.select('process_resident_memory_bytes', [s.processSelector]) + ') / ' + s.memoryLimitBytes)
             else used(
               p.select('node_memory_MemAvailable_bytes', [s.nodeSelector]),
               p.select('node_memory_MemTotal_bytes', [s.nodeSelector]),
             ),
           } else {}) + {
    [$.cpu]: if process
    then p.of_service(config, 'max(rate(' + p.select('process_cpu_seconds_total', [s.processSelector]) + '[' + s.longWindow + ']))')
    else p.of_service(config, 'max(1 - avg by (instance) (rate('
                              + p.select('node_cpu_seconds_total', [s.nodeSelector, idle]) + '[' + s.longWindow + '])))'),
  } + (if $.watched.disk then {
         [$.disk]: used(p.select('node_filesystem_avail_bytes', real_disks), p.select('node_filesystem_size_bytes', real_disks)),
       } else {}),

  order:: (if $.watched.memory then [$.memory] else []) + [$.cpu] + (if $.watched.disk then [$.disk] else []),
}
