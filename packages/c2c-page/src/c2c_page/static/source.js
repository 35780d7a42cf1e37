// Where data comes from: one caller for each address, however many parts of the page show its answer. It calls only
// while the page is looked at, and the part of it, and never twice at a time.

import { call } from "./call.js";

const PATIENCE = 12_000;

const sources = new Map();

export function source(url, every, options) {
  if (!sources.has(url)) sources.set(url, new Source(url, every, options));
  return sources.get(url);
}

class Source {
  constructor(url, every, options) {
    this.url = url;
    this.every = every * 1000;
    this.options = every ? { patience: PATIENCE, ...options } : options;
    this.listeners = new Set();
    this.seen = new Set();
    this.last = null;
  }

  // listener: {data(answer, ms), error(error), busy(yes)}; `always`: also while it is scrolled away
  add(listener, { always = false, element = null } = {}) {
    this.listeners.add(listener);
    if (this.last) listener.data(...this.last);
    if (always) this.seen.add(listener);
    else if (element && this.every) this.#watch(element, listener);
    if (this.every) this.#plan(0);
  }

  #watch(element, listener) {
    new IntersectionObserver(
      ([entry]) => {
        if (entry.isIntersecting) this.seen.add(listener);
        else this.seen.delete(listener);
        if (entry.isIntersecting) this.#plan(0);
      },
      { rootMargin: "300px" },
    ).observe(element);
  }

  #plan(delay) {
    clearTimeout(this.timer);
    const due = this.ended ? this.ended + this.every - Date.now() : 0;
    this.timer = setTimeout(() => this.#turn(), Math.max(delay, due, 0));
  }

  async #turn() {
    if (document.visibilityState === "hidden" || !this.seen.size) return;
    await this.ask();
  }

  // Ask now; those who wait for an answer that is under way get that one.
  ask() {
    this.asking ??= this.#ask().finally(() => {
      this.asking = undefined;
      this.ended = Date.now();
      if (this.every) this.#plan(this.every);
    });
    return this.asking;
  }

  async #ask() {
    this.#tell("busy", true);
    const begun = performance.now();
    try {
      this.last = [await call(this.url, this.options), performance.now() - begun];
      this.#tell("data", ...this.last);
    } catch (error) {
      this.#tell("error", error);
    } finally {
      this.#tell("busy", false);
    }
  }

  #tell(what, ...values) {
    for (const listener of this.listeners) listener[what]?.(...values);
  }

  wake() {
    if (this.every) this.#plan(0);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") for (const one of sources.values()) one.wake();
});
