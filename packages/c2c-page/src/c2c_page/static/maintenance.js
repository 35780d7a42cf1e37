// Read-only mode: its switch, who switched it, why, until when.

import { call, withQuery } from "./call.js";
import { countdown, h, state } from "./dom.js";
import { follow } from "./follow.js";
import { overview } from "./service.js";

export function maintenance(panel) {
  const now = h("p", { role: "status" });
  const ttl = h("input", { type: "number", min: "1", value: "600" });
  const reason = h("input", { maxlength: "200" });
  const route = withQuery(panel.url, {});
  const fields = (readonly) => ({ readonly, ttl: ttl.value, reason: reason.value });
  const turn = (readonly) =>
    panel.run(async () => {
      await call(route, { method: "POST", body: fields(readonly) });
      await Promise.all([mode.ask(), overview?.ask()]);
    });
  panel.tools.append(
    h("label", {}, "For seconds ", ttl),
    h("label", {}, "Reason ", reason),
    panel.button("Read-only", () => turn("true")),
    panel.button("Writes allowed", () => turn("false")),
  );
  panel.does(() => [route, fields("true")]);
  panel.body.append(now);
  const words = {
    null: ["passed", "Nobody has switched it: writes go to the primary."],
    false: ["passed", "Writes are allowed, said by hand."],
    true: ["degraded", "Read-only: reads go to the replica, writes are refused."],
  };
  let entry = null;
  let last = null;
  const draw = () => {
    if (!last) return;
    const [name, text] = words[String(last.current_readonly)];
    const left = entry?.expires ? ` Ends in ${countdown(entry.expires - Date.now() / 1000)}.` : "";
    const why = entry?.reason ? ` Reason: ${entry.reason}.` : "";
    if (now.textContent !== text + why + left) now.replaceChildren(state(name, text + why + left));
  };
  const mode = follow(panel, (data) => {
    last = data;
    draw();
  });
  overview?.add({
    data(data) {
      entry = data.changed.find((one) => one.what === "database") ?? null;
      draw();
    },
  });
  setInterval(draw, 1000);
}
