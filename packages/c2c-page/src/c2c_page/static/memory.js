// What fills the memory of each process; a type can be looked into.

import { call, withQuery } from "./call.js";
import { h, number, who } from "./dom.js";
import { Table } from "./table.js";

const LISTS = { most_common_types: "Objects", leaking_objects: "Not reachable, perhaps leaking" };

export function memory(panel) {
  const result = h("div");
  const inside = h("div");
  panel.body.append(result, inside);
  const look = (type) =>
    panel.run(async () => {
      const url = withQuery(panel.url, { analyze_type: type, limit: "20" });
      panel.shows(url);
      const answers = await call(url);
      panel.name(answers.filter((one) => one.missing || one.error));
      inside.replaceChildren(...contents(answers, type));
      inside.scrollIntoView({ block: "nearest" });
    });
  const take = () =>
    panel.run(async () => {
      panel.shows(panel.url);
      const answers = await call(panel.url);
      panel.name(answers.filter((one) => one.missing || one.error));
      const members = answers.filter((one) => one.most_common_types);
      result.replaceChildren(...Object.entries(LISTS).flatMap(([name, title]) => list(members, name, title, look)));
      inside.replaceChildren();
    });
  panel.tools.append(panel.button("Count objects", take));
}

function list(members, name, title, look) {
  const types = new Map();
  members.forEach((member, index) => {
    for (const [type, amount] of member[name] ?? []) {
      if (!types.has(type)) types.set(type, { type, counts: members.map(() => null) });
      types.get(type).counts[index] = amount;
    }
  });
  const button = new Map();
  const open = (type) => {
    if (!button.has(type))
      button.set(type, h("button", { type: "button", class: "link", onclick: () => look(type) }, type));
    return button.get(type);
  };
  const table = new Table(
    title,
    [
      { name: "type", title: "Type", head: true, wide: true, value: (row) => row.type, cell: (row) => open(row.type) },
      ...members.map((member, index) => ({
        name: `p${index}`,
        title: who(member),
        number: true,
        value: (row) => row.counts[index] ?? 0,
        cell: (row) => (row.counts[index] === null ? "" : number(row.counts[index])),
      })),
    ],
    { key: (row) => row.type, sort: "p0", empty: "None.", limit: 20 },
  );
  table.update([...types.values()]);
  return [h("h4", {}, title), ...table.elements];
}

function contents(answers, type) {
  const members = answers.filter((one) => one[type]);
  if (!members.length) return [h("p", { class: "dim" }, `No process has objects of ${type}.`)];
  return members.flatMap((member) => {
    const rows = member[type].biggest_objects ?? member[type].modules ?? [];
    const names = Object.keys(rows[0] ?? {});
    const columns = names.map((name) => ({
      name,
      title: name.replaceAll("_", " "),
      number: typeof rows[0][name] === "number",
      wide: typeof rows[0][name] !== "number",
      value: (row) => row[name],
      cell: (row) => (typeof row[name] === "number" ? number(row[name]) : h("code", {}, row[name])),
    }));
    const table = new Table(`${type} in ${who(member)}`, columns, { key: (row) => rows.indexOf(row), empty: "None." });
    table.update(rows);
    return [
      h(
        "h4",
        {},
        `${type} in ${who(member)}${member[type].timeout || member.timeout ? " (stopped after a minute)" : ""}`,
      ),
      ...table.elements,
    ];
  });
}
