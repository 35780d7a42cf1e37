// A part that asks one address again and again.

import { source } from "./source.js";

export function follow(panel, draw, options = {}) {
  const found = source(new URL(panel.url, location.href).href, panel.every);
  found.add(
    {
      busy: (yes) => panel.busy(yes),
      error: (error) => panel.error(error),
      data(data, ms) {
        panel.done(ms);
        draw(data);
      },
    },
    { element: panel.element, ...options },
  );
  return found;
}
