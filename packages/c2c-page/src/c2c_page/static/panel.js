// A live part of the page: its title, its tools, its state, the error of its last call, and what it shows.

import { curl } from "./call.js";
import { h, clock, milliseconds } from "./dom.js";

export class Panel {
  constructor(element) {
    const { url, every, title, help, kind } = element.dataset;
    Object.assign(this, { element, url, every: Number(every), title, kind });
    this.tools = h("div", { class: "tools" });
    this.state = h("span", { class: "dim when" });
    this.trouble = h("p", { class: "trouble", role: "alert", hidden: true });
    this.silent = h("p", { class: "silence", role: "status", hidden: true });
    this.body = h("div", { class: "body" });
    this.command = h("code");
    this.action = h("code", { hidden: true });
    this.doing = h("details", { class: "curl" }, h("summary", {}, "curl"), this.command, this.action);
    element.replaceChildren(
      h("div", { class: "head" }, h("h3", {}, title), help && h("small", { class: "dim" }, help), this.state),
      this.tools,
      this.trouble,
      this.silent,
      this.body,
      this.doing,
    );
    this.shows(url);
  }

  // Say which call this part makes.
  shows(url, body) {
    this.command.textContent = curl(url, body);
  }

  // Say which call a button of this part makes, as its fields are now: `asked` gives [url, body].
  does(asked) {
    const say = () => this.did(...asked());
    for (const event of ["input", "change"]) this.tools.addEventListener(event, say);
    say();
  }

  did(url, body) {
    this.action.hidden = false;
    this.action.textContent = curl(url, body);
  }

  button(text, action, properties = {}) {
    return h("button", { type: "button", onclick: action, ...properties }, text);
  }

  busy(yes) {
    this.element.toggleAttribute("aria-busy", yes);
    this.element.classList.toggle("busy", yes);
  }

  done(ms) {
    this.error(null);
    this.state.textContent = `${clock(Date.now() / 1000)}, ${milliseconds(ms)}`;
  }

  error(error) {
    this.trouble.hidden = !error;
    this.trouble.textContent = error ? error.message : "";
    this.element.classList.toggle("stale", Boolean(error));
  }

  // Name those that did not answer: entries {hostname, pid, last_seen | error | message}.
  name(missing, complete = true, now = Date.now() / 1000) {
    const texts = (missing ?? []).map((one) => named(one, now));
    if (!texts.length && !complete) texts.push("Not every process could be asked: is Redis away?");
    const text = texts.join(" · ");
    if (this.silent.textContent !== text) this.silent.textContent = text;
    this.silent.hidden = !text;
  }

  // Do something on request: errors and the time it took are shown here.
  async run(action) {
    this.busy(true);
    const begun = performance.now();
    try {
      await action();
      this.done(performance.now() - begun);
    } catch (error) {
      this.error(error);
    } finally {
      this.busy(false);
    }
  }
}

function named(one, now) {
  const who = one.pid ? `${one.hostname}/${one.pid}` : "Other processes";
  const why = one.error ?? (one.type ? `${one.type}: ${one.message}` : one.message);
  if (why) return `${who}: ${why}`;
  return `${who} is silent${one.last_seen ? `, last seen ${Math.max(0, Math.round(now - one.last_seen))} s ago` : ""}`;
}
