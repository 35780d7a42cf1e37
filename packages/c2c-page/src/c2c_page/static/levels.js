// Log levels: search a logger, set its level for a while, see the time run down, reset it.

import { call, withQuery } from "./call.js";
import { countdown, h, state } from "./dom.js";
import { source } from "./source.js";
import { searchBox, Table } from "./table.js";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

export function levels(panel) {
  const route = withQuery(panel.url, { list: "" });
  const list = source(new URL(panel.url, location.href).href, panel.every);
  const minutes = h("input", { type: "number", min: "0", step: "any", value: "30", title: "empty: without end" });
  const name = h("input", { name: "name", required: true, list: "loggers" });
  const known = h("datalist", { id: "loggers" });
  const controls = new Map();
  const ttl = () => (minutes.value ? String(minutes.value * 60) : "");
  const set = (logger, level) =>
    panel.run(async () => {
      const body = { name: logger, level, ttl: level === "reset" ? "" : ttl() };
      panel.did(route, body);
      await call(route, { method: "POST", body });
      await list.ask();
    });
  const table = new Table(
    "Loggers",
    [
      {
        name: "override",
        title: "",
        value: (row) => (row.override ? 0 : row.level !== "NOTSET" ? 1 : 2),
        cell: (row) => left(row),
      },
      { name: "name", title: "Logger", head: true, wide: true, value: (row) => row.name },
      { name: "effective_level", title: "In force", value: (row) => row.effective_level },
      { name: "level", title: "Own", value: (row) => (row.level === "NOTSET" ? "" : row.level) },
      { name: "set", title: "Set to", cell: (row) => control(controls, row, set) },
    ],
    { key: (row) => row.name, sort: "override", down: false, empty: "No logger.", limit: 12 },
  );
  table.heads[0].firstChild.textContent = "Set by hand";
  const other = h("form", {
    class: "inline",
    onsubmit: (event) => {
      event.preventDefault();
      set(name.value, level.value);
    },
  });
  const level = h(
    "select",
    {},
    LEVELS.map((one) => h("option", { selected: one === "DEBUG" }, one)),
  );
  other.append(
    h("label", {}, "Logger ", name),
    h("label", {}, "Level ", level),
    h("label", {}, "For minutes ", minutes),
    h("button", {}, "Set in all processes"),
    known,
  );
  panel.tools.append(
    other,
    searchBox("Search", (text) => table.search(text)),
  );
  panel.does(() => [route, { name: name.value || "LOGGER", level: level.value, ttl: ttl() }]);
  panel.body.append(...table.elements);
  list.add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.done(ms);
        const now = performance.now();
        table.update(
          data.loggers.map((row) => ({ ...row, ends: row.expires_in > 0 ? now + row.expires_in * 1000 : null })),
        );
        if (known.children.length !== data.loggers.length)
          known.replaceChildren(...data.loggers.map((row) => h("option", { value: row.name })));
      },
    },
    { element: panel.element },
  );
  setInterval(() => tick(table, list), 1000);
}

// The seconds that are left run down here; at their end the service is asked.
function tick(table, list) {
  const ended = table.rows.some((row) => row.ends && row.ends < performance.now());
  for (const time of table.tbody.querySelectorAll("time[data-ends]"))
    time.textContent = countdown((Number(time.dataset.ends) - performance.now()) / 1000);
  if (ended) list.ask();
}

function left(row) {
  if (!row.override) return "";
  const time = row.ends
    ? h("time", { role: "timer", "data-ends": String(row.ends) }, countdown((row.ends - performance.now()) / 1000))
    : "no end";
  return h("span", { class: "override", title: row.who ? `by ${row.who}` : "" }, state("degraded", ""), time);
}

function control(controls, row, set) {
  if (!controls.has(row.name)) {
    const choose = h("select", {
      "aria-label": `Level of ${row.name}`,
      onchange: (event) => {
        set(row.name, event.target.value);
        event.target.value = "";
      },
    });
    choose.append(h("option", { value: "" }, "…"), ...LEVELS.map((one) => h("option", {}, one)));
    const reset = h(
      "button",
      { type: "button", onclick: () => set(row.name, "reset"), "aria-label": `Reset ${row.name}` },
      "Reset",
    );
    controls.set(row.name, [choose, reset]);
  }
  const [choose, reset] = controls.get(row.name);
  reset.hidden = !row.override;
  return [choose, reset];
}
