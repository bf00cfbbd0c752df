// The first tab of a feature: what the store has, what runs, its fields, columns, and what is around it.

import { html } from "./vendor/preact.js";
import { useLoad } from "./data.js";
import { bytes, duration, number, plural } from "./format.js";
import { featureLink, href } from "./route.js";
import { Card, Facts, Failure, FeatureLink, Figure, Hash, Prose, Scroll, Skeleton, Time } from "./parts.js";
import { countText } from "./counts.js";

const WATCHED = 15_000; // milliseconds between two looks at what runs
const INITIAL = "__metaxy_initial__"; // the code version of fields that say none

function InStore({ counts }) {
  const { data: found, error, again } = counts;
  if (error && !found)
    return html`
      <${Card} title="In the store"><${Failure} error=${error} again=${again} /><//>
    `;
  if (!found)
    return html`
      <${Card} title="In the store"><${Skeleton} kind="figures" lines=${5} /><//>
    `;
  const unit = found.by_parents ? "parents" : null,
    many = (value, tone) => (value ? tone : "");
  const isRoot = found.state === "root_feature";
  return html`
    <${Card}
      title="In the store"
      note=${
        found.as_of &&
        html`
          counted${" "}
          <${Time} at=${found.as_of} relative=${true} />
        `
      }>
      ${
        found.error &&
        html`
          <${Failure} error=${{ message: found.error }} />
        `
      }
      ${
        found.is_old &&
        html`
          <p class="soft">The store is busy: this is what it had before.</p>
        `
      }
      <dl class="figures">
        <${Figure} name="rows" value=${found.rows} />
        ${
          !isRoot &&
          html`
            <${Figure} name="missing" value=${found.missing} tone=${many(found.missing, "needs_update")} note=${unit} />
            <${Figure} name="stale" value=${found.stale} tone=${many(found.stale, "needs_update")} note=${unit} />
            <${Figure} name="orphaned" value=${found.orphaned} tone=${many(found.orphaned, "needs_update")} />
          `
        }
        <${Figure} name="failed" value=${found.failed} tone=${many(found.failed, "error")} />
        <${Figure} name="size" value=${found.size_bytes == null ? null : bytes(found.size_bytes)} />
        <${Figure}
          name="last write"
          value=${
            found.last_write &&
            html`
              <${Time} at=${found.last_write} relative=${true} />
            `
          } />
      </dl>
    <//>
  `;
}

function Activity({ path, counts }) {
  const found = useLoad(`${path}/activity.json`, {}, { every: WATCHED }),
    now = found.data;
  if (!now?.last_minute && !(now?.last_10_minutes && now.left)) return null;
  const { left = null } = now,
    rate = now.last_minute ? now.rate : null,
    { rows = 0, missing = left } = counts.data ?? {},
    all = rows + missing,
    done = all && left !== null ? Math.max(0, all - left) / all : 1;
  return html`
    <${Card} title=${now.last_minute && left !== 0 ? "Running" : "Ran a moment ago"} note="rows that were written" kind="running">
      ${
        left !== null &&
        html`
          <progress max="100" value=${(100 * done).toFixed(1)} aria-label="How far it is">
            ${Math.round(100 * done)} %
          </progress>
          <p class="progress-line">
            <b>${Math.floor(100 * done)} %</b>
            <span>${plural(left, "sample")} left</span>
            ${
              rate
                ? html`
                    <span>${number(Math.round(rate * 60))} per minute</span>
                  `
                : null
            }${
              rate &&
              left > 0 &&
              now.seconds_left != null &&
              html`
                <span>about ${duration(now.seconds_left)} to go</span>
              `
            }
          </p>
        `
      }
      <dl class="figures small">
        <${Figure} name="last minute" value=${now.last_minute} />
        <${Figure} name="10 minutes" value=${now.last_10_minutes} />
        <${Figure} name="hour" value=${now.last_hour} />
      </dl>
    <//>
  `;
}

const parentsOf = (field) => (field.deps ?? []).flatMap(({ feature, fields }) => fields.map((name) => [feature, name]));

