// What it is doing: how often and how long, by route, statement, and so on.

import { h, milliseconds, number } from "./dom.js";
import { source } from "./source.js";
import { NAMES, Series } from "./series.js";
import { spark } from "./spark.js";
import { searchBox, Table } from "./table.js";

export const series = new Series();

const COLUMNS = [
  { name: "name", title: "Name", head: true, wide: true, value: (row) => row.name },
  {
    name: "status",
    title: "Status",
    value: (row) => row.status,
    cell: (row) =>
      h("span", { class: row.status >= "500" || row.status === "failure" ? "state failed" : "" }, row.status),
  },
  { name: "nb", title: "Count", number: true, value: (row) => row.nb, cell: (row) => number(row.nb) },
  {
    name: "rate",
    title: "Per second",
    number: true,
    value: (row) => row.rate,
    cell: (row) => [
      spark(row.rates, `${number(row.rate)} a second now`),
      h("span", {}, row.rate ? Number(row.rate.toPrecision(2)) : "0"),
    ],
  },
  {
    name: "recent",
    title: "Mean now",
    number: true,
    value: (row) => row.recent,
    cell: (row) => [
      spark(row.means, `${milliseconds(row.recent)} in the mean now`),
      h("span", {}, row.rate ? milliseconds(row.recent) : ""),
    ],
  },
  { name: "avg_ms", title: "Mean", number: true, value: (row) => row.avg_ms, cell: (row) => milliseconds(row.avg_ms) },
  { name: "max_ms", title: "Max", number: true, value: (row) => row.max_ms, cell: (row) => milliseconds(row.max_ms) },
  { name: "total", title: "Total", number: true, value: (row) => row.total, cell: (row) => milliseconds(row.total) },
];

export function timings(panel) {
  const table = new Table("Timings", COLUMNS, {
    key: (row) => row.key,
    sort: "total",
    empty: "Nothing was timed yet.",
  });
  const choice = h(
    "select",
    { onchange: () => draw() },
    NAMES.map((name) => h("option", {}, name)),
  );
  const tools = h("input", { type: "checkbox", onchange: () => draw() });
  const draw = () => table.update(series.of(choice.value).filter((row) => row.own !== false || tools.checked));
  panel.tools.append(
    h("label", {}, "Show ", choice),
    searchBox("Search", (text) => table.search(text)),
    h("label", {}, tools, " also the routes of these tools"),
  );
  panel.body.append(...table.elements);
  timers(panel.url, panel.every).add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.done(ms);
        panel.name([], data.complete ?? true);
        draw();
      },
    },
    { always: true },
  );
}

let read = null;

// The source of the timers; each answer is a reading.
function timers(url, every) {
  if (read) return read;
  read = source(new URL(url, location.href).href, every);
  read.add({ data: (data) => series.read(data, performance.now() / 1000) }, { always: true });
  return read;
}

export function whenTimed(listener) {
  const element = document.querySelector('[data-kind="timings"]');
  if (element) timers(element.dataset.url, Number(element.dataset.every)).add({ data: listener });
  return Boolean(element);
}
