// Computes where panels stand: they flow left to right over Grafana's 24 columns, in lines, under headings.
local columns = 24;

// A panel keeps its number when it moves, so that links to it stay good.
local number(panel) = std.parseHex(std.substr(std.md5(panel.title), 0, 6));

local heading(title) = { type: 'row', title: title, collapsed: false, panels: [], size:: [columns, 1] };

local put(state, panel) =
  local w = panel.size[0];
  local h = panel.size[1];
  local fits = state.x + w <= columns;
  local x = if fits then state.x else 0;
  local y = if fits then state.y else state.y + state.height;
  {
    x: x + w,
    y: y,
    height: if fits then std.max(state.height, h) else h,
    panels: state.panels + [panel { id: number(panel), gridPos: { x: x, y: y, w: w, h: h } }],
  };

// Panels of one width share out their lines evenly: seven stand as three, two and two, and none is left alone.
local even(panels) =
  local count = std.length(panels);
  local lines = std.ceil(count * panels[0].size[0] / columns);
  local few = std.floor(count / lines);
  local fuller = count % lines;
  local width(i) = std.floor(columns / (if i < fuller * (few + 1) then few + 1 else few));
  if std.length(std.set([panel.size[0] for panel in panels])) != 1 then panels
  else std.mapWithIndex(function(i, panel) panel { size:: [width(i), panel.size[1]] }, panels);

{
  // A list of panels under a heading; without a title there is no heading.
  section(title, panels): (if title == null then [] else [heading(title)]) + even(panels),

  // All sections, one below the other; the last panel of a line takes the rest of it.
  place(sections):
    local panels = std.foldl(put, std.flattenArrays(sections), { x: 0, y: 0, height: 0, panels: [] }).panels;
    local count = std.length(panels);
    [
      local place = panels[i].gridPos;
      if i + 1 < count && panels[i + 1].gridPos.y == place.y
      then panels[i]
      else panels[i] { gridPos+: { w: columns - place.x } }
      for i in std.range(0, count - 1)
    ],
}
