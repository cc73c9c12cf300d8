// By which policy these rules were made: a series like those of exporter and receiver, and compared with them.
local n = import '../lib/names.libsonnet';

function(config)
  if config.digest == '' then [] else [
    {
      record: n.POLICY_INFO,
      expr: 'vector(1)',
      labels: { [n.SERVICE]: config.service, [n.COMPONENT]: 'rules', [n.DIGEST]: config.digest },
    },
  ]
