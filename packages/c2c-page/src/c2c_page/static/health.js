// Is it healthy, in every process, since when: a line for each check, a column for each process.

import { h, milliseconds, span, state } from "./dom.js";
import { healthOf, label, overview, report, steadySince } from "./service.js";

const LETTERS = { p: "passed", d: "degraded", f: "failed" };

export function health(panel) {
  const open = new Set();
  let last = null;
  let glance = null;
  const draw = () => {
    if (last) panel.body.replaceChildren(table(last, glance, open));
  };
  const checks = healthOf(panel.url, panel.every);
  panel.shows(checks.url);
  panel.tools.append(panel.button("Check now", () => checks.ask()));
  checks.add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        last = report(data);
        panel.name(last.silent, last.complete);
        panel.done(ms);
        draw();
        overview?.ask();
      },
    },
    { always: true },
  );
  overview?.add({
    data(data) {
      glance = data;
      draw();
    },
  });
}

function table({ members, checks, silent }, glance, open) {
  const told = new Map((glance?.members ?? []).map((member) => [label(member), member]));
  const one = new Set(members.map((member) => member.hostname)).size <= 1;
  const names = members.map((member) => (one && member.pid ? String(member.pid) : label(member)));
  const gone = silent.filter((member) => member.pid).map((member) => (one ? String(member.pid) : label(member)));
  const heads = [...names, ...gone].map((name) => h("th", { scope: "col" }, name));
  const rows = checks.flatMap((check) => lines(check, members, gone, told, glance?.now, open));
  const caption = one && members[0]?.pid ? `Checks by process of ${members[0].hostname}` : "Checks by process";
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h(
      "table",
      { class: "health" },
      h("caption", { class: "visually-hidden" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "Check"),
          h("th", { scope: "col", class: "number level" }, "Level"),
          h("th", { scope: "col" }, "Since"),
          heads,
        ),
      ),
      h("tbody", {}, rows),
    ),
    checks.length ? null : h("p", { class: "dim" }, "There are no checks."),
  );
}

function lines(check, members, gone, told, now, open) {
  const since = steadySince([...told.values()], check.name);
  const cells = members.map((member) => {
    const entry = check.of.get(label(member));
    const runs = told.get(label(member))?.health?.[check.name]?.runs;
    return h(
      "td",
      {},
      entry ? [state(entry.state, milliseconds(entry.timing * 1000)), dots(runs)] : state("silent", "not run"),
    );
  });
  const line = h(
    "tr",
    { class: check.state },
    h("th", { scope: "row" }, state(check.state, check.name)),
    h("td", { class: "number level" }, String(check.level)),
    h("td", { class: "when" }, Number.isFinite(since) ? span(now - since) : ""),
    cells,
    gone.map(() => h("td", {}, state("silent", "silent"))),
  );
  const why = reasons(check, open);
  return why.length
    ? [line, h("tr", { class: "why" }, h("td", { colspan: 3 + members.length + gone.length }, why))]
    : [line];
}

// The same reason of several processes is said once.
function reasons(check, open) {
  const texts = new Map();
  for (const [member, entry] of check.of) {
    const text = entry.message;
    if (text) texts.set(text, { ...entry, by: [...(texts.get(text)?.by ?? []), member] });
  }
  return [...texts].map(([text, entry]) =>
    h(
      "div",
      {},
      h("code", {}, text),
      h("small", { class: "dim" }, ` ${entry.by.join(", ")}`),
      more(`${check.name} ${text}`, entry, open),
    ),
  );
}

function more(key, entry, open) {
  if (!entry.stacktrace && entry.result === undefined) return null;
  const text = [entry.result === undefined ? "" : JSON.stringify(entry.result), entry.stacktrace ?? ""]
    .filter(Boolean)
    .join("\n");
  const toggled = (event) => (event.target.open ? open.add(key) : open.delete(key));
  return h(
    "details",
    { open: open.has(key), ontoggle: toggled },
    h("summary", {}, "Details"),
    h("pre", { tabindex: "0" }, text),
  );
}

function dots(runs) {
  if (!runs) return null;
  const bad = [...runs].filter((letter) => letter !== "p").length;
  const text = `${runs.length} runs, ${bad ? `${bad} not passed` : "all passed"}`;
  return h(
    "span",
    { class: "dots", role: "img", "aria-label": text, title: text },
    [...runs].slice(-15).map((letter) => h("i", { class: LETTERS[letter] })),
  );
}
