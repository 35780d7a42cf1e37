// Processes, settings and versions, as tables.

import { call } from "./call.js";
import { clock, count, h, number, span, who } from "./dom.js";
import { follow } from "./follow.js";
import { searchBox, Table } from "./table.js";

export function members(panel) {
  const now = () => Date.now() / 1000;
  const table = new Table(
    "Processes",
    [
      { name: "who", title: "Process", head: true, value: who },
      {
        name: "started",
        title: "Started",
        value: (row) => row.started,
        cell: (row) => (row.started ? `${clock(row.started)}, ${span(now() - row.started)} ago` : ""),
      },
      { name: "threads", title: "Threads", number: true, value: (row) => row.threads },
      {
        name: "rss",
        title: "Memory",
        number: true,
        value: (row) => row.rss_kb,
        cell: (row) => (row.rss_kb ? `${number(Math.round(row.rss_kb / 1024))} MB` : ""),
      },
      {
        name: "cpu",
        title: "CPU time",
        number: true,
        value: (row) => row.cpu_seconds,
        cell: (row) => `${number(row.cpu_seconds)} s`,
      },
      { name: "python", title: "Python", value: (row) => row.python },
      { name: "version", title: "Service", value: (row) => row.version ?? "" },
      { name: "packages", title: "Packages", value: (row) => JSON.stringify(row.packages), cell: packages },
    ],
    { key: who, sort: "who", down: false, empty: "No process answered." },
  );
  panel.body.append(...table.elements);
  follow(panel, (data) => {
    panel.name([...data.failed, ...data.missing], data.complete);
    table.update(data.members);
  });
}

function packages(row) {
  const all = Object.entries(row.packages ?? {});
  const versions = new Set(all.map(([, version]) => version));
  const title = all.map(([name, version]) => `${name} ${version}`).join("\n");
  return h(
    "span",
    { title },
    versions.size === 1 ? [...versions][0] : `${count(all.length, "package")}, ${count(versions.size, "version")}`,
  );
}

export function settings(panel) {
  const all = h("input", { type: "checkbox", onchange: () => draw() });
  let found = [];
  const table = new Table(
    "Settings",
    [
      {
        name: "name",
        title: "Setting",
        head: true,
        wide: true,
        value: (row) => `${row.env ?? ""} ${row.key ?? ""}`,
        cell: (row) => [h("code", {}, row.env ?? row.key), h("small", { class: "dim" }, row.help)],
      },
      { name: "value", title: "Value", wide: true, value: (row) => row.value, cell: (row) => h("code", {}, row.value) },
      {
        name: "origin",
        title: "From",
        value: (row) => `${row.origin} ${row.source}`,
        cell: (row) => [
          row.origin,
          row.source === (row.env ?? row.key) ? "" : h("small", { class: "dim" }, row.source),
        ],
      },
      { name: "package", title: "Package", value: (row) => row.package || "application" },
    ],
    {
      key: (row) => `${row.package} ${row.name}`,
      sort: "package",
      down: false,
      empty: "All have their defaults.",
      limit: 300,
    },
  );
  const draw = () => table.update(found.filter((row) => all.checked || row.origin !== "default"));
  const load = () =>
    panel.run(async () => {
      found = (await call(panel.url)).settings;
      draw();
    });
  panel.tools.append(
    panel.button("Show settings", load),
    searchBox("Search", (text) => table.search(text)),
    h("label", {}, all, " also the defaults"),
  );
  panel.body.append(...table.elements);
  table.element.hidden = true;
}

export function versions(panel) {
  const main = h("p");
  const packages = new Table(
    "Packages",
    [
      { name: "name", title: "Package", head: true, value: (row) => row.name },
      { name: "version", title: "Version", value: (row) => row.version },
    ],
    { key: (row) => row.name, sort: "name", down: false, empty: "The file names no package.", limit: 500 },
  );
  const load = () =>
    panel.run(async () => {
      const data = await call(panel.url);
      main.textContent = [data.main?.git_tag, data.main?.git_hash].filter(Boolean).join(" · ");
      packages.update(
        Object.entries(data.packages ?? {}).map(([name, version]) => ({ name, version: String(version) })),
      );
    });
  panel.tools.append(
    panel.button("Show versions", load),
    searchBox("Search", (text) => packages.search(text)),
  );
  panel.body.append(main, packages.elements[0], packages.elements[1]);
  packages.element.hidden = true;
}
