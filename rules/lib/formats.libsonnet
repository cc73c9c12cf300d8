// How numbers stand in alerts' texts. `humanize` puts SI prefixes: a half becomes 500m, an e-value 10^376.2m.
{
  // Of a value with a part behind the point.
  number: 'printf "%.2f"',
  count: 'printf "%.0f"',
  // Of what people have written: 3, or 1.5.
  factor: 'printf "%.3g"',
  of_kpi(kpi):: if kpi.kind == 'mean' then self.number else 'humanizePercentage',
}
