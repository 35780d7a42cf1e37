// A flame graph: the widths are shares of the samples; Enter or a click zooms, the arrow keys move, Escape goes back.

import { h } from "./dom.js";

const SMALLEST = 0.002;
const ROW = 20;
const DEEPEST = 120;

// Lines "process;thread;frame;frame 12" as a tree {name, count, children: Map}.
export function parse(text, { working = false } = {}) {
  const root = node("all");
  for (const line of text.split("\n")) {
    const cut = line.lastIndexOf(" ");
    const count = Number(line.slice(cut + 1));
    if (cut < 1 || line.startsWith("#") || !(count > 0)) continue;
    const frames = line.slice(0, cut).split(";");
    if (working && frames.at(-1).startsWith("waiting: ")) continue;
    let at = root;
    at.count += count;
    for (const frame of frames) {
      if (!at.children.has(frame)) at.children.set(frame, node(frame, at));
      at = at.children.get(frame);
      at.count += count;
    }
    at.self += count;
  }
  return root;
}

function node(name, parent = null) {
  return { name, parent, count: 0, self: 0, children: new Map() };
}

export class Flame {
  constructor() {
    this.detail = h("p", { class: "dim detail", "aria-live": "polite" }, "The widest take the most time.");
    this.drawing = h("div", { class: "flame", role: "group", "aria-label": "Flame graph" });
    this.drawing.addEventListener("keydown", (event) => this.#key(event));
    this.elements = [this.detail, this.drawing];
    this.words = "";
  }

  show(root) {
    this.root = root;
    this.zoom(root);
  }

  zoom(to) {
    this.top = to;
    this.frames = new Map();
    const above = [];
    for (let at = to.parent; at; at = at.parent) above.unshift(at);
    above.forEach((one, depth) => this.#add(one, depth, 0, 1));
    const deepest = this.#place(to, above.length, 0, 1);
    this.drawing.style.height = `${(Math.min(deepest, DEEPEST) + 1) * ROW}px`;
    this.drawing.replaceChildren(...[...this.frames.values()]);
    this.search(this.words);
    this.#current(to);
  }

  #place(one, depth, left, width) {
    if (depth > DEEPEST) return depth;
    this.#add(one, depth, left, width);
    let [at, deepest] = [left, depth];
    for (const child of [...one.children.values()].sort((a, b) => b.count - a.count)) {
      const share = (width * child.count) / one.count;
      if (share >= SMALLEST) deepest = Math.max(deepest, this.#place(child, depth + 1, at, share));
      at += share;
    }
    return deepest;
  }

  #add(one, depth, left, width) {
    const frame = h(
      "button",
      {
        type: "button",
        tabindex: "-1",
        class: kind(one.name),
        onclick: () => this.zoom(one),
        onfocus: () => this.#tell(one),
        onmouseenter: () => this.#tell(one),
      },
      one.name,
    );
    Object.assign(frame.style, { left: `${left * 100}%`, width: `${width * 100}%`, top: `${depth * ROW}px` });
    this.frames.set(one, frame);
  }

  #tell(one) {
    const share = ((one.count / this.root.count) * 100).toFixed(1);
    this.detail.textContent = `${one.name}: ${share} % of ${this.root.count} samples, ${((one.self / this.root.count) * 100).toFixed(1)} % itself`;
  }

  #current(one, focus = false) {
    for (const frame of this.frames.values()) frame.tabIndex = -1;
    this.at = one;
    const frame = this.frames.get(one);
    frame.tabIndex = 0;
    if (focus) frame.focus();
  }

  #key(event) {
    const shown = (list) => list.filter((one) => this.frames.has(one));
    const below = shown([...this.at.children.values()].sort((a, b) => b.count - a.count));
    const beside = this.at.parent
      ? shown([...this.at.parent.children.values()].sort((a, b) => b.count - a.count))
      : [this.at];
    const index = beside.indexOf(this.at);
    const to = {
      ArrowDown: below[0],
      ArrowUp: this.at.parent,
      ArrowRight: beside[index + 1],
      ArrowLeft: beside[index - 1],
    }[event.key];
    if (event.key === "Escape") {
      this.zoom(this.root);
      this.#current(this.root, true);
    } else if (event.key === "Enter" || event.key === " ") {
      const one = this.at;
      this.zoom(one);
      this.#current(one, true);
    } else if (to) this.#current(to, true);
    else return;
    event.preventDefault();
  }

  search(text) {
    this.words = text.toLowerCase();
    for (const [one, frame] of this.frames)
      frame.classList.toggle("found", Boolean(this.words) && one.name.toLowerCase().includes(this.words));
  }
}

// The colour says whose code it is, not how hot.
function kind(name) {
  if (name.startsWith("waiting: ")) return "waits";
  if (/\((?:[\w.-]+\/)*lib\/python3/.test(name) || /python3\.\d+\//.test(name)) return "standard";
  let sum = 0;
  for (const letter of name.split(" (").at(-1).split("/")[0]) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return `tone-${sum % 4}`;
}

// Functions by the samples that they were themselves at work in.
export function hottest(root, most = 25) {
  const found = new Map();
  const visit = (one, above) => {
    if (one.name.includes(" (")) {
      const known = found.get(one.name) ?? { name: one.name, self: 0, total: 0 };
      known.self +=
        one.self +
        [...one.children.values()]
          .filter((child) => child.name.startsWith("waiting: "))
          .reduce((sum, child) => sum + child.self, 0);
      if (!above.has(one.name)) known.total += one.count;
      found.set(one.name, known);
    }
    const path = new Set(above).add(one.name);
    for (const child of one.children.values()) visit(child, path);
  };
  visit(root, new Set());
  return [...found.values()].sort((one, other) => other.self - one.self).slice(0, most);
}
