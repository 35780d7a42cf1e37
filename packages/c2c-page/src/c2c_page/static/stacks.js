// Stacks of all threads: the same ones together, those at work first.

import { call, withQuery } from "./call.js";
import { count, h, state } from "./dom.js";
import { searchBox } from "./table.js";

export function stacks(panel) {
  const idle = h("input", { type: "checkbox" });
  let found = null;
  let words = [];
  const draw = () => found && show(panel, found, words, idle.checked);
  idle.addEventListener("change", draw);
  const take = () =>
    panel.run(async () => {
      found = await call(withQuery(panel.url, {}));
      panel.name(found.filter((one) => !one.frames.length));
      draw();
    });
  const search = searchBox("Filter", (text) => {
    words = text.toLowerCase().split(/\s+/).filter(Boolean);
    draw();
  });
  panel.tools.append(panel.button("Take stacks", take), search, h("label", {}, idle, " also the waiting ones"));
}

function show(panel, found, words, idle) {
  const groups = found.filter((one) => one.frames.length);
  const text = (one) => JSON.stringify(one).toLowerCase();
  const wanted = groups.filter((one) => words.every((word) => text(one).includes(word)));
  const shown = wanted.filter((one) => idle || words.length || !one.waiting);
  const hidden = wanted.length - shown.length;
  panel.body.replaceChildren(
    ...shown.map((one, index) => group(one, index === 0 || words.length > 0)),
    h(
      "p",
      { class: "dim" },
      `${count(groups.length, "different stack")}${hidden ? `; ${hidden} waiting ones are hidden` : ""}.`,
    ),
  );
}

function group(one, open) {
  const last = one.frames.at(-1);
  const waits = one.waiting ? state("waiting", `waiting: ${one.waiting}`) : state("working", "at work");
  return h(
    "details",
    { open, class: "stack" },
    h(
      "summary",
      {},
      h("b", {}, `${one.threads.length}×`),
      " ",
      waits,
      " ",
      h("code", {}, last.function),
      h("small", { class: "dim" }, ` ${short(last.file)}:${last.line}`),
    ),
    h(
      "ol",
      { class: "frames" },
      one.frames.map((frame) =>
        h(
          "li",
          {},
          h("b", {}, frame.function),
          h("small", { class: "dim" }, ` ${short(frame.file)}:${frame.line}`),
          h("code", {}, frame.code),
        ),
      ),
    ),
    h("p", { class: "dim" }, one.threads.join(", ")),
  );
}

// The end of a path, from the package on.
export function short(file) {
  const library = file.split(/(?:site|dist)-packages\//);
  return library.length > 1 ? library.at(-1) : file.split("/").slice(-3).join("/");
}
