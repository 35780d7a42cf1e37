// The last 30 minutes of all processes together, from before the page was opened.

import { clock, h, milliseconds, number, svg, who, zone } from "./dom.js";
import { follow } from "./follow.js";

const [WIDTH, HEIGHT] = [300, 60];

// What is drawn of a point: columns are time, requests, errors, mean_ms, p95_ms, busy, rss_kb.
const LINES = [
  { title: "Requests a second", value: (one) => one.requests / one.seconds, text: number },
  { title: "Errors a second", value: (one) => one.errors / one.seconds, text: number, bad: true },
  { title: "Mean time", value: (one) => one.mean_ms, text: milliseconds },
  { title: "95 % are faster than", value: (one) => one.p95_ms, text: milliseconds },
  { title: "Requests in progress", value: (one) => one.busy, text: number },
  { title: "Memory", value: (one) => one.rss_kb / 1024, text: (value) => `${number(Math.round(value))} MB` },
];

// Points of all processes, put together: [{time, seconds, requests, errors, mean_ms, p95_ms, busy, rss_kb}].
export function merged({ members, columns, every }) {
  const steps = new Map();
  for (const member of members) {
    for (const point of member.points) {
      const one = Object.fromEntries(columns.map((name, index) => [name, point[index]]));
      const time = Math.round(one.time / every) * every;
      const sum = steps.get(time) ?? {
        time,
        seconds: every,
        requests: 0,
        errors: 0,
        total: 0,
        p95_ms: 0,
        busy: 0,
        rss: new Map(),
      };
      sum.requests += one.requests;
      sum.errors += one.errors;
      sum.total += one.requests * one.mean_ms;
      sum.p95_ms = Math.max(sum.p95_ms, one.p95_ms);
      sum.busy += one.busy;
      sum.rss.set(who(member), one.rss_kb);
      steps.set(time, sum);
    }
  }
  const memory = new Map();
  return [...steps.values()]
    .sort((one, other) => one.time - other.time)
    .map((one) => {
      for (const [member, value] of one.rss) memory.set(member, value);
      const rss_kb = [...memory.values()].reduce((all, value) => all + value, 0);
      return { ...one, mean_ms: one.requests ? one.total / one.requests : 0, rss_kb };
    });
}

export function history(panel) {
  const place = h("div", { class: "charts" });
  const when = h("p", { class: "dim" });
  panel.body.append(place, when);
  follow(panel, (data) => {
    panel.name([...data.failed, ...data.missing], data.complete, data.now);
    const points = merged(data);
    const from = data.now - 1800;
    place.replaceChildren(...LINES.map((line) => chart(line, points, from, data.now)));
    when.textContent = `${clock(from)} to ${clock(data.now)} (${zone()}), one point every ${data.every} s since the first request of each; ${data.members.length} of ${data.members.length + data.failed.length + data.missing.length} processes asked.`;
  });
}

function chart({ title, value, text, bad }, points, from, to) {
  const values = points.map(value);
  const most = Math.max(...values, 0);
  const last = values.length && to - points.at(-1).time < 60 ? text(values.at(-1)) : "nothing lately";
  const label = `${title}: ${last}, at most ${text(most)} in 30 minutes`;
  const x = (time) => (((time - from) / (to - from)) * WIDTH).toFixed(1);
  const y = (one) => (HEIGHT - 1 - (one / (most || 1)) * (HEIGHT - 4)).toFixed(1);
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    class: `chart${bad && most ? " bad" : ""}`,
    role: "img",
    "aria-label": label,
  });
  drawing.append(
    ...points.map((one, index) => svg("line", { x1: x(one.time), x2: x(one.time), y1: HEIGHT, y2: y(values[index]) })),
  );
  return h(
    "figure",
    {},
    h("figcaption", {}, title, h("b", {}, ` ${last}`), h("small", { class: "dim" }, ` max ${text(most)}`)),
    drawing,
  );
}
