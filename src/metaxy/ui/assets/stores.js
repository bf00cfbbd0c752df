// The configured stores, and what can be said of each.

import { html } from "./vendor/preact.js";
import { exported, useLoad } from "./data.js";
import { bytes, number } from "./format.js";
import { Card, Empty, Facts, Failure, Loaded, Sign, useTitle } from "./parts.js";

function StoreCard({ store, project }) {
  const { name, type, info, error, tables, fallbacks } = store;
  const title = html`
    <${Sign} of=${error ? "error" : "up_to_date"} label=${error ? "cannot be reached" : "can be reached"} />
    ${name}${
      store.is_default &&
      html`
        <span class="chip tiny">default</span>
      `
    }
  `;
  const switches = !exported() && project && (project.stores ?? []).length > 1;
  return html`
    <${Card}
      title=${title}
      note=${
        switches &&
        html`
          <a href=${`#/?store=${encodeURIComponent(name)}`}>Show this store</a>
        `
      }>
      ${
        error &&
        html`
          <${Failure} error=${{ message: error }} />
        `
      }
      <${Facts}
        of=${[
          ["type", type],
          ["where", info],
          ["tables", tables === null ? null : number(tables)],
          ["size", store.size_bytes === null ? null : bytes(store.size_bytes)],
          ["reads also from", fallbacks.length ? fallbacks.join(", ") : null],
        ]} />
    <//>
  `;
}

export function StoresPage({ project }) {
  const found = useLoad("stores.json");
  useTitle("Stores");
  return html`
    <div class="page">
      <header class="head">
        <h1>Stores</h1>
        <p class="lead">Where metadata is kept. Passwords and keys are never shown.</p>
      </header>
      <${Loaded} of=${found} lines=${6}>
        ${(answer) => {
          const { stores } = answer;
          return stores.length
            ? html`
                <div class="stores">
                  ${stores.map(
                    (store) => html`
                      <${StoreCard} key=${store.name} store=${store} project=${project} />
                    `,
                  )}
                </div>
              `
            : html`
                <${Empty} title="No stores">
                  Configure one in${" "}
                  <code>metaxy.toml</code>
                  .
                <//>
              `;
        }}
      <//>
    </div>
  `;
}
