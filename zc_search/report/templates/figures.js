"use strict";
// What every page needs: its data, light and dark, drawing figures when they come into view.
const zc = {
  data: JSON.parse(document.getElementById("zc-data").textContent),
  onStart: [],
  onPoint: null, // set by cells.js: what to do with a trial that is pointed at
  printing: false,
};

zc.isDark = () => {
  if (zc.printing) return false;
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

zc.unpack = (values) => {
  if (!values || values.bdata === undefined) return values;
  const bytes = Uint8Array.from(atob(values.bdata), (c) => c.charCodeAt(0));
  const kinds = {
    f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array,
    i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
  };
  return Array.from(new kinds[values.dtype](bytes.buffer));
};

zc.specs = (figure) => {
  figure.zcSpecs ??= [...figure.querySelectorAll("script")].map((element) => {
    const spec = JSON.parse(element.textContent);
    for (const trace of spec.data) {
      if (!trace.customdata) continue; // the trials of its points; the page shows them itself
      trace.customdata = zc.unpack(trace.customdata);
      trace.hoverinfo = "none";
    }
    return spec;
  });
  return figure.zcSpecs;
};

// The figures are coloured for a light background; a dark one needs some colours brighter.
zc.recolor = (value) => {
  if (typeof value === "string") return zc.data.brighter[value] ?? value;
  if (Array.isArray(value)) return value.length > 20 ? value : value.map(zc.recolor);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, zc.recolor(inner)]));
};

zc.hasWebGL = () => {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(context);
};

zc.draw = (figure) => {
  const canvas = figure.querySelector(".canvas");
  const specs = zc.specs(figure);
  const spec = specs[figure.zcChoice ?? 0];
  const touch = matchMedia("(pointer: coarse)").matches;
  const layout = {
    ...spec.layout,
    template: zc.data.templates[zc.isDark() ? "dark" : "light"],
    dragmode: touch ? false : "zoom",
    autosize: true,
  };
  if (spec.layout.scene) layout.scene = { ...spec.layout.scene, dragmode: "turntable" };
  if (zc.printing) layout.width = figure.classList.contains("wide") ? 640 : 290;
  const first = !figure.zcDrawn;
  figure.zcDrawn = true;
  if (spec.data.some((trace) => trace.type === "parcoords") && !zc.hasWebGL()) {
    canvas.className = "message";
    canvas.style.height = "auto";
    canvas.textContent = "This figure needs WebGL, which this browser does not offer.";
    return;
  }
  const traces = zc.isDark() ? zc.recolor(spec.data) : spec.data;
  Plotly.react(canvas, traces, layout, { displayModeBar: false, responsive: true, doubleClick: "reset+autosize" });
  if (first) {
    canvas.on("plotly_hover", (event) => zc.onPoint?.("over", event.points[0]));
    canvas.on("plotly_unhover", () => zc.onPoint?.("out"));
    canvas.on("plotly_click", (event) => zc.onPoint?.("click", event.points[0]));
  }
};

zc.figures = () => [...document.querySelectorAll("figure.plot")].filter((f) => f.querySelector(".canvas"));
zc.drawAll = () => zc.figures().forEach(zc.draw);
zc.redraw = () => zc.figures().filter((f) => f.zcDrawn).forEach(zc.draw);

zc.save = (figure, format) => {
  const canvas = figure.querySelector(".canvas");
  const title = { text: figure.dataset.title, x: 0, xref: "paper", font: { size: 16 } };
  const { width, height } = canvas.getBoundingClientRect();
  const layout = { ...canvas.layout, title, width, height: height + 36 };
  layout.margin = { ...layout.margin, t: layout.margin.t + 36 };
  Plotly.downloadImage({ data: canvas.data, layout }, {
    format, width, height: height + 36, scale: format === "png" ? 2 : 1,
    filename: `${zc.data.name}-${figure.id}`,
  });
};

zc.download = (name, type, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

zc.setTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("zc-theme", theme); } catch { /* private windows have none */ }
  document.getElementById("theme").setAttribute("aria-pressed", String(theme === "dark"));
  zc.redraw();
};

zc.start = () => {
  const button = document.getElementById("theme");
  let stored = null;
  try { stored = localStorage.getItem("zc-theme"); } catch { /* private windows have none */ }
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  button.setAttribute("aria-pressed", String(zc.isDark()));
  button.addEventListener("click", () => zc.setTheme(zc.isDark() ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    button.setAttribute("aria-pressed", String(zc.isDark()));
    zc.redraw();
  });

  for (const figure of zc.figures()) {
    figure.addEventListener("click", (event) => {
      const { save, choice } = event.target.dataset;
      if (save) zc.save(figure, save);
      if (choice === undefined) return;
      figure.zcChoice = Number(choice);
      for (const other of figure.querySelectorAll("[data-choice]")) {
        other.setAttribute("aria-pressed", String(other === event.target));
      }
      zc.draw(figure);
    });
  }
  zc.onStart.forEach((begin) => begin());

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      if (!entry.target.zcDrawn) zc.draw(entry.target);
    }
  }, { rootMargin: "600px" });
  zc.figures().forEach((figure) => watcher.observe(figure));

  addEventListener("beforeprint", () => { zc.printing = true; zc.drawAll(); });
  addEventListener("afterprint", () => { zc.printing = false; zc.redraw(); });

  const links = [...document.querySelectorAll("nav a")];
  const sections = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links) {
        if (link.hash === `#${entry.target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-30% 0px -60%" });
  document.querySelectorAll("main > section").forEach((section) => sections.observe(section));
};
