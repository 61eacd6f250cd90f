"use strict";
// The table of trials: sorted, filtered, and saved as CSV.
zc.table = { sort: "number", descending: false, shown: 100, words: "", front: false, feasible: false };

zc.compare = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
};

// Returns the rows that pass, and what is wrong with the filter, if anything.
zc.filterRows = ({ words, front, feasible }) => {
  const tests = [];
  let wrong = "";
  if (front) tests.push((row) => zc.column.get("pareto")?.[row]);
  if (feasible) tests.push((row) => zc.column.get("feasible")?.[row] ?? true);
  for (const word of words.toLowerCase().split(/\s+/).filter(Boolean)) {
    const match = /^(.+?)(<=|>=|<|>|=)([^<>=]+)$/.exec(word);
    if (!match) {
      tests.push((row) => zc.haystack[row].includes(word));
      continue;
    }
    const name = [...zc.column.keys()].find((key) => key.toLowerCase() === match[1]);
    const bound = Number(match[3]);
    if (name === undefined) wrong ||= `There is no column ${match[1]}.`;
    else if (Number.isNaN(bound)) wrong ||= `${match[3]} is no number.`;
    else {
      const values = zc.column.get(name);
      tests.push((row) => values[row] !== null && zc.compare[match[2]](Number(values[row]), bound));
    }
  }
  const rows = Array.from({ length: zc.data.rows }, (_, row) => row);
  return { rows: rows.filter((row) => tests.every((test) => test(row))), wrong };
};

zc.sortRows = (rows, { sort, descending }) => {
  const values = zc.column.get(sort);
  if (!values) return rows;
  const sign = descending ? -1 : 1;
  const number = (value) => (typeof value === "string" && !value.endsWith("Infinity") ? value : Number(value));
  return rows.sort((a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last
    const [p, q] = [number(x), number(y)];
    return sign * (p < q ? -1 : p > q ? 1 : 0) || a - b;
  });
};

zc.csv = (rows) => {
  const cell = (value) => {
    if (value === null) return "";
    if (typeof value === "boolean") return value ? "True" : "False"; // as in trials.csv
    const text = String(value).replace(/^(-?)Infinity$/, "$1inf");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => zc.data.columns.map(({ values }) => cell(values[row])).join(","));
  return [zc.data.columns.map(({ name }) => cell(name)).join(","), ...lines, ""].join("\n");
};

zc.showRows = () => {
  const { rows, wrong } = zc.filterRows(zc.table);
  zc.sortRows(rows, zc.table);
  zc.table.rows = rows;
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...rows.slice(0, zc.table.shown).map(zc.tableRow));
  for (const heading of document.querySelectorAll("#table th")) {
    if (heading.dataset.name !== zc.table.sort) heading.removeAttribute("aria-sort");
    else heading.setAttribute("aria-sort", zc.table.descending ? "descending" : "ascending");
  }
  const shown = Math.min(zc.table.shown, rows.length);
  const some = shown < rows.length ? `, the first ${shown} shown` : "";
  document.getElementById("count").textContent = `${wrong ? `${wrong} ` : ""}${rows.length} of ${zc.data.rows} trials${some}`;
  document.getElementById("more").hidden = shown === rows.length;
};

// Bookkeeping is left out on paper, where there is no room for it.
zc.bookkeeping = ["feasible", "reason", "repeat_of", "seconds_proxies", "duration"];
zc.columnClass = ({ name, kind }) =>
  [kind === "number" ? "" : "text", zc.bookkeeping.includes(name) ? "minor" : ""].join(" ").trim();

zc.tableRow = (row) => {
  const line = document.createElement("tr");
  for (const column of zc.tableColumns) {
    const value = column.values[row];
    const cell = zc.element("td", "", { className: zc.columnClass(column) });
    if (column.name === "architecture") {
      cell.append(zc.element("button", zc.data.short[row], { type: "button", title: value, onclick: () => zc.showTrial(row) }));
    } else {
      cell.textContent = zc.format(column.name, value);
    }
    line.append(cell);
  }
  return line;
};

zc.onStart.push(() => {
  const first = ["number", "architecture", "pareto", zc.data.metric, ...zc.data.objectives];
  const scored = zc.data.columns.filter((column) => column.scored).map((column) => column.name);
  const names = [...new Set([...first, ...scored, ...zc.bookkeeping])];
  const byName = new Map(zc.data.columns.map((column) => [column.name, column]));
  zc.tableColumns = names.map((name) => byName.get(name)).filter(Boolean);
  const words = zc.data.columns.filter((column) => column.kind === "text");
  zc.haystack = Array.from({ length: zc.data.rows }, (_, row) =>
    [zc.data.short[row], ...words.map((column) => column.values[row] ?? "")].join(" ").toLowerCase());

  const heads = zc.tableColumns.map((column) => {
    const cell = zc.element("th", "", { scope: "col" });
    cell.dataset.name = column.name;
    cell.className = zc.columnClass(column);
    cell.append(zc.element("button", column.name, { type: "button" }));
    cell.addEventListener("click", () => {
      const same = zc.table.sort === column.name;
      // Numbers that were scored are wanted best first, so the first click starts at the top.
      zc.table.descending = same ? !zc.table.descending : column.scored || column.kind === "flag";
      zc.table.sort = column.name;
      zc.showRows();
    });
    return cell;
  });
  const line = document.createElement("tr");
  line.append(...heads);
  const table = document.getElementById("table");
  table.querySelector("thead").replaceChildren(line);
  table.style.setProperty("--paper-zoom", Math.min(0.6, 10 / heads.length));

  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const { words: text, front, feasible } = form.elements;
    Object.assign(zc.table, { words: text.value, front: front.checked, feasible: feasible.checked, shown: 100 });
    zc.showRows();
  });
  document.getElementById("more").addEventListener("click", () => { zc.table.shown += 400; zc.showRows(); });
  document.getElementById("csv").addEventListener("click", () => {
    zc.download(`${zc.data.name}-trials.csv`, "text/csv", zc.csv(zc.table.rows));
  });
  zc.showRows();
});
