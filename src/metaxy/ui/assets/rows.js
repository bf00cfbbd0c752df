// Rows of a feature, page by page, with a filter.

import { html, useEffect, useState } from "./vendor/preact.js";
import { exported, useLoad } from "./data.js";
import { number } from "./format.js";
import { featureLink, go, sampleLink } from "./route.js";
import { Empty, Failure, Loaded, Scroll } from "./parts.js";
import { Value, isNumber, typeText } from "./values.js";

const PAGE_SIZES = [25, 50, 100, 250];
const USUAL = 50;

export const idOf = (columns, row, ids) =>
  Object.fromEntries(ids.map((name) => [name, row[columns.findIndex((column) => column.name === name)]]));

export function RowTable({ name, columns, rows, ids, label }) {
  const first = columns.findIndex((column) => ids.includes(column.name)),
    canOpen = !exported() && ids.every((id) => columns.some((column) => column.name === id));
  const cell = (value, column, i, row) =>
    i === first && canOpen && ids.every((id) => typeof row[columns.findIndex((each) => each.name === id)] !== "object")
      ? html`
          <th scope="row">
            <a href=${sampleLink(name, idOf(columns, row, ids))}>
              <${Value} of=${value} column=${{ ...column, media: null }} plain=${true} />
            </a>
          </th>
        `
      : html`
          <td
            class=${`${isNumber(column.type) ? "number" : ""} ${column.system ? "system" : ""} ${column.media ?? ""}`}>
            <${Value} of=${value} column=${column} />
          </td>
        `;
  return html`
    <${Scroll} label=${label} kind="rows">
      <table>
        <thead>
          <tr>
            ${columns.map(
              (column) => html`
                <th
                  scope="col"
                  key=${column.name}
                  class=${`${isNumber(column.type) ? "number" : ""} ${column.system ? "system" : ""}`}
                  title=${column.type}>
                  ${column.name}
                  <small>${typeText(column.type)}</small>
                </th>
              `,
            )}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row, at) => html`
              <tr key=${at}>${columns.map((column, i) => cell(row[i], column, i, row))}</tr>
            `,
          )}
        </tbody>
      </table>
    <//>
  `;
}

function FilterBox({ filter, apply, columns, ids }) {
  const [text, setText] = useState(filter);
  useEffect(() => setText(filter), [filter]);
  const example = columns?.find((column) => isNumber(column.type))?.name;
  return html`
    <form
      class="filter"
      role="search"
      onSubmit=${(event) => {
        event.preventDefault();
        apply(text.trim());
      }}>
      <input
        type="search"
        aria-label="Filter rows"
        placeholder=${`Filter, for example: ${example ? `${example} > 10` : `${ids[0]} = 'a'`}`}
        value=${text}
        spellcheck=${false}
        autocapitalize="off"
        onInput=${(event) => {
          setText(event.target.value);
          if (!event.target.value && filter) apply("");
        }} />
      <button type="submit">Apply</button>
    </form>
  `;
}

export function RowsTab({ name, path, about, counts, query }) {
  const limit = Number(query.limit) || USUAL,
    offset = Number(query.offset) || 0,
    system = query.system === "1",
    filter = query.filter ?? "";
  const asked = exported() ? {} : { limit, offset, filter, system: system ? 1 : "" };
  const found = useLoad(`${path}/rows.json`, asked);
  const change = (changes) => go(featureLink(name, { ...query, store: undefined, tab: "rows", ...changes }));
  const shown = found.data?.rows.length ?? 0,
    all = !filter && counts.data?.rows,
    fixed = exported();
  const range = shown
    ? `${number(offset + 1)}–${number(offset + shown)}${all && all >= offset + shown ? ` of ${number(all)}` : ""}`
    : "";
  return html`
    <div class="rows-tab">
      ${
        !fixed &&
        found.error?.status !== 403 &&
        html`
          <div class="toolbar">
            <${FilterBox}
              filter=${filter}
              columns=${found.data?.columns}
              ids=${about.id_columns}
              apply=${(text) => change({ filter: text, offset: "" })} />
            <label class="check">
              <input
                type="checkbox"
                checked=${system}
                onChange=${(event) => change({ system: event.target.checked ? "1" : "" })} />
              system columns
            </label>
          </div>
        `
      }
      ${
        found.error && found.data
          ? html`
              <${Failure} error=${found.error} again=${found.again} />
            `
          : null
      }
      <${Loaded} of=${{ ...found, error: found.data ? null : found.error }} kind="table" lines=${10}>
        ${({ columns, rows, more }) => html`
          ${
            rows.length
              ? html`
                  <${RowTable}
                    name=${name}
                    columns=${columns}
                    rows=${rows}
                    ids=${about.id_columns}
                    label=${`Rows of ${name}`} />
                `
              : html`
                  <${Empty} title=${filter ? "No row matches" : offset ? "There are no more rows" : "No rows yet"}>
                    ${filter ? "The filter leaves nothing." : "Nothing was written for this version of the feature."}
                  <//>
                `
          }
          <div class="pager">
            <span class="soft" aria-live="polite">${range}</span>
            ${
              fixed
                ? more &&
                  html`
                    <span class="soft">the first rows, as they were exported</span>
                  `
                : html`
                    <label class="soft">
                      rows per page${" "}
                      <select
                        value=${String(limit)}
                        onChange=${(event) => change({ limit: Number(event.target.value) === USUAL ? "" : event.target.value, offset: "" })}>
                        ${PAGE_SIZES.map(
                          (size) => html`
                            <option key=${size} value=${String(size)}>${size}</option>
                          `,
                        )}
                      </select>
                    </label>
                    <span class="right">
                      <button
                        type="button"
                        disabled=${!offset}
                        onClick=${() => change({ offset: Math.max(0, offset - limit) || "" })}>
                        ← Previous
                      </button>
                      <button type="button" disabled=${!more} onClick=${() => change({ offset: offset + limit })}>
                        Next →
                      </button>
                    </span>
                  `
            }
          </div>
        `}
      <//>
    </div>
  `;
}
