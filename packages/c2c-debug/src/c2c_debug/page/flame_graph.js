
"use strict";
// Draws the collapsed stacks of #flame-data into #flame, roots at the top.
(() => {
  const stacks = JSON.parse(document.getElementById("flame-data").textContent).split("\n").filter(Boolean);
  const place = document.getElementById("flame");
  const detail = document.getElementById("flame-detail");
  const controls = document.getElementById("flame-controls");
  const search = document.getElementById("flame-search");
  const working = document.getElementById("flame-working");
  const found = document.getElementById("flame-found");
  const ROW = 18, NARROWEST = 0.6;
  let root, zoomed;

  // The tree of the stacks; without those that wait where only work is wanted.
  const grow = (only) => {
    const top = { text: "all", count: 0, self: 0, children: [], below: new Map() };
    for (const line of stacks) {
      const end = line.lastIndexOf(" "), count = Number(line.slice(end + 1));
      const path = line.slice(0, end).split(";");
      if (only && path[path.length - 1].startsWith("waiting: ")) continue;
      top.count += count;
      let node = top;
      for (const text of path) {
        let child = node.below.get(text);
        if (!child) {
          child = { text, parent: node, count: 0, self: 0, children: [], below: new Map() };
          node.below.set(text, child);
          node.children.push(child);
        }
        child.count += count;
        node = child;
      }
      node.self += count;
    }
    const sort = (node) => { node.children.sort((a, b) => b.count - a.count); node.children.forEach(sort); };
    sort(top);
    return top.count > 0 ? top : null;
  };

  const colour = (text) => {
    if (text.startsWith("waiting: ")) return "hsl(210 10% 78%)";
    const file = /\(([^)]*?)(?::\d+)?\)$/.exec(text);
    const key = file ? file[1].split("/")[0] : text;
    let hash = 0;
    for (const sign of key) hash = (hash * 31 + sign.charCodeAt(0)) >>> 0;
    return `hsl(${8 + (hash % 52)} ${65 + (hash >> 8) % 25}% ${62 + (hash >> 16) % 14}%)`;
  };

  const amount = (count) => `${count} samples`;
  const share = (count) => `${(100 * count / root.count).toFixed(1)} %`;
  const describe = (node) => {
    detail.textContent = `${node.text}: ${amount(node.count)} (${share(node.count)}), itself ${amount(node.self)}`;
  };

  const draw = () => {
    place.textContent = "";
    found.textContent = "";
    if (!root) { detail.textContent = "No thread was at work."; place.style.height = "0"; return; }
    const wanted = search.value.trim().toLowerCase();
    const width = place.clientWidth;
    let deepest = 0, matching = 0;
    const add = (node, left, size, depth, ancestor) => {
      const frame = document.createElement("button");
      frame.type = "button";
      frame.className = ancestor ? "frame ancestor" : "frame";
      const hit = wanted && node.text.toLowerCase().includes(wanted);
      if (hit) frame.classList.add("found");
      frame.style.background = colour(node.text);
      frame.style.left = `${left}px`;
      frame.style.width = `${size}px`;
      frame.style.top = `${depth * ROW}px`;
      if (size > 24) frame.textContent = node.text;
      frame.title = `${node.text}\n${amount(node.count)} (${share(node.count)})`;
      frame.addEventListener("mouseenter", () => describe(node));
      frame.addEventListener("focus", () => describe(node));
      frame.addEventListener("click", () => { zoomed = node; draw(); describe(node); });
      place.append(frame);
      deepest = Math.max(deepest, depth);
      return hit;
    };
    const ancestors = [];
    for (let node = zoomed.parent; node; node = node.parent) ancestors.unshift(node);
    ancestors.forEach((node, depth) => add(node, 0, width, depth, true));
    const scale = width / zoomed.count;
    const below = (node, left, depth, counted) => {
      const size = node.count * scale;
      if (size < NARROWEST) return;
      const hit = add(node, left, size, depth, false);
      if (hit && !counted) matching += node.count;
      let at = left;
      for (const child of node.children) {
        below(child, at, depth + 1, counted || hit);
        at += child.count * scale;
      }
    };
    below(zoomed, 0, ancestors.length, false);
    place.style.height = `${(deepest + 1) * ROW}px`;
    if (wanted) found.textContent = `${share(matching)} found`;
  };

  const begin = () => { root = zoomed = grow(working.checked); draw(); };
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(begin));
  working.addEventListener("change", begin);
  search.addEventListener("input", draw);
  addEventListener("resize", draw);
  begin();
})();
