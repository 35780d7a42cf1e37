// Calls of the service. What goes wrong becomes a sentence for people.

// Some answers take a minute. What is asked again and again gives up early: a connection may lead to a process that hangs.
const PATIENCE = 100_000;

export class CallError extends Error {}

export async function call(url, { method = "GET", body, json = true, holds = [], patience = PATIENCE } = {}) {
  let answer;
  try {
    answer = await fetch(url, {
      method,
      body: body && new URLSearchParams(body),
      headers: { Accept: json ? "application/json" : "text/plain" },
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    const why = error.name === "TimeoutError" ? "it did not answer in time" : "the service can't be reached";
    throw new CallError(`${method} ${path(url)}: ${why}.`);
  }
  const text = await answer.text();
  const data = parsed(answer, text);
  // A report of bad health comes with an error's status: it is an answer all the same.
  if (answer.ok || holds.some((name) => data && name in Object(data))) return json ? (data ?? text) : text;
  const said = data?.message ?? text.slice(0, 300);
  const hint = answer.status === 403 ? " Is the log-in over? Load the page again." : "";
  throw new CallError(`${method} ${path(url)}: ${answer.status} ${said}.${hint}`);
}

function parsed(answer, text) {
  if (!(answer.headers.get("Content-Type") ?? "").includes("json")) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function path(url) {
  return new URL(url, location.href).pathname;
}

export function withQuery(url, parameters) {
  const made = new URL(url, location.href);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === "" || value === undefined || value === null) made.searchParams.delete(name);
    else made.searchParams.set(name, value);
  }
  return made.href;
}

// The command that does the same; the secret stays a variable.
export function curl(url, body) {
  const words = document.body.dataset.operator ? ["curl", "-H", '"X-API-Key: $C2C_SECRET"'] : ["curl"];
  for (const [name, value] of Object.entries(body ?? {})) {
    if (value !== "") words.push("--data-urlencode", quoted(`${name}=${value}`));
  }
  return [...words, quoted(new URL(url, location.href).href)].join(" ");
}

function quoted(text) {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}
