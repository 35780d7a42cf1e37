// What the reader chooses: pause, how often is asked; and the keyboard.

import { h, zone } from "./dom.js";
import { pace, setPace } from "./source.js";

const KEYS = [
  ["/", "search in the first table that is seen"],
  ["p", "pause: nothing is asked until you press it again"],
  ["?", "this help; Escape closes it"],
];

export function keys() {
  const header = document.querySelector("header");
  const button = h("button", { type: "button", class: "small", "aria-pressed": "false" }, "Pause");
  const turn = () => {
    setPace({ paused: !pace.paused });
    button.textContent = pace.paused ? "Go on" : "Pause";
    button.setAttribute("aria-pressed", String(pace.paused));
  };
  button.addEventListener("click", turn);
  const every = h(
    "select",
    { "aria-label": "How often is asked", onchange: () => setPace({ every: Number(every.value) }) },
    [
      ["0", "refresh: as made"],
      ["2", "every 2 s"],
      ["30", "every 30 s"],
      ["60", "every minute"],
    ].map(([value, text]) => h("option", { value }, text)),
  );
  const help = h(
    "dialog",
    { "aria-label": "Keys" },
    h("h2", {}, "Keys"),
    h(
      "dl",
      {},
      KEYS.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]),
    ),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  document.body.append(help);
  const ask = h(
    "button",
    { type: "button", class: "small", "aria-label": "Keys: help", onclick: () => help.showModal() },
    "?",
  );
  header
    .querySelector("#verdict")
    .after(h("span", { class: "pace" }, h("small", { class: "dim" }, `Times in ${zone()}`), every, button, ask));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog"))
      return;
    if (event.key === "p") turn();
    else if (event.key === "?") help.showModal();
    else if (event.key === "/") {
      const boxes = [...document.querySelectorAll('input[type="search"]')].filter((box) => box.checkVisibility());
      const seen = boxes.find((box) => box.getBoundingClientRect().bottom > 0) ?? boxes[0];
      seen?.focus();
    } else return;
    event.preventDefault();
  });
}
