"use strict";
// A trial that is pointed at: its cell and its numbers, in passing or in a dialog.
zc.column = new Map(zc.data.columns.map((column) => [column.name, column.values]));

// Five digits of the column's larger values, so that its decimal points stand below each other.
zc.decimals = new Map(zc.data.columns.map(({ name, values }) => {
  const sizes = values.filter((value) => typeof value === "number").map(Math.abs).sort((a, b) => a - b);
  const size = sizes[Math.floor(0.9 * (sizes.length - 1))] || 1;
  const whole = sizes.every(Number.isInteger);
  return [name, whole ? 0 : Math.min(8, Math.max(0, 4 - Math.floor(Math.log10(size))))];
}));

zc.format = (name, value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? value.toFixed(zc.decimals.get(name)) : String(value);
};

zc.element = (tag, text = "", more = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  return Object.assign(made, more);
};

// The answer's own drawing, its edges renamed: the geometry is written once, in Python.
zc.drawCell = (row) => {
  const model = document.getElementById("cell").content.querySelector("svg");
  const text = zc.column.get("architecture")?.[row];
  const dead = zc.data.dead[row];
  if (!model || !text || dead < 0) return null;
  const svg = model.cloneNode(true);
  const operations = [...text.matchAll(/([^|~+]+)~\d/g)].map((match) => match[1]);
  svg.setAttribute("aria-label", `Cell ${text}`);
  svg.querySelectorAll(".edge").forEach((edge, place) => {
    const operation = operations[place];
    const name = zc.data.operations[operation] ?? operation;
    const label = edge.querySelector("text");
    const pill = edge.querySelector("rect");
    const width = 20 + 8.4 * name.length;
    edge.dataset.op = operation;
    edge.toggleAttribute("data-dead", Boolean((dead >> place) & 1));
    edge.querySelector("title").textContent = operation;
    label.textContent = name;
    pill.setAttribute("width", width);
    pill.setAttribute("x", Number(label.getAttribute("x")) - width / 2);
  });
  return svg;
};

zc.values = (row, names) => {
  const list = zc.element("dl", "", { className: "values" });
  for (const name of names) {
    const value = zc.column.get(name)?.[row];
    if (value === null || value === undefined) continue;
    list.append(zc.element("dt", zc.data.axes[name]?.label ?? name), zc.element("dd", zc.format(name, value)));
  }
  return list;
};

zc.title = (row) => `Trial ${zc.column.get("number")?.[row] ?? row}`;

zc.showTrial = (row) => {
  const dialog = document.getElementById("trial");
  const head = zc.element("div", "", { className: "head" });
  const close = zc.element("button", "Close", { type: "button", onclick: () => dialog.close() });
  head.append(zc.element("h2", zc.title(row), { id: "trial-title" }), close);
  dialog.replaceChildren(head);
  const cell = zc.drawCell(row);
  if (cell) dialog.append(cell);
  dialog.append(zc.values(row, zc.data.columns.map((c) => c.name).filter((n) => n !== "number")));
  dialog.showModal();
};

zc.pointer = { x: 0, y: 0 };
addEventListener("pointermove", (event) => { zc.pointer = { x: event.clientX, y: event.clientY }; }, { passive: true });

zc.onPoint = (what, point) => {
  const card = document.getElementById("hover");
  const row = point?.data.customdata ? point.customdata : undefined;
  if (what === "click" && row !== undefined) zc.showTrial(row);
  card.hidden = what !== "over" || row === undefined;
  if (card.hidden) return;
  const names = [zc.data.metric, ...zc.data.objectives, "params", "flops"].filter(Boolean);
  card.replaceChildren(zc.element("strong", zc.title(row)));
  const cell = zc.drawCell(row);
  if (cell) card.append(cell);
  card.append(zc.values(row, [...new Set(names)]));
  const { width, height } = card.getBoundingClientRect();
  const { x, y } = zc.pointer;
  const left = x + 18 + width < innerWidth ? x + 18 : x - 18 - width;
  card.style.left = `${Math.max(8, left)}px`;
  card.style.top = `${Math.max(8, Math.min(y - height / 2, innerHeight - height - 8))}px`;
};

zc.onStart.push(() => {
  const dialog = document.getElementById("trial");
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("scroll", () => { document.getElementById("hover").hidden = true; }, { passive: true });
});
