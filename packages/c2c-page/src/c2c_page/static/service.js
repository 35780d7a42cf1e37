// What the whole page knows: whether somebody is logged in, the glance at all processes, and how health is.

import { withQuery } from "./call.js";
import { source } from "./source.js";
import { count, who } from "./dom.js";

const OVERVIEW = document.body.dataset.operator;
const EVERY = 5;

export const operator = Boolean(OVERVIEW);
export const overview = operator ? source(new URL(OVERVIEW, location.href).href, EVERY) : null;

// The report of health: of all processes for operators, of the one that answers for others.
export function healthOf(url, every) {
  const asked = operator ? withQuery(url, { scope: "all" }) : withQuery(url, {});
  return source(asked, every, { holds: ["members", "successes"] });
}

// Of how many processes an answer speaks: "3 of 3 processes asked". `all` is whether those are all there are.
export function coverage(glance) {
  const silent = glance.failed.length + glance.missing.length;
  const known = glance.members.length + silent;
  const others = !glance.complete && !silent ? ", others are not known" : "";
  return {
    all: glance.complete && !silent,
    text: `${glance.members.length} of ${count(known, "process", "processes")} asked${others}`,
  };
}

// One report in one form: processes, checks by name, and who is silent.
export function report(data) {
  const members = [...(data.members ?? [{ hostname: "this process", ...data }])];
  members.sort((one, other) => label(one).localeCompare(label(other), "en", { numeric: true }));
  const checks = new Map();
  for (const member of members) {
    for (const [kind, entries] of [
      ["passed", member.successes],
      ["failed", member.failures],
    ]) {
      for (const [name, entry] of Object.entries(entries ?? {})) {
        if (!checks.has(name)) checks.set(name, { name, level: entry.level, of: new Map() });
        const state = kind === "passed" && entry.outcome === "degraded" ? "degraded" : kind;
        checks.get(name).of.set(label(member), { ...entry, state });
      }
    }
  }
  const order = { failed: 0, degraded: 1, passed: 2 };
  const worst = (check) => Math.min(...[...check.of.values()].map((entry) => order[entry.state]));
  const sorted = [...checks.values()].map((check) => ({ ...check, state: Object.keys(order)[worst(check)] }));
  sorted.sort(
    (one, other) =>
      order[one.state] - order[other.state] || one.level - other.level || one.name.localeCompare(other.name),
  );
  const failed = (data.failing ?? []).filter((one) => one.message);
  return { members, checks: sorted, silent: [...failed, ...(data.missing ?? [])], complete: data.complete ?? true };
}

// Since when a check stands as it does in the whole service: since its last change anywhere. A process that was born
// meanwhile has seen no change.
export function steadySince(members, name) {
  const told = members.map((member) => member.health?.[name]).filter(Boolean);
  const changes = told.filter((one) => one.changed).map((one) => one.since);
  return changes.length ? Math.max(...changes) : Math.min(...told.map((one) => one.since));
}

export function label(member) {
  return member.pid ? who(member) : member.hostname;
}
