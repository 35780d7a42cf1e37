// The first lines of the page: is it healthy, what is it doing, what went wrong, what is different.

import { clock, count, h, milliseconds, span, state } from "./dom.js";
import { differencesOf, inProgress, problemsOf } from "./glances.js";
import { coverage, healthOf, label, operator, overview, report, steadySince } from "./service.js";
import { series, whenTimed } from "./timings.js";

const RECENT = 900;
const TICK = 1_000; // what is late is seen within a second

export function answers() {
  const verdict = document.getElementById("verdict");
  const element = document.querySelector('[data-kind="health"]');
  if (element) {
    const title = document.title;
    const checks = healthOf(element.dataset.url, Number(element.dataset.every));
    const say = () => {
      const unknown = checks.unknown();
      if (!unknown && !checks.last) return;
      const [name, text] = unknown ? ["unknown", since(unknown)] : summary(report(checks.last[0]));
      if (verdict.dataset.text !== text) verdict.replaceChildren(state(name, text));
      verdict.dataset.text = text;
      document.title =
        name === "passed" ? title : `${name === "failed" ? "✗" : name === "unknown" ? "?" : "!"} ${title}`;
    };
    checks.add({ data: say, error: say });
    setInterval(say, TICK);
  }
  if (operator) cards(element);
}

// "Unknown since 19:17:56", and why
function since({ since: moment, why }) {
  return `Unknown since ${clock(moment / 1000)}: ${why}`;
}

// The state of the service in a word, and the sentence. What was not asked is not known.
export function summary({ members, checks, silent, complete }) {
  const failing = checks.filter((check) => check.state === "failed");
  const degraded = checks.filter((check) => check.state === "degraded");
  const names = (list) => list.map((check) => check.name).join(", ");
  const all = members.length > 1 || members[0]?.pid ? `, ${count(members.length, "process", "processes")}` : "";
  if (failing.some((check) => check.level <= 1)) return ["failed", `Failing: ${names(failing)}`];
  if (silent.length) return ["degraded", `${count(silent.length, "process is", "processes are")} silent`];
  if (failing.length) return ["degraded", `Impaired: ${names(failing)}`];
  if (degraded.length) return ["degraded", `Degraded: ${names(degraded)}`];
  if (!complete) return ["unknown", "Healthy here; the other processes are not known"];
  return ["passed", `Healthy${all}`];
}

function cards(health) {
  const place = document.getElementById("answers");
  const made = [
    ["health", "Is it healthy?"],
    ["history", "What is it doing?"],
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
  const [healthy, ...glances] = made;
  const checks = health ? healthOf(health.dataset.url, Number(health.dataset.every)) : null;
  const show = (card, source, answer) => {
    const unknown = source.unknown();
    if (unknown) card("Unknown", since(unknown), "unknown");
    else if (source.last) card(...answer(source.last[0]));
  };
  const draw = () => {
    if (checks) show(healthy, checks, (data) => healthCard(report(data), overview.last?.[0]));
    [doingCard, wrongCard, differentCard].forEach((answer, index) => show(glances[index], overview, answer));
  };
  checks?.add({ data: draw, error: draw });
  whenTimed(draw);
  overview.add({ data: draw, error: draw }, { always: true });
  setInterval(draw, TICK);
}

function healthCard(checks, glance) {
  const [name, text] = summary(checks);
  const members = glance?.members ?? [];
  const bad = checks.checks.filter((check) => check.state !== "passed").map((check) => check.name);
  const times = members.flatMap((member) => bad.map((check) => member.health?.[check]?.since)).filter(Boolean);
  const steady = checks.checks.map((check) => steadySince(members, check.name)).filter(Number.isFinite);
  const moment = times.length ? Math.min(...times) : Math.max(...steady, 0);
  const passing = checks.members.filter((member) => !Object.keys(member.failures ?? {}).length).length;
  const known = checks.members.length + checks.silent.length;
  const silent = checks.silent.map((member) => `${label(member)} is silent`);
  const whole = checks.complete && !silent.length;
  const shown = { passed: "Yes", degraded: whole ? "Partly" : "Not known", unknown: "Not known", failed: "No" }[name];
  const when = moment && glance && (whole || name === "failed") ? `, for ${span(glance.now - moment)}` : "";
  return [
    `${shown}${when}`,
    [
      `${passing} of ${count(known, "process passes", "processes pass")}${whole || silent.length ? "" : ", others are not known"}`,
      ...silent,
      name === "passed" ? "" : text,
    ]
      .filter(Boolean)
      .join(" · "),
    whole || name === "failed" ? name : "unknown",
  ];
}

function doingCard(glance) {
  const { count: busy, longest } = inProgress(glance);
  const now = series.now();
  const big = now.known ? `${rate(now.rate)} requests/s` : `${busy} in progress`;
  const parts = [now.rate ? `${milliseconds(now.mean)} in the mean` : "", now.known ? `${busy} in progress` : ""];
  if (longest && longest.seconds > 1) parts.push(`${longest.method} ${longest.path} for ${span(longest.seconds)}`);
  parts.push(coverage(glance).text);
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
  const found = problemsOf(glance).filter((problem) => !problem.acknowledged && glance.now - problem.last < RECENT);
  const errors = found.filter((problem) => problem.level !== "WARNING");
  const asked = coverage(glance);
  if (!found.length)
    return [
      asked.all ? "Nothing lately" : "Not known",
      `No warning and no error in ${RECENT / 60} min · ${asked.text}`,
      asked.all ? "passed" : "unknown",
    ];
  const last = errors[0] ?? found[0];
  const big = errors.length
    ? count(errors.length, "kind of error", "kinds of errors")
    : count(found.length, "kind of warning", "kinds of warnings");
  return [
    big,
    `${span(glance.now - last.last)} ago, ${last.count} times: ${last.message.slice(0, 90)} · ${asked.text}`,
    errors.length ? "failed" : "degraded",
  ];
}

function differentCard(glance) {
  const found = differencesOf(glance);
  const asked = coverage(glance);
  if (!found.length) {
    const versions = [...new Set(glance.members.map((member) => member.git ?? member.version ?? ""))].filter(Boolean);
    const version = versions.join(", ").slice(0, 12) || "One version";
    return asked.all
      ? ["Nothing", `${version} everywhere, no setting changed by hand · ${asked.text}`, ""]
      : ["Not known", `${version} where it was asked · ${asked.text}`, "unknown"];
  }
  return [
    count(found.length, "thing"),
    `${found.map((one) => one.what).join(" · ")} · ${asked.text}`,
    found.some((one) => one.bad) ? "degraded" : asked.all ? "" : "unknown",
  ];
}
