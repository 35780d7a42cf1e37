// Forms and links as the server made them: their answers are shown in place, and the command follows the fields.

import { call, CallError, curl, withQuery } from "./call.js";
import { h, milliseconds } from "./dom.js";
import { anything } from "./anything.js";

export function enhance(root) {
  for (const form of root.querySelectorAll("form[aria-label]")) enhanceForm(form);
  for (const link of root.querySelectorAll("ul.links a")) enhanceLink(link);
}

function enhanceForm(form) {
  const place = h("div", { class: "answer" });
  form.append(place);
  const command = form.querySelector(".curl code");
  const asked = () => {
    const values = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    return form.method === "post" ? { url: form.action, body: values } : { url: withQuery(form.action, values) };
  };
  const say = () => {
    const { url, body } = asked();
    if (command) command.textContent = curl(url, body);
  };
  form.addEventListener("input", say);
  say();
  form.addEventListener("submit", (event) => {
    const { url, body } = asked();
    // What is a page of its own stays one.
    if (new FormData(form).get("format") === "html") return;
    event.preventDefault();
    show(place, url, { method: form.method.toUpperCase(), body }, form.getAttribute("aria-label"));
  });
}

function enhanceLink(link) {
  const place = h("div", { class: "answer" });
  link.after(
    " ",
    h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Show here: ${link.textContent}`,
        onclick: () => show(place, link.href, {}, link.textContent),
      },
      "show here",
    ),
  );
  link.parentElement.append(place);
}

async function show(place, url, options, title) {
  place.replaceChildren(h("p", { class: "dim", role: "status" }, "Asking …"));
  const begun = performance.now();
  try {
    const data = await call(url, { holds: ["successes", "members"], ...options });
    const note = h("p", { class: "dim", role: "status" }, `Answered in ${milliseconds(performance.now() - begun)} `);
    note.append(h("button", { type: "button", class: "small", onclick: () => place.replaceChildren() }, "close"));
    place.replaceChildren(note, ...anything(data || "Done: no content.", title));
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    place.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message));
  }
}
