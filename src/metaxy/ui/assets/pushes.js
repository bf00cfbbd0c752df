// What was pushed, newest first.

import { html } from "./vendor/preact.js";
import { exported, useLoad } from "./data.js";
import { href } from "./route.js";
import { plural } from "./format.js";
import { Empty, Hash, Loaded, Time, useTitle } from "./parts.js";

function tagText(value) {
  // tags of tools are JSON
  try {
    const found = JSON.parse(value);
    return found && typeof found === "object" ? Object.values(found).join(", ") : String(value);
  } catch {
    return String(value);
  }
}

const Push = ({ push, before, isLast }) => html`
  <li>
    <span class="dot" aria-hidden="true"></span>
    <p class="what">
      <b><${Time} at=${push.recorded_at} /></b>
      <${Hash} of=${push.project_version} />
      <span class="soft">${plural(push.feature_count, "feature")}</span>
      <span class="soft">${push.project}</span>
      ${
        !exported() &&
        html`
          <span class="right links">
            ${
              before &&
              html`
                <a href=${href("diff", { from: before.project_version, to: push.project_version })}>What it changed</a>
              `
            }
            <a href=${href("diff", { from: push.project_version })}>Compare with the code</a>
          </span>
        `
      }
    </p>
    ${
      Object.keys(push.tags ?? {}).length > 0 &&
      html`
        <p class="tags-line">
          ${Object.entries(push.tags).map(
            ([name, value]) => html`
              <span key=${name} class="chip tiny">
                <span class="soft">${name}</span>
                ${" "}${tagText(value)}
              </span>
            `,
          )}
        </p>
      `
    }
  </li>
`;

export function HistoryPage() {
  const found = useLoad("history.json");
  useTitle("History");
  return html`
    <div class="page">
      <header class="head">
        <h1>History</h1>
        <p class="lead">Versions of the project that were recorded in this store.</p>
      </header>
      <${Loaded} of=${found} lines=${6}>
        ${(answer) => {
          const { pushes } = answer;
          return pushes.length
            ? html`
                <ol class="timeline">
                  ${pushes.map(
                    (push, at) => html`
                      <${Push} key=${push.project_version + push.recorded_at} push=${push} before=${pushes[at + 1]} />
                    `,
                  )}
                </ol>
              `
            : html`
                <${Empty} title="Nothing was pushed yet">
                  <code>mx push</code>
                  ${" "}records the features of the project, so that later versions can be compared with them.
                <//>
              `;
        }}
      <//>
    </div>
  `;
}
