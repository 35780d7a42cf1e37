// Parts that show what the glance at all processes tells: requests in progress, problems, differences.

import { call } from "./call.js";
import { clock, count, h, span, state, who } from "./dom.js";
import { coverage, overview } from "./service.js";
import { source } from "./source.js";
import { searchBox, Table } from "./table.js";

function follow(panel, draw) {
  overview.add(
    {
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.name([...data.failed, ...data.missing], data.complete, data.now);
        panel.done(ms);
        draw(data);
      },
    },
    { element: panel.element },
  );
}

// Every request that is being handled, also in a process that does not answer: c2c-debug's list asks nobody.
export function running(panel) {
  const table = new Table(
    "Requests in progress",
    [
      {
        name: "seconds",
        title: "For",
        number: true,
        value: (row) => row.seconds,
        cell: (row) => `${row.seconds.toFixed(1)} s`,
      },
      { name: "request", title: "Request", head: true, wide: true, value: (row) => `${row.method} ${row.path}` },
      { name: "route", title: "Route", value: (row) => row.route },
      {
        name: "phase",
        title: "In",
        wide: true,
        value: (row) => row.phase,
        cell: (row) => [row.phase, h("small", { class: "dim" }, row.text ?? "")],
      },
      { name: "process", title: "Process", value: who },
      { name: "id", title: "Request id", value: (row) => row.id },
    ],
    {
      key: (row) => `${who(row)} ${row.thread} ${row.id}`,
      sort: "seconds",
      empty: "No request is in progress.",
    },
  );
  panel.body.append(...table.elements);
  inFlight(panel.url, panel.every).add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.done(ms);
        table.update(shown(data));
      },
    },
    { always: true }, // the card at the top speaks of it, too
  );
}

function inFlight(url, every) {
  return source(new URL(url, location.href).href, every);
}

// All but those that this page makes.
function shown(data) {
  return data.running.filter((row) => !["c2c_overview", "c2c_debug_running", "c2c_history"].includes(row.route));
}

// How many requests are in progress, and the one that takes longest, where the service lists them.
export function inProgress(data) {
  const element = document.querySelector('[data-kind="running"]');
  const last = element && inFlight(element.dataset.url, Number(element.dataset.every)).last?.[0];
  const rows = last ? shown(last) : [];
  const longest = rows.reduce((most, row) => (row.seconds > (most?.seconds ?? 0) ? row : most), null);
  const busy = data.members.reduce((all, member) => all + (member.busy ?? 0), 0);
  return { count: last ? rows.length : Math.max(0, busy - 1), longest };
}

// The same problem of several processes is one.
export function problemsOf(data) {
  const found = new Map();
  for (const member of data.members) {
    for (const problem of member.problems ?? []) {
      const known = found.get(problem.key);
      if (!known) found.set(problem.key, { ...problem, by: [member] });
      else {
        const newer = problem.last > known.last ? problem : known;
        Object.assign(known, {
          ...newer,
          first: Math.min(known.first, problem.first),
          acknowledged: known.acknowledged && problem.acknowledged,
          count: known.count + problem.count,
          by: [...known.by, member],
        });
      }
    }
  }
  return [...found.values()].sort((one, other) => other.last - one.last);
}

export function problems(panel) {
  const lines = new Map();
  const list = h("ul", { class: "problems" });
  const nothing = h("p", { class: "dim" });
  const change = (body) => panel.run(() => call(panel.url, { method: "POST", body }).then(() => overview.ask()));
  let wanted = "";
  const box = searchBox("Search", (text) => {
    wanted = text.toLowerCase();
    if (overview.last) draw(overview.last[0]);
  });
  // The lines of one request: what else went wrong in it.
  const only = (id) => {
    box.querySelector("input").value = id;
    wanted = id.toLowerCase();
    draw(overview.last[0]);
  };
  panel.tools.append(
    box,
    panel.button("Clear all", () => change({ clear: "all" })),
  );
  panel.does(() => [panel.url, { clear: "all" }]);
  panel.body.append(list, nothing);
  const draw = (data) => {
    const found = problemsOf(data)
      .filter((one) =>
        [one.message, one.logger, one.place, one.request, one.request_id].join(" ").toLowerCase().includes(wanted),
      )
      .sort((one, other) => Boolean(one.acknowledged) - Boolean(other.acknowledged));
    const off = data.members.every((member) => member.problems === null);
    nothing.hidden = found.length > 0;
    const asked = coverage(data);
    nothing.textContent = off
      ? "No process keeps them: logging is not set up."
      : asked.all
        ? "Nothing went wrong."
        : `Nothing went wrong where it was asked: ${asked.text}.`;
    const shown = found.map((problem) => {
      if (!lines.has(problem.key)) lines.set(problem.key, problemLine(change, only));
      const line = lines.get(problem.key);
      line.show(problem, data.now);
      return line.element;
    });
    list.replaceChildren(...shown);
  };
  follow(panel, draw);
}

