// The page's elements are made here, from texts: nothing that a service answers is ever read as HTML.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// "12 s", "3 min", "5 h", "2 d"
export function span(seconds) {
  const positive = Math.max(0, seconds);
  if (positive < 120) return `${Math.round(positive)} s`;
  if (positive < 7200) return `${Math.round(positive / 60)} min`;
  if (positive < 172800) return `${Math.round(positive / 3600)} h`;
  return `${Math.round(positive / 86400)} d`;
}

// "1:05" of what is left
export function countdown(seconds) {
  const left = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(left / 60);
  const rest = String(left % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

// "UTC+1": in which time zone the page's clocks are.
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

export function milliseconds(value) {
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${Math.round(value)} ms`;
  return `${value.toPrecision(value >= 10 ? 3 : 2)} ms`;
}

export function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

const SHAPES = {
  passed: "✓",
  degraded: "!",
  failed: "✗",
  silent: "…",
  unknown: "?",
  error: "✗",
  critical: "✗",
  warning: "!",
};

// A state is a word and a shape, not a colour alone.
export function state(name, text = name) {
  return h(
    "span",
    { class: `state ${name}` },
    h("span", { "aria-hidden": "true" }, SHAPES[name] ?? "•"),
    `\u00a0${text}`,
  );
}

export function who(member) {
  return `${member.hostname}/${member.pid}`;
}

// One text for a word: "1 process", "3 processes"
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}
