// The generator's entry: dashboards by file name, for the configuration that generate.py makes of a policy.
function(config) ((import 'mixin.libsonnet') + { _config+:: config }).grafanaDashboards
