(import 'rollout.libsonnet') +
(import 'business.libsonnet') +
(import 'infrastructure.libsonnet') +
(import 'guard.libsonnet') +
(import 'experiments.libsonnet')
