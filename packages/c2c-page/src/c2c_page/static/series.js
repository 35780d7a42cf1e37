// The timers of stats.json, read as routes, SQL statements and so on; what happened between two readings.

const READINGS = 60;
const GROUPS = { route: "Routes", sql: "SQL", requests: "Outgoing HTTP", redis: "Redis", render: "Rendering" };
export const OTHER = "Other";
export const NAMES = [...Object.values(GROUPS), OTHER];

// "route/GET/hello/200" or "route/group=2/method=GET/route=hello/status=200"
export function named(key) {
  const [kind, ...parts] = key.split("/");
  const tags = Object.fromEntries(
    parts
      .filter((part) => part.includes("=") && kind !== "sql")
      .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
  );
  if (kind === "route" || kind === "render") {
    const [method, status] = [tags.method ?? parts[0], tags.status ?? parts.at(-1)];
    const route = tags.route ?? parts.slice(1, -1).join("/");
    return { group: GROUPS[kind], name: `${method} ${route}`, status, own: !route.startsWith("c2c_") };
  }
  if (kind === "sql" && parts[0] !== "manual")
    return { group: GROUPS.sql, name: parts.join("/").replace(/^query=/, ""), status: "" };
  if (kind === "requests" && tags.host)
    return {
      group: GROUPS.requests,
      name: `${tags.method} ${tags.scheme}://${tags.host}:${tags.port}`,
      status: tags.status,
    };
  if (kind === "requests" && parts.length === 5)
    return { group: GROUPS.requests, name: `${parts[3]} ${parts[0]}://${parts[1]}:${parts[2]}`, status: parts[4] };
  if (kind === "redis")
    return {
      group: GROUPS.redis,
      name: tags.cmd ?? parts[0],
      status: tags.success === "0" || parts[1] === "failure" ? "failure" : "",
    };
  return { group: OTHER, name: key, status: "" };
}

export class Series {
  constructor() {
    this.rows = new Map();
    this.at = 0;
  }

  // Take a reading: `now` in seconds. Where other processes answer than before (a worker that was recycled took its
  // numbers along), it only begins anew.
  read(data, now) {
    const timers = Object.entries(data.timers ?? {});
    const lost = timers.some(([key, timer]) => timer.nb < (this.rows.get(key)?.nb ?? 0));
    const seconds = this.at && data.members === this.members && !lost ? now - this.at : 0;
    this.at = now;
    this.members = data.members;
    const before = this.rows;
    this.rows = new Map();
    for (const [key, timer] of timers) {
      const known = before.get(key);
      const row = known ?? { key, ...named(key), rates: [], means: [], nb: 0, total: 0 };
      const total = timer.nb * timer.avg_ms;
      if (seconds > 0) {
        const done = Math.max(0, timer.nb - row.nb);
        push(row.rates, done / seconds);
        push(row.means, done ? Math.max(0, total - row.total) / done : 0);
      }
      Object.assign(row, timer, { total, rate: row.rates.at(-1) ?? 0, recent: row.means.at(-1) ?? 0 });
      this.rows.set(key, row);
    }
  }

  of(group) {
    return [...this.rows.values()].filter((row) => row.group === group);
  }

  // What the service's own routes do now: requests a second, their mean, and the share of errors.
  now() {
    const rows = this.of(GROUPS.route).filter((row) => row.own);
    const rate = sum(rows, (row) => row.rate);
    const errors = sum(
      rows.filter((row) => row.status >= "500"),
      (row) => row.rate,
    );
    const mean = rate ? sum(rows, (row) => row.rate * row.recent) / rate : 0;
    return {
      rate,
      errors,
      mean,
      known: rows.some((row) => row.rates.length),
      failed: sum(
        rows.filter((row) => row.status >= "500"),
        (row) => row.nb,
      ),
    };
  }
}

function push(values, value) {
  values.push(value);
  if (values.length > READINGS) values.shift();
}

export function sum(rows, value) {
  return rows.reduce((total, row) => total + value(row), 0);
}