function problemLine(change, only) {
  let key = "";
  const head = h("span");
  const known = h(
    "button",
    { type: "button", class: "small", onclick: () => change({ acknowledge: key }) },
    "acknowledge",
  );
  const gone = h("button", { type: "button", class: "small", onclick: () => change({ clear: key }) }, "clear");
  const message = h("code");
  const meta = h("small", { class: "dim" });
  const trace = h("pre", { tabindex: "0" });
  const details = h(
    "details",
    {
      ontoggle: () => {
        trace.scrollTop = trace.scrollHeight;
      },
    },
    h("summary", {}, "Traceback"),
    trace,
  );
  const show = (problem, now) => {
    key = problem.key;
    known.hidden = Boolean(problem.acknowledged);
    head.replaceChildren(
      state(problem.level.toLowerCase(), problem.level),
      h("b", {}, ` ${count(problem.count, "time")}`),
      `, last ${span(now - problem.last)} ago`,
    );
    message.textContent = problem.message;
    const parts = [
      problem.request,
      problem.logger,
      problem.place,
      `first ${clock(problem.first)}`,
      problem.by.map(who).join(", "),
    ];
    if (problem.acknowledged) parts.push(`acknowledged ${clock(problem.acknowledged)}`);
    const id = problem.request_id;
    const link = h("button", { type: "button", class: "link", onclick: () => only(id) }, `id ${id}`);
    meta.replaceChildren(parts.filter(Boolean).join(" · "), " ", id ? link : "", " ", known, " ", gone);
    details.hidden = !problem.trace;
    if (trace.textContent !== (problem.trace ?? "")) trace.textContent = problem.trace ?? "";
  };
  return { element: h("li", {}, h("div", {}, head), message, h("div", {}, meta), details), show };
}

const SAME = {
  git: "Version of the service",
  version: "Package of the service",
  python: "Python",
  settings: "Settings",
};

// Lines of what differs: {what, text, until}.
export function differencesOf(data) {
  const found = [];
  for (const [name, title] of Object.entries(SAME)) {
    const values = new Map();
    for (const member of data.members) values.set(member[name], [...(values.get(member[name]) ?? []), who(member)]);
    if (values.size > 1)
      found.push({
        what: title,
        text: [...values].map(([value, by]) => `${value ?? "unknown"}: ${by.join(", ")}`).join(" · "),
        bad: true,
      });
  }
  for (const one of data.changed) {
    found.push({
      what: words(one),
      text: `${one.who ? `by ${one.who}, ` : ""}${span(data.now - one.since)} ago${one.reason ? `: ${one.reason}` : ""}`,
      left: one.expires && one.expires - data.now,
      bad: one.what === "database" && one.value === true,
    });
  }
  return found;
}

function words({ what, key, value }) {
  if (what === "database") return value ? "Read-only mode" : "Read-only mode is forced off";
  if (what === "SQL profiler") return `SQL profiler is on (${value})`;
  return `Log level of ${key} is ${value}`;
}

export function differences(panel) {
  const list = h("ul", { class: "differences" });
  panel.body.append(list);
  follow(panel, (data) => {
    const found = differencesOf(data);
    list.replaceChildren(
      ...found.map((one) =>
        h(
          "li",
          {},
          one.bad ? state("degraded", one.what) : h("b", {}, one.what),
          ` ${one.text}`,
          one.left ? h("span", { class: "dim" }, `, for ${span(one.left)} more`) : null,
        ),
      ),
      found.length
        ? ""
        : h(
            "li",
            { class: "dim" },
            coverage(data).all
              ? `All ${count(data.members.length, "process", "processes")} run the same version with the same settings; nothing was changed by hand.`
              : `No difference where it was asked: ${coverage(data).text}.`,
          ),
    );
  });
}
