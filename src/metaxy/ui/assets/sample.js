// A sample: its values now and before, its errors, and the same sample in features around.

import { html } from "./vendor/preact.js";
import { useLoad } from "./data.js";
import { featureLink, href, keyPath } from "./route.js";
import { Card, Empty, FeatureLink, KeyText, Loaded, useTitle } from "./parts.js";
import { Value, typeText } from "./values.js";
import { ErrorList } from "./tabs.js";
import { RowTable } from "./rows.js";

const parsedId = (text) => {
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" ? found : {};
  } catch {
    return {};
  }
};

const ValueList = ({ columns, row }) => html`
  <dl class="values">
    ${columns.map(
      (column, i) => html`
        <div key=${column.name} class=${column.system ? "system" : ""}>
          <dt>
            ${column.name}
            <small>${typeText(column.type)}</small>
          </dt>
          <dd><${Value} of=${row[i]} column=${column} wide=${true} /></dd>
        </div>
      `,
    )}
  </dl>
`;

function Values({ columns, row }) {
  // those of Metaxy folded
  const parts = [false, true].map((system) =>
    columns.map((column, i) => [column, row[i]]).filter(([column]) => Boolean(column.system) === system),
  );
  const [own, system] = parts.map((pairs) => ({
    columns: pairs.map(([column]) => column),
    row: pairs.map(([, value]) => value),
  }));
  return html`
    <${ValueList} ...${own} />
    ${
      system.columns.length > 0 &&
      html`
        <details class="more-values">
          <summary>System columns</summary>
          <${ValueList} ...${system} />
        </details>
      `
    }
  `;
}

function Related({ title, those }) {
  if (!those?.length) return null;
  return html`
    <h2 class="part">${title}</h2>
    ${those.map(
      ({ feature, columns, rows, more, ids, error }) => html`
        <${Card}
          key=${feature}
          title=${html`
            <${FeatureLink} of=${feature} />
          `}
          note=${rows ? `${rows.length}${more ? "+" : ""} ${rows.length === 1 ? "row" : "rows"}` : ""}>
          ${
            error
              ? html`
                  <p class="soft">${error.message ?? error}</p>
                `
              : rows?.length
                ? html`
                    <${RowTable}
                      name=${feature}
                      columns=${columns}
                      rows=${rows}
                      ids=${ids ?? []}
                      label=${`Rows of ${feature}`} />
                  `
                : html`
                    <p class="soft">no row of this sample</p>
                  `
          }
        <//>
      `,
    )}
  `;
}

export function SamplePage({ name, query }) {
  const id = parsedId(query.id),
    found = useLoad(`features/${keyPath(name)}/sample.json`, { id: query.id });
  const called = Object.entries(id)
    .map(([key, value]) => `${key} = ${value}`)
    .join(", ");
  useTitle(called, name);
  return html`
    <div class="page">
      <header class="head">
        <p class="crumb">
          <a href=${href("")}>Features</a>
          ${" / "}
          <a href=${featureLink(name)}><${KeyText} of=${name} /></a>
          ${" / "}
          <a href=${featureLink(name, { tab: "rows" })}>rows</a>
        </p>
        <h1 class="sample-name">
          ${Object.entries(id).map(
            ([key, value], i) => html`
              ${i > 0 && ", "}
              <span class="soft">${key}</span>
              ${" "}${String(value)}
            `,
          )}
        </h1>
      </header>
      <${Loaded} of=${found} lines=${8}>
        ${({ columns, row, ids, earlier, errors, parents, children }) => html`
          <${Card} title="Now">
            ${
              row
                ? html`
                    <${Values} columns=${columns} row=${row} />
                  `
                : html`
                    <${Empty} title="No row now">The sample was deleted, or was not computed yet.<//>
                  `
            }
          <//>
          ${
            errors?.length > 0 &&
            html`
              <${Card} title="Errors"><${ErrorList} errors=${errors} name=${name} /><//>
            `
          }
          ${
            earlier?.length > 0 &&
            html`
              <${Card} title="Earlier" note="rows of this sample that others followed">
                <${RowTable} name=${name} columns=${columns} rows=${earlier} ids=${[]} label="Earlier rows" />
              <//>
            `
          }
          <${Related} title="In features that it is computed from" those=${parents} />
          <${Related} title="In features that are computed from it" those=${children} />
        `}
      <//>
    </div>
  `;
}
