// Where data comes from: one caller for each address, however many parts of the page show its answer. It calls only
// while the page is looked at, and the part of it, and never twice at a time.

import { call } from "./call.js";

const PATIENCE = 12_000;

// An answer is late when so many seconds have passed beyond the time when it was due.
const LATE = 4_000;

const sources = new Map();

// What the reader chose: nothing is asked while it is paused; 0 is each part's own pace.
export const pace = { paused: false, every: 0 };

export function setPace(change) {
  Object.assign(pace, change);
  for (const one of sources.values()) one.wake();
}

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
    this.answered = 0;
    this.failed = null;
  }

  get pause() {
    return pace.every ? pace.every * 1000 : this.every;
  }

  // Since when nothing is known (milliseconds since the epoch), and why; null while the last answer is fresh.
  unknown(now = Date.now()) {
    if (!this.answered && !this.failed) return null;
    if (this.failed) return { since: this.answered || this.failed.at, why: this.failed.error.message };
    if (now - this.answered <= this.pause + LATE) return null;
    return { since: this.answered, why: pace.paused ? "The page is paused." : "No answer came since." };
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
    const due = this.ended ? this.ended + this.pause - Date.now() : 0;
    this.timer = setTimeout(() => this.#turn(), Math.max(delay, due, 0));
  }

  async #turn() {
    if (pace.paused || document.visibilityState === "hidden" || !this.seen.size) return;
    await this.ask();
  }

  // Ask now; those who wait for an answer that is under way get that one.
  ask() {
    this.asking ??= this.#ask().finally(() => {
      this.asking = undefined;
      this.ended = Date.now();
      if (this.every) this.#plan(this.pause);
    });
    return this.asking;
  }

  async #ask() {
    this.#tell("busy", true);
    const begun = performance.now();
    try {
      this.last = [await call(this.url, this.options), performance.now() - begun];
      this.answered = Date.now();
      this.failed = null;
      this.#tell("data", ...this.last);
    } catch (error) {
      this.failed = { at: Date.now(), error };
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
