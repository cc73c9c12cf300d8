// A query as panels take it. `role` chooses the colour: stable, canary, limit, before, or none.
local datasource = { type: 'prometheus', uid: '${datasource}' };

{
  range(expr, legend, role=null): {
    datasource: datasource,
    expr: expr,
    legendFormat: legend,
    range: true,
    instant: false,
    editorMode: 'code',
    role:: role,
  },

  instant(expr, legend, role=null): self.range(expr, legend, role) + { range: false, instant: true },

  // One column of a table.
  column(expr): self.instant(expr, '') + { format: 'table' },
}
