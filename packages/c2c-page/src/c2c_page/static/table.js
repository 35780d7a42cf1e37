// Tables that can be sorted and searched. A row keeps its elements as long as its key stays.

import { h } from "./dom.js";

// columns: {name, title, value(row) -> what is sorted by, cell(row) -> element or text, number: true, wide: true}
export class Table {
  constructor(caption, columns, { key, sort, down = true, empty = "Nothing.", limit = 200 } = {}) {
    Object.assign(this, { columns, key, sorted: sort, down, limit, rows: [], words: [], known: new Map() });
    this.heads = columns.map((column) => this.#head(column));
    this.tbody = h("tbody");
    this.note = h("p", { class: "dim", hidden: true });
    this.empty = empty;
    const table = h(
      "table",
      {},
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, this.heads)),
      this.tbody,
    );
    this.element = h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
    this.elements = [this.element, this.note];
    this.#marks();
  }

  #head(column) {
    if (!column.value) return h("th", { scope: "col" }, column.title);
    const button = h("button", { type: "button", class: "sort", onclick: () => this.sort(column.name) }, column.title);
    return h("th", { scope: "col", class: column.number ? "number" : null }, button);
  }

  sort(name) {
    const column = this.columns.find((one) => one.name === name);
    this.down = this.sorted === name ? !this.down : Boolean(column.number);
    this.sorted = name;
    this.#marks();
    this.draw();
  }

  #marks() {
    this.columns.forEach((column, index) => {
      const mark = column.name === this.sorted ? (this.down ? "descending" : "ascending") : null;
      if (mark) this.heads[index].setAttribute("aria-sort", mark);
      else this.heads[index].removeAttribute("aria-sort");
    });
  }

  search(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.draw();
  }

  update(rows) {
    this.rows = rows;
    this.draw();
  }

  draw() {
    const column = this.columns.find((one) => one.name === this.sorted);
    let rows = this.rows.filter((row) => this.words.every((word) => this.#text(row).includes(word)));
    if (column)
      rows = rows.toSorted((one, other) => compare(column.value(one), column.value(other)) * (this.down ? -1 : 1));
    const shown = rows.slice(0, this.limit);
    this.note.hidden = shown.length > 0 && shown.length === rows.length;
    this.note.textContent = rows.length
      ? `${shown.length} of ${rows.length} are shown: search for the others.`
      : this.empty;
    this.element.hidden = !rows.length;
    this.#place(shown);
  }

  #place(rows) {
    const known = this.known;
    this.known = new Map();
    const lines = rows.map((row) => {
      const key = this.key(row);
      const line =
        known.get(key) ??
        h(
          "tr",
          {},
          this.columns.map((column) =>
            h(column.head ? "th" : "td", { class: style(column), scope: column.head ? "row" : null }),
          ),
        );
      this.known.set(key, line);
      this.columns.forEach((column, index) =>
        fill(line.children[index], column.cell ? column.cell(row) : column.value(row)),
      );
      return line;
    });
    if (
      lines.length !== this.tbody.children.length ||
      lines.some((line, index) => this.tbody.children[index] !== line)
    ) {
      this.tbody.replaceChildren(...lines);
    }
  }

  #text(row) {
    return this.columns
      .map((column) => (column.value ? String(column.value(row) ?? "") : ""))
      .join(" ")
      .toLowerCase();
  }
}

function style(column) {
  return [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;
}

// Texts that did not change stay as they are: what somebody selected or focused stays so, too.
function fill(cell, content) {
  if (content instanceof Node || Array.isArray(content)) {
    const nodes = [content].flat();
    if (nodes.length !== cell.childNodes.length || nodes.some((node, index) => cell.childNodes[index] !== node))
      cell.replaceChildren(...nodes);
    return;
  }
  const text = String(content ?? "");
  if (cell.textContent !== text) cell.textContent = text;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one ?? "").localeCompare(String(other ?? ""), "en", { numeric: true });
}

export function searchBox(label, action, value = "") {
  return h(
    "label",
    {},
    `${label} `,
    h("input", { type: "search", value, oninput: (event) => action(event.target.value) }),
  );
}
