// The first lines of the page: is it healthy, what is it doing, what went wrong, what is different.

import { count, h, milliseconds, span, state } from "./dom.js";
import { differencesOf, inProgress, problemsOf } from "./glances.js";
import { healthOf, label, operator, overview, report, steadySince } from "./service.js";
import { series, whenTimed } from "./timings.js";

const RECENT = 900;

export function answers() {
  const verdict = document.getElementById("verdict");
  const element = document.querySelector('[data-kind="health"]');
  if (element) {
    const title = document.title;
    const say = (name, text) => {
      if (verdict.dataset.text !== text) verdict.replaceChildren(state(name, text));
      verdict.dataset.text = text;
      document.title = name === "passed" ? title : `${name === "failed" ? "✗" : "!"} ${title}`;
    };
    healthOf(element.dataset.url, Number(element.dataset.every)).add({
      data: (data) => say(...summary(report(data))),
      error: (error) => say("silent", error.message),
    });
  }
  if (operator) cards(element);
}

// The state of the service in a word, and the sentence.
export function summary({ members, checks, silent, complete }) {
  const failing = checks.filter((check) => check.state === "failed");
  const degraded = checks.filter((check) => check.state === "degraded");
  const names = (list) => list.map((check) => check.name).join(", ");
  const all = members.length > 1 || members[0]?.pid ? `, ${count(members.length, "process", "processes")}` : "";
  if (failing.some((check) => check.level <= 1)) return ["failed", `Failing: ${names(failing)}`];
  if (silent.length) return ["degraded", `${count(silent.length, "process is", "processes are")} silent`];
  if (failing.length) return ["degraded", `Impaired: ${names(failing)}`];
  if (degraded.length) return ["degraded", `Degraded: ${names(degraded)}`];
  if (!complete) return ["degraded", "Healthy here; the other processes are not known"];
  return ["passed", `Healthy${all}`];
}

function cards(health) {
  const place = document.getElementById("answers");
  const made = [
    ["health", "Is it healthy?"],
    ["stats", "What is it doing?"],
    ["problems", "What went wrong?"],
    ["differences", "What is different?"],
  ].map(([target, question]) => {
    const [big, small] = [h("p", { class: "big" }, "…"), h("p", { class: "dim" })];
    place.append(
      h(
        "a",
        { class: "card", href: `#${document.getElementById(target) ? target : "main"}` },
        h("h2", {}, question),
        big,
        small,
      ),
    );
    return (text, more, name = "") => {
      big.className = `big ${name}`;
      if (big.textContent !== text) big.textContent = text;
      if (small.textContent !== more) small.textContent = more;
    };
  });
  const [healthy, doing, wrong, different] = made;
  let checks = null;
  let glance = null;
  const draw = () => {
    if (checks) healthy(...healthCard(checks, glance));
    if (!glance) return;
    doing(...doingCard(glance));
    wrong(...wrongCard(glance));
    different(...differentCard(glance));
  };
  if (health)
    healthOf(health.dataset.url, Number(health.dataset.every)).add({
      data: (data) => {
        checks = report(data);
        draw();
      },
    });
  whenTimed(draw);
  overview.add(
    {
      data: (data) => {
        glance = data;
        draw();
      },
    },
    { always: true },
  );
}

function healthCard(checks, glance) {
  const [name, text] = summary(checks);
  const members = glance?.members ?? [];
  const bad = checks.checks.filter((check) => check.state !== "passed").map((check) => check.name);
  const since = members.flatMap((member) => bad.map((check) => member.health?.[check]?.since)).filter(Boolean);
  const steady = checks.checks.map((check) => steadySince(members, check.name)).filter(Number.isFinite);
  const moment = since.length ? Math.min(...since) : Math.max(...steady, 0);
  const passing = checks.members.filter((member) => !Object.keys(member.failures ?? {}).length).length;
  const known = checks.members.length + checks.silent.length;
  const silent = checks.silent.map((member) => `${label(member)} is silent`);
  const when = moment && glance ? `for ${span(glance.now - moment)}` : "";
  const shown = { passed: "Yes", degraded: "Partly", failed: "No" }[name];
  return [
    `${shown}${when ? `, ${when}` : ""}`,
    [`${passing} of ${count(known, "process passes", "processes pass")}`, ...silent, name === "passed" ? "" : text]
      .filter(Boolean)
      .join(" · "),
    name,
  ];
}

function doingCard(glance) {
  const busy = inProgress(glance);
  const longest = busy.reduce((most, row) => (row.seconds > (most?.seconds ?? 0) ? row : most), null);
  const now = series.now();
  const big = now.known ? `${rate(now.rate)} requests/s` : `${busy.length} in progress`;
  const parts = [
    now.rate ? `${milliseconds(now.mean)} in the mean` : "",
    now.known ? `${busy.length} in progress` : "",
  ];
  if (longest && longest.seconds > 1) parts.push(`${longest.method} ${longest.path} for ${span(longest.seconds)}`);
  const share = now.rate ? now.errors / now.rate : 0;
  if (share) parts.push(`${rate(100 * share)} % of them errors`);
  return [
    big,
    parts.filter(Boolean).join(" · "),
    share > 0.1 ? "failed" : share > 0.01 || longest?.seconds > 10 ? "degraded" : "",
  ];
}

function rate(value) {
  return value >= 10 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
}

function wrongCard(glance) {
  const found = problemsOf(glance).filter((problem) => glance.now - problem.last < RECENT);
  const errors = found.filter((problem) => problem.level !== "WARNING");
  if (!found.length) return ["Nothing lately", `No warning and no error in ${RECENT / 60} min`, "passed"];
  const last = errors[0] ?? found[0];
  const big = errors.length
    ? count(errors.length, "kind of error", "kinds of errors")
    : count(found.length, "kind of warning", "kinds of warnings");
  return [
    big,
    `${span(glance.now - last.last)} ago, ${last.count} times: ${last.message.slice(0, 90)}`,
    errors.length ? "failed" : "degraded",
  ];
}

function differentCard(glance) {
  const found = differencesOf(glance);
  if (!found.length)
    return [
      "Nothing",
      `${[...new Set(glance.members.map((member) => member.git ?? ""))].filter(Boolean).join(", ").slice(0, 12) || "One version"} everywhere, no setting changed by hand`,
      "",
    ];
  return [
    count(found.length, "thing"),
    found.map((one) => one.what).join(" · "),
    found.some((one) => one.bad) ? "degraded" : "",
  ];
}
