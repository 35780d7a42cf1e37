// What the page does with JavaScript: each part that the server described comes alive, by its kind.

import { answers } from "./answers.js";
import { table } from "./anything.js";
import { enhance } from "./forms.js";
import { differences, problems, running } from "./glances.js";
import { health } from "./health.js";
import { history } from "./history.js";
import { keys } from "./keys.js";
import { levels } from "./levels.js";
import { members, settings, versions } from "./lists.js";
import { maintenance } from "./maintenance.js";
import { memory } from "./memory.js";
import { Panel } from "./panel.js";
import { profile } from "./profile.js";
import { sql } from "./sql.js";
import { stacks } from "./stacks.js";
import { timings } from "./timings.js";

const KINDS = {
  differences,
  health,
  history,
  levels,
  maintenance,
  members,
  memory,
  problems,
  profile,
  running,
  settings,
  sql,
  stacks,
  table,
  timings,
  versions,
};

document.documentElement.classList.add("alive");
for (const details of document.querySelectorAll("details.raw")) details.open = false;
for (const element of document.querySelectorAll(".live")) (KINDS[element.dataset.kind] ?? table)(new Panel(element));
enhance(document);
answers();
keys();
