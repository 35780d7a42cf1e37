// Parts that show what the glance at all processes tells: requests in progress, problems, differences.

import { clock, count, h, span, state, who } from "./dom.js";
import { overview } from "./service.js";
import { Table } from "./table.js";

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
      { name: "process", title: "Process", value: (row) => row.process },
      { name: "request_id", title: "Request id", value: (row) => row.request_id },
    ],
    {
      key: (row) => `${row.process} ${row.request_id} ${row.path}`,
      sort: "seconds",
      empty: "No request is in progress.",
    },
  );
  panel.body.append(...table.elements);
  follow(panel, (data) => table.update(inProgress(data)));
}

// All but the page's own call.
export function inProgress(data) {
  const rows = data.members.flatMap((member) =>
    (member.running ?? []).map((row) => ({ ...row, process: who(member) })),
  );
  return rows.filter((row) => row.route !== "c2c_overview");
}

// The same problem of several processes is one.
export function problemsOf(data) {
  const found = new Map();
  for (const member of data.members) {
    for (const problem of member.problems ?? []) {
      const key = `${problem.level} ${problem.logger} ${problem.place} ${problem.trace?.split("\n").at(-1) ?? ""}`;
      const known = found.get(key);
      if (!known) found.set(key, { ...problem, key, by: [member] });
      else {
        const newer = problem.last > known.last ? problem : known;
        Object.assign(known, {
          ...newer,
          first: Math.min(known.first, problem.first),
          count: known.count + problem.count,
          key,
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
  panel.body.append(list, nothing);
  follow(panel, (data) => {
    const found = problemsOf(data);
    const off = data.members.every((member) => member.problems === null);
    nothing.hidden = found.length > 0;
    nothing.textContent = off ? "No process keeps them: logging is not set up." : "Nothing went wrong.";
    const shown = found.map((problem) => {
      if (!lines.has(problem.key)) lines.set(problem.key, problemLine());
      const line = lines.get(problem.key);
      line.show(problem, data.now);
      return line.element;
    });
    list.replaceChildren(...shown);
  });
}

function problemLine() {
  const head = h("span");
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
    head.replaceChildren(
      state(problem.level.toLowerCase(), problem.level),
      h("b", {}, ` ${count(problem.count, "time")}`),
      `, last ${span(now - problem.last)} ago`,
    );
    message.textContent = problem.message;
    const parts = [
      problem.request,
      problem.request_id && `id ${problem.request_id}`,
      problem.logger,
      problem.place,
      `first ${clock(problem.first)}`,
      problem.by.map(who).join(", "),
    ];
    meta.textContent = parts.filter(Boolean).join(" · ");
    details.hidden = !problem.trace;
    if (trace.textContent !== (problem.trace ?? "")) trace.textContent = problem.trace ?? "";
  };
  return { element: h("li", {}, h("div", {}, head), message, h("div", {}, meta), details), show };
}

const SAME = { git: "Version of the service", version: "c2c-meta", python: "Python", settings: "Settings" };

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
            `All ${count(data.members.length, "process", "processes")} run the same version with the same settings; nothing was changed by hand.`,
          ),
    );
  });
}
