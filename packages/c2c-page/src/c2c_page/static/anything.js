// Any JSON at all, as a table where it is one.

import { call } from "./call.js";
import { h } from "./dom.js";
import { follow } from "./follow.js";
import { Table } from "./table.js";

// Any JSON: a list of objects is a table, an object is one of names and values.
export function table(panel) {
  const place = h("div");
  panel.body.append(place);
  const draw = (data) => {
    if (Array.isArray(data?.missing)) panel.name(data.missing, data.complete ?? true);
    place.replaceChildren(...anything(data, panel.title));
  };
  if (panel.every) follow(panel, draw);
  else panel.tools.append(panel.button("Show", () => panel.run(async () => draw(await call(panel.url)))));
}

export function anything(data, title) {
  const list = Array.isArray(data) ? data : null;
  if (list?.length && list.every((one) => one && typeof one === "object" && !Array.isArray(one))) {
    const names = [...new Set(list.flatMap(Object.keys))];
    const made = new Table(
      title,
      names.map((name) => ({
        name,
        title: name.replaceAll("_", " "),
        number: typeof list[0][name] === "number",
        value: (row) => plain(row[name]),
      })),
      { key: (row) => list.indexOf(row), limit: 500 },
    );
    made.update(list);
    return made.elements;
  }
  const simple =
    data &&
    typeof data === "object" &&
    !list &&
    Object.values(data).every((one) => typeof one !== "object" || one === null);
  if (simple)
    return [
      h(
        "dl",
        {},
        Object.entries(data).flatMap(([name, value]) => [
          h("dt", {}, name.replaceAll("_", " ")),
          h("dd", {}, plain(value)),
        ]),
      ),
    ];
  const text = typeof data === "string" ? data : JSON.stringify(data, null, 2);
  const most = 100_000;
  return [
    h(
      "pre",
      { tabindex: "0", role: "region", "aria-label": title },
      text.length > most ? `${text.slice(0, most)}\n…` : text,
    ),
  ];
}

function plain(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : (value ?? "");
}
