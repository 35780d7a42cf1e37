// Processes, settings, read-only mode, and any JSON at all, as tables.

import { call, withQuery } from "./call.js";
import { clock, countdown, h, number, span, state, who } from "./dom.js";
import { overview } from "./service.js";
import { source } from "./source.js";
import { searchBox, Table } from "./table.js";

function follow(panel, draw, options = {}) {
  const found = source(new URL(panel.url, location.href).href, panel.every);
  found.add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.done(ms);
        draw(data);
      },
    },
    { element: panel.element, ...options },
  );
  return found;
}

export function members(panel) {
  const now = () => Date.now() / 1000;
  const table = new Table(
    "Processes",
    [
      { name: "who", title: "Process", head: true, value: who },
      { name: "started", title: "Started", value: (row) => row.started, cell: (row) => (row.started ? `${clock(row.started)}, ${span(now() - row.started)} ago` : "") },
      { name: "threads", title: "Threads", number: true, value: (row) => row.threads },
      { name: "rss", title: "Memory", number: true, value: (row) => row.rss_kb, cell: (row) => (row.rss_kb ? `${number(Math.round(row.rss_kb / 1024))} MB` : "") },
      { name: "cpu", title: "CPU time", number: true, value: (row) => row.cpu_seconds, cell: (row) => `${number(row.cpu_seconds)} s` },
      { name: "python", title: "Python", value: (row) => row.python },
      { name: "version", title: "c2c-meta", value: (row) => row.version },
    ],
    { key: who, sort: "who", down: false, empty: "No process answered." },
  );
  panel.body.append(...table.elements);
  follow(panel, (data) => {
    panel.name([...data.failed, ...data.missing], data.complete);
    table.update(data.members);
  });
}

export function settings(panel) {
  const all = h("input", { type: "checkbox", onchange: () => draw() });
  let found = [];
  const table = new Table(
    "Settings",
    [
      { name: "name", title: "Setting", head: true, wide: true, value: (row) => `${row.env ?? ""} ${row.key ?? ""}`, cell: (row) => [h("code", {}, row.env ?? row.key), h("small", { class: "dim" }, row.help)] },
      { name: "value", title: "Value", wide: true, value: (row) => row.value, cell: (row) => h("code", {}, row.value) },
      { name: "origin", title: "From", value: (row) => `${row.origin} ${row.source}`, cell: (row) => [row.origin, h("small", { class: "dim" }, row.source)] },
      { name: "package", title: "Package", value: (row) => row.package || "application" },
    ],
    { key: (row) => `${row.package} ${row.name}`, sort: "package", down: false, empty: "All have their defaults.", limit: 300 },
  );
  const draw = () => table.update(found.filter((row) => all.checked || row.origin !== "default"));
  const load = () =>
    panel.run(async () => {
      found = (await call(panel.url)).settings;
      draw();
    });
  panel.tools.append(panel.button("Show settings", load), searchBox("Search", (text) => table.search(text)), h("label", {}, all, " also the defaults"));
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
      packages.update(Object.entries(data.packages ?? {}).map(([name, version]) => ({ name, version: String(version) })));
    });
  panel.tools.append(panel.button("Show versions", load), searchBox("Search", (text) => packages.search(text)));
  panel.body.append(main, packages.elements[0], packages.elements[1]);
  packages.element.hidden = true;
}

export function maintenance(panel) {
  const now = h("p", { role: "status" });
  const ttl = h("input", { type: "number", min: "1", value: "600" });
  const reason = h("input", { maxlength: "200" });
  const route = withQuery(panel.url, {});
  const turn = (readonly) =>
    panel.run(async () => {
      const body = { readonly, ttl: ttl.value, reason: reason.value };
      panel.shows(route, body);
      await call(route, { method: "POST", body });
      await Promise.all([mode.ask(), overview?.ask()]);
    });
  panel.tools.append(
    h("label", {}, "For seconds ", ttl),
    h("label", {}, "Reason ", reason),
    panel.button("Read-only", () => turn("true")),
    panel.button("Writes allowed", () => turn("false")),
  );
  panel.body.append(now);
  const words = { null: ["passed", "Nobody has switched it: writes go to the primary."], false: ["passed", "Writes are allowed, said by hand."], true: ["degraded", "Read-only: reads go to the replica, writes are refused."] };
  let entry = null;
  let last = null;
  const draw = () => {
    if (!last) return;
    const [name, text] = words[String(last.current_readonly)];
    const left = entry?.expires ? ` Ends in ${countdown(entry.expires - Date.now() / 1000)}.` : "";
    const why = entry?.reason ? ` Reason: ${entry.reason}.` : "";
    if (now.textContent !== text + why + left) now.replaceChildren(state(name, text + why + left));
  };
  const mode = follow(panel, (data) => {
    last = data;
    draw();
  });
  overview?.add({
    data(data) {
      entry = data.changed.find((one) => one.what === "database") ?? null;
      draw();
    },
  });
  setInterval(draw, 1000);
}

// Any JSON: a list of objects is a table, an object is one of names and values.
export function table(panel) {
  const place = h("div");
  panel.body.append(place);
  const draw = (data) => {
    if (Array.isArray(data?.missing)) panel.name(data.missing, data.complete ?? true);
    place.replaceChildren(...anything(data, panel.title));
  };
  if (panel.every) follow(panel, draw);
  else panel.tools.append(panel.button("Show", () => panel.run(async () => draw(await call(panel.url)))));
}

export function anything(data, title) {
  const list = Array.isArray(data) ? data : null;
  if (list?.length && list.every((one) => one && typeof one === "object" && !Array.isArray(one))) {
    const names = [...new Set(list.flatMap(Object.keys))];
    const made = new Table(title, names.map((name) => ({ name, title: name.replaceAll("_", " "), number: typeof list[0][name] === "number", value: (row) => plain(row[name]) })), { key: (row) => list.indexOf(row), limit: 500 });
    made.update(list);
    return made.elements;
  }
  const simple = data && typeof data === "object" && !list && Object.values(data).every((one) => typeof one !== "object" || one === null);
  if (simple) return [h("dl", {}, Object.entries(data).flatMap(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, plain(value))]))];
  const text = typeof data === "string" ? data : JSON.stringify(data, null, 2);
  const most = 100_000;
  return [h("pre", { tabindex: "0", role: "region", "aria-label": title }, text.length > most ? `${text.slice(0, most)}\n…` : text)];
}

function plain(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : (value ?? "");
}

