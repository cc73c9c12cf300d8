// Experiments: a guardrail's proven harm stops one, everything else is told to people. A winner is never shipped.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local rules(experiment) =
    local of(metric, matchers=[]) = p.own(config, metric, [p.equals(n.EXPERIMENT, experiment.name)] + matchers);
    local per_kpi(expr) = 'max by (experiment, variant, kpi) (' + expr + ')';
    local per_variant(expr) = 'max by (experiment, variant) (' + expr + ')';
    local while_running = ['and on (experiment, variant)', '(' + per_variant(of(n.EXPERIMENT_RUNNING)) + ' == 1)'];
    local proven(verdict, guardrail) = p.lines([
      per_kpi(verdict) + ' == 1',
      'and on (experiment, variant, kpi)',
      '(' + per_kpi(of(n.EXPERIMENT_GUARDRAIL)) + ' == ' + guardrail + ')',
    ] + while_running);
    local failed = of(n.EXPERIMENT_VERDICT, [p.equals(n.VERDICT, 'fail')]);
    local mismatch = per_variant(of(n.EXPERIMENT_MISMATCH_EVIDENCE)) + ' >= ' + experiment.mismatchThreshold.text;

    local shown(metric, filter, matchers=[]) =
      build.shown('max(' + of(metric, ['variant=%q', 'kpi=%q'] + matchers) + ')', filter, ['variant', 'kpi']);
    local change = 'the change is ' + shown(n.EXPERIMENT_RELATIVE_CHANGE, 'humanizePercentage') + ', between '
                   + shown(n.EXPERIMENT_RELATIVE_CHANGE_LOWER, 'humanizePercentage') + ' and '
                   + shown(n.EXPERIMENT_RELATIVE_CHANGE_UPPER, 'humanizePercentage') + ', from '
                   + shown(n.EXPERIMENT_UNITS, formats.count, [p.equals(n.ROLE, 'treatment')]) + ' units against '
                   + shown(n.EXPERIMENT_UNITS, formats.count, [p.equals(n.ROLE, 'control')]) + ' of ' + experiment.control;
    local evidence = 'The e-value is 10^' + shown(n.EXPERIMENT_EVIDENCE, formats.number) + ', the threshold 10^'
                     + shown(n.EXPERIMENT_EVIDENCE_THRESHOLD, formats.number) + '.';

    local alert(name, spec) = build.alert(name, {
      labels: { [n.EXPERIMENT]: experiment.name },
      action: 'none',
      dashboard: 'experiments',
      of_rollout: false,
    } + spec);

    (if !experiment.guarded then [] else alert(n.EXPERIMENT_HARM, {
       expr: proven(failed, '1'),
       severity: 'critical',
       action: 'stop',
       summary: 'Experiment ' + experiment.name + ': {{ $labels.variant }} harms {{ $labels.kpi }}, a guardrail',
       description: 'Proven: {{ $labels.kpi }} of {{ $labels.variant }} is worse than that of ' + experiment.control
                    + ' by more than its tolerance; ' + change + '. ' + evidence
                    + ' The experiment stops; everybody gets ' + experiment.control + '.',
     }))
    + (if !experiment.compared then [] else alert(n.EXPERIMENT_WORSE, {
         expr: proven(failed, '0'),
         severity: 'warning',
         summary: 'Experiment ' + experiment.name + ': {{ $labels.variant }} makes {{ $labels.kpi }} worse',
         description: 'Proven: {{ $labels.kpi }} of {{ $labels.variant }} is worse than that of ' + experiment.control
                      + ' by more than its tolerance; ' + change + '. ' + evidence
                      + ' It is no guardrail, so that nothing stops by itself.',
       }))
    + alert(n.EXPERIMENT_WINNER, {
      expr: p.lines(
        [per_kpi(of(n.EXPERIMENT_BETTER)) + ' == 1']
        + while_running
        + ['unless on (experiment, variant)', '(' + mismatch + ')']
      ),
      severity: 'info',
      summary: 'Experiment ' + experiment.name + ': {{ $labels.variant }} is better than ' + experiment.control + ' in {{ $labels.kpi }}',
      description: 'Proven: {{ $labels.kpi }} of {{ $labels.variant }} is better than that of ' + experiment.control + '; ' + change
                   + '. The experiment goes on, and nothing is shipped: that is for people to decide.',
    })
    + alert(n.EXPERIMENT_MISMATCH, {
      expr: p.lines([mismatch] + while_running),
      severity: 'warning',
      summary: 'Experiment ' + experiment.name + ": sample ratio mismatch, {{ $labels.variant }}'s share of customers does not match its weight",
      description: 'Proven: the share of customers recorded for {{ $labels.variant }}, among those of it and of '
                   + experiment.control + ', differs by more than ' + build.written(experiment.mismatch)
                   + ' from its weight. Assignment or recording is broken, or a variant loses sessions; whatever is said about {{ $labels.variant }} is not to be trusted. The e-value is 10^{{ $value | ' + formats.number + ' }}, the threshold 10^'
                   + experiment.mismatchThreshold.text + '.',
    })
    + alert(n.EXPERIMENT_BLIND, {
      expr: p.lines([
        '(',
        '  max by (experiment) (',
        '    max by (experiment, variant) (' + of(n.EXPERIMENT_VERDICT, [p.equals(n.VERDICT, 'blind')]) + ')',
        '    and on (experiment, variant)',
        '    (max by (experiment, variant) (' + of(n.EXPERIMENT_RUNNING) + ') == 1)',
        '  ) == 1',
        ')',
        'or',
        'absent(' + of(n.EXPERIMENT_VERDICT) + ')',
      ]),
      hold_for: config.signals.longWindow,
      severity: 'warning',
      summary: 'Experiment ' + experiment.name + ' is not judged',
      description: 'The exporter of ' + config.service + ' publishes no verdict for at least one KPI of ' + experiment.name
                   + ': it has not begun, the order database cannot be read, or a table is missing. No guardrail would stop it.',
    });

  std.flattenArrays(std.map(rules, config.experiments))
