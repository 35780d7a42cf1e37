// A line of the last values, as wide as a word.

import { svg } from "./dom.js";

const WIDTH = 80;
const HEIGHT = 20;

export function spark(values, label) {
  const most = Math.max(...values, 0) || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map(
    (value, index) => `${(index * step).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`,
  );
  const title = svg("title");
  title.textContent = label;
  const drawing = svg(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      width: WIDTH,
      height: HEIGHT,
      class: "spark",
      role: "img",
      "aria-label": label,
    },
    title,
  );
  if (points.length > 1) {
    drawing.append(
      svg("polygon", { points: `0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}` }),
      svg("polyline", { points: points.join(" ") }),
    );
  }
  return drawing;
}
