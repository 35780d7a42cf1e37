// Sample all processes for some seconds, and show where the time goes.

import { call, withQuery } from "./call.js";
import { count, h, number } from "./dom.js";
import { Flame, hottest, parse } from "./flame.js";
import { searchBox, Table } from "./table.js";

export function profile(panel) {
  const seconds = h("input", { type: "number", min: "0.1", max: "60", step: "any", value: "5" });
  const hz = h("input", { type: "number", min: "1", max: "1000", value: "100" });
  const working = h("input", { type: "checkbox", checked: true });
  const flame = new Flame();
  const table = new Table(
    "Functions",
    [
      { name: "name", title: "Function", head: true, wide: true, value: (row) => row.name },
      { name: "self", title: "Itself", number: true, value: (row) => row.self, cell: (row) => share(row.self) },
      {
        name: "total",
        title: "With what it calls",
        number: true,
        value: (row) => row.total,
        cell: (row) => share(row.total),
      },
    ],
    { key: (row) => row.name, sort: "self", empty: "No function was at work." },
  );
  let text = "";
  let root = null;
  const share = (value) => `${((value / Math.max(root.count, 1)) * 100).toFixed(1)} %`;
  const result = h("div", { hidden: true }, flame.elements, h("h4", {}, "Functions by time"), table.elements);
  const nothing = h("p", { class: "dim", role: "status" });
  const draw = () => {
    if (!text) return;
    root = parse(text, { working: working.checked });
    result.hidden = !root.count;
    const all = parse(text).count;
    nothing.textContent = root.count
      ? `${number(root.count)} of ${count(all, "sample")}`
      : `No thread was at work in ${count(all, "sample")}: they waited.`;
    if (!root.count) return;
    flame.show(root);
    table.update(hottest(root));
  };
  const url = () => withQuery(panel.url, { seconds: seconds.value, hz: hz.value, format: "collapsed" });
  const take = (event) => {
    event.preventDefault();
    panel.shows(url());
    return panel.run(async () => {
      nothing.textContent = `Taking samples for ${seconds.value} s …`;
      const answer = await call(url(), { json: false }).finally(() => {
        nothing.textContent = "";
      });
      text = answer;
      panel.name(missing(text));
      save.hidden = false;
      save.href = withQuery(panel.url, { seconds: seconds.value, hz: hz.value, format: "speedscope" });
      draw();
    });
  };
  const save = h("a", { hidden: true, title: "takes another profile" }, "As speedscope JSON");
  working.addEventListener("change", draw);
  panel.tools.append(
    h(
      "form",
      { class: "inline", onsubmit: take },
      h("label", {}, "Seconds ", seconds),
      h("label", {}, "Samples a second ", hz),
      h("button", {}, "Take a profile"),
    ),
    h("label", {}, working, " at work only"),
    searchBox("Highlight", (words) => flame.root && flame.search(words)),
    save,
  );
  panel.body.append(nothing, result);
  panel.shows(url());
}

function missing(text) {
  return [...text.matchAll(/^# missing: (.*)\/(\d+)$/gm)].map(([, hostname, pid]) => ({ hostname, pid: Number(pid) }));
}