function Fields({ about, chosen }) {
  return html`
    <${Card} title="Fields" note=${plural(about.fields.length, "field")}>
      <${Scroll} label="Fields">
        <table>
          <thead>
            <tr>
              <th scope="col">field</th>
              <th scope="col">code version</th>
              <th scope="col">version</th>
              <th scope="col">computed from</th>
            </tr>
          </thead>
          <tbody>
            ${about.fields.map(
              (field) => html`
                <tr key=${field.key} class=${field.key === chosen ? "on" : ""}>
                  <th scope="row">${field.key}</th>
                  <td>
                    ${
                      field.code_version === INITIAL
                        ? html`
                            <span class="soft" title=${INITIAL}>initial</span>
                          `
                        : html`
                            <code class="code-version" title=${field.code_version}>${field.code_version}</code>
                          `
                    }
                  </td>
                  <td><${Hash} of=${field.version} /></td>
                  <td class="wrap">
                    ${
                      parentsOf(field).length
                        ? parentsOf(field).map(
                            ([feature, name], i) => html`
                              ${i > 0 && ", "}
                              <a key=${feature + name} href=${featureLink(feature, { field: name })}>
                                ${feature}.${name}
                              </a>
                            `,
                          )
                        : html`
                            <span class="soft">nothing: its versions are given</span>
                          `
                    }
                  </td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      <//>
    <//>
  `;
}

function Columns({ about }) {
  const columns = (about.columns ?? []).filter(({ name }) => !name.startsWith("metaxy_"));
  if (!columns.length) return null;
  const inherited = columns.some(({ sources }) => sources.length);
  return html`
    <${Card} title="Columns" note="that are declared">
      <${Scroll} label="Columns">
        <table>
          <thead>
            <tr>
              <th scope="col">column</th>
              <th scope="col">type</th>
              ${
                inherited &&
                html`
                  <th scope="col">from</th>
                `
              }
            </tr>
          </thead>
          <tbody>
            ${columns.map(
              (column) => html`
                <tr key=${column.name}>
                  <th scope="row">
                    ${column.name}${
                      about.id_columns.includes(column.name) &&
                      html`
                        <span class="chip tiny">ID</span>
                      `
                    }
                  </th>
                  <td><code>${column.type}</code></td>
                  ${
                    inherited &&
                    html`
                      <td class="wrap">
                        ${column.sources.map(
                          (each) => html`
                            <${FeatureLink} key=${each.feature} of=${each.feature}>
                              ${each.feature}${each.column ? `.${each.column}` : ""}
                            <//>
                          `,
                        )}
                      </td>
                    `
                  }
                </tr>
              `,
            )}
          </tbody>
        </table>
      <//>
    <//>
  `;
}

const relationOf = (dep) =>
  [
    dep.lineage,
    dep.optional && "optional",
    dep.select && `only ${dep.select.join(", ")}`,
    dep.rename &&
      Object.entries(dep.rename)
        .map(([from, to]) => `${from} as ${to}`)
        .join(", "),
    ...(dep.filters ?? []),
  ]
    .filter(Boolean)
    .join(" · ");

function Relations({ title, those, empty }) {
  return html`
    <${Card} title=${title}>
      ${
        those.length
          ? html`
              <ul class="relations">
                ${those.map(
                  (dep) => html`
                    <li key=${dep.feature}>
                      <${FeatureLink} of=${dep.feature} />
                      ${
                        relationOf(dep) &&
                        html`
                          <span class="soft">${relationOf(dep)}</span>
                        `
                      }
                    </li>
                  `,
                )}
              </ul>
            `
          : html`
              <p class="soft">${empty}</p>
            `
      }
    <//>
  `;
}

export function Summary({ name, path, about, counts, query }) {
  const extra = Object.entries(about.metadata ?? {}).map(([key, value]) => [
    key,
    typeof value === "string"
      ? value
      : html`
          <code>${JSON.stringify(value)}</code>
        `,
  ]);
  const text = about.description;
  return html`
    <div class="split">
      <div class="wide">
        <${Activity} path=${path} counts=${counts} />
        <${InStore} counts=${counts} />
        ${
          text &&
          text.trim().includes("\n") &&
          html`
            <${Card} title="About"><${Prose} text=${text} /><//>
          `
        }
        <${Fields} about=${about} chosen=${query.field} />
        <${Columns} about=${about} />
      </div>
      <div class="narrow">
        <${Relations}
          title="Depends on"
          those=${about.dependencies}
          empty="Nothing: it is a root, others give its versions." />
        <${Relations} title="Needed by" those=${about.dependents} empty="Nothing yet." />
        <${Card}
          title="Definition"
          note=${html`
            <a href=${href("", { feature: name })}>Show in the graph</a>
          `}>
          <${Facts}
            of=${[
              ["module", about.source],
              ["project", about.project],
              ["ID columns", about.id_columns.join(", ")],
              [
                "version",
                html`
                  <${Hash} of=${about.version} />
                `,
              ],
              ...extra,
            ]} />
        <//>
      </div>
    </div>
  `;
}
