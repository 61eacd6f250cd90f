"use strict";
// The Pareto front in any two or three columns: the figure's own traces, filled with other numbers.

// Which rows no other one dominates; costs[row] is to be minimised. Equal rows stand together.
zc.nondominated = (costs) => {
  const order = costs.map((_, row) => row).sort((a, b) => {
    const axis = costs[a].findIndex((cost, i) => cost !== costs[b][i]);
    return axis < 0 ? 0 : costs[a][axis] - costs[b][axis];
  });
  const front = [];
  const best = new Set();
  for (const row of order) {
    const dominated = front.some((other) =>
      costs[other].every((cost, i) => cost <= costs[row][i]) && costs[other].some((cost, i) => cost < costs[row][i]));
    if (dominated) continue;
    front.push(row);
    best.add(row);
  }
  return best;
};

zc.axisLayout = (name, brief) => {
  const { label, direction, axis } = zc.data.axes[name];
  const better = direction === "maximize" ? "more is better" : "less is better";
  return { title: { text: brief ? label : `${label}, ${better}` }, ...structuredClone(axis) };
};

zc.showAxes = (figure, names) => {
  const columns = names.map((name) => zc.column.get(name));
  const rows = zc.data.distinct.filter((row) => columns.every((values) => typeof values[row] === "number"));
  const signs = names.map((name) => (zc.data.axes[name].direction === "maximize" ? -1 : 1));
  const best = zc.nondominated(rows.map((row) => columns.map((values, i) => signs[i] * values[row])));
  const study = new Set(zc.data.front);
  const parts = [[], [], []]; // as in the figure: dominated, on the study's front, on this front
  rows.forEach((row, place) => parts[best.has(place) ? 2 : study.has(row) ? 1 : 0].push(row));

  const solid = names.length === 3;
  const colors = zc.column.get(zc.data.metric);
  const spec = zc.specs(figure)[0];
  spec.data.forEach((trace, part) => {
    const chosen = parts[part].sort((a, b) => columns[0][a] - columns[0][b]);
    trace.type = solid ? "scatter3d" : "scatter";
    trace.mode = part === 2 && !solid ? "lines+markers" : "markers";
    ["x", "y", "z"].forEach((axis, i) => {
      if (i < names.length) trace[axis] = chosen.map((row) => columns[i][row]);
      else delete trace[axis];
    });
    trace.customdata = chosen;
    if (colors) trace.marker.color = chosen.map((row) => colors[row] ?? NaN);
    trace.marker.size = [7, 9, 11][part] * (solid ? 0.6 : 1);
    if (trace.line && !solid) trace.line.shape = signs[0] < 0 ? "vh" : "hv";
  });
  const [x, y, z] = names.map((name) => zc.axisLayout(name, solid));
  const scene = { ...spec.layout.scene, xaxis: x, yaxis: y, zaxis: z };
  if (solid) spec.layout.scene = scene;
  else Object.assign(spec.layout, { xaxis: x, yaxis: y });

  const said = `${rows.length.toLocaleString("en")} distinct functions, ${best.size} on the front of these axes`;
  const labels = names.map((name) => zc.data.axes[name].label).join(", ").replace(/, ([^,]*)$/, " and $1");
  figure.querySelector("output").textContent = said;
  figure.querySelector("h3").textContent = figure.dataset.title = labels;
  const canvas = figure.querySelector(".canvas");
  canvas.setAttribute("aria-label", `Scatter plot of ${labels}: ${said}, ${study.size} on the study's front.`);
  // The two kinds of plot share no elements, so a change between them starts afresh.
  if (figure.zcDrawn && figure.zcSolid !== solid) {
    Plotly.purge(canvas);
    figure.zcDrawn = false;
  }
  figure.zcSolid = solid;
  zc.draw(figure);
};

zc.onStart.push(() => {
  const form = document.getElementById("axes");
  if (!form) return;
  const selects = [...form.querySelectorAll("select")];
  for (const select of selects) {
    if (select.name === "z") select.append(new Option("none", ""));
    const groups = new Map();
    for (const [name, { label, group, direction }] of Object.entries(zc.data.axes)) {
      if (!groups.has(group)) groups.set(group, zc.element("optgroup", "", { label: group }));
      groups.get(group).append(new Option(`${label} ${direction === "maximize" ? "↑" : "↓"}`, name));
    }
    select.append(...groups.values());
    select.value = select.dataset.first;
  }
  if (!zc.hasWebGL()) {
    selects[2].disabled = true;
    selects[2].title = "A third axis needs WebGL, which this browser does not offer.";
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    zc.showAxes(form.closest("figure"), selects.map((select) => select.value).filter(Boolean));
  });
});
