// The SQL profiler: its switch, and the statements by the time they take.

import { call, withQuery } from "./call.js";
import { countdown, h, milliseconds, number, state } from "./dom.js";
import { source } from "./source.js";
import { short } from "./stacks.js";
import { searchBox, Table } from "./table.js";

const ms = (name) => ({ number: true, value: (row) => row[name], cell: (row) => milliseconds(row[name] * 1000) });

export function sql(panel) {
  const route = withQuery(panel.url, { report: "" });
  const reports = source(new URL(panel.url, location.href).href, panel.every);
  const seconds = h("input", { type: "number", min: "1", value: "600" });
  const mode = h(
    "select",
    {},
    h("option", { value: "explain" }, "explain"),
    h("option", { value: "analyze" }, "analyze (runs each new SELECT again)"),
  );
  const now = h("p", { role: "status" });
  const fields = () => ({ enable: "1", ttl: seconds.value, mode: mode.value });
  const turn = (enable) =>
    panel.run(async () => {
      await call(route, { method: "POST", body: enable ? fields() : { enable: "0" } });
      await reports.ask();
    });
  const on = panel.button("Switch on", () => turn(true));
  const off = panel.button("Switch off", () => turn(false));
  const table = new Table(
    "Statements",
    [
      { name: "statement", title: "Statement", head: true, wide: true, value: (row) => row.statement, cell: statement },
      { name: "count", title: "Count", number: true, value: (row) => row.count, cell: (row) => number(row.count) },
      { name: "total", title: "Total", ...ms("total") },
      { name: "mean", title: "Mean", ...ms("mean") },
      { name: "max", title: "Max", ...ms("max") },
      { name: "rows", title: "Rows", number: true, value: (row) => row.rows, cell: (row) => number(row.rows) },
      { name: "wait", title: "Waiting for a connection", ...ms("wait") },
    ],
    { key: (row) => row.statement, sort: "total", empty: "No statement was seen." },
  );
  panel.tools.append(
    h("label", {}, "For seconds ", seconds),
    h("label", {}, "Plans ", mode),
    on,
    off,
    searchBox("Search", (text) => table.search(text)),
  );
  panel.does(() => [route, fields()]);
  panel.body.append(now, ...table.elements);
  let until = null;
  let enabled = false;
  const say = () => {
    const left = until ? `, ends in ${countdown(until - Date.now() / 1000)}` : "";
    const text = enabled ? `On in all processes${left}` : "Off: no cost";
    if (now.textContent !== text) now.textContent = text;
  };
  setInterval(say, 1000);
  reports.add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, took) {
        ({ enabled, until } = { until: null, ...data });
        on.hidden = enabled;
        off.hidden = !enabled;
        say();
        panel.done(took);
        panel.name(data.missing, data.complete);
        table.update(data.statements ?? []);
      },
    },
    { element: panel.element },
  );
}

function statement(row) {
  const where = [row.route && `route ${row.route}`, row.line && place(row.line)].filter(Boolean).join(" · ");
  return [
    h("code", {}, row.statement),
    row.n_plus_one ? state("degraded", `up to ${row.max_per_request} times in one request: N+1?`) : "",
    h("small", { class: "dim" }, where),
  ];
}

function place(line) {
  const [, file, rest] = /^(.*?)(:\d+ .*)$/.exec(line) ?? [null, line, ""];
  return short(file) + rest;
}
