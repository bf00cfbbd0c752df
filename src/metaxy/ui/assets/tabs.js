// Statistics of columns, errors, claims and versions of a feature.

import { html } from "./vendor/preact.js";
import { exported, useLoad } from "./data.js";
import { number, plural } from "./format.js";
import { featureLink, go, href, sampleLink } from "./route.js";
import { Card, Empty, Hash, Loaded, Scroll, Time } from "./parts.js";
import { Value, typeText } from "./values.js";

const POLL_CLAIMS = 15_000;

function Share({ of, all, name }) {
  // how many of all: as a number and as a bar
  if (of === null || of === undefined)
    return html`
      <span class="soft">–</span>
    `;
  const share = all ? (100 * of) / all : 0;
  return html`
    <span class="share" title=${all ? `${share.toFixed(1)} % of ${plural(all, "row")} are ${name}` : ""}>
      <span>${number(of)}</span>
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect class="all" width="100" height="4" rx="2" />
        <rect class="part" width=${share ? Math.max(2, share) : 0} height="4" rx="2" />
      </svg>
    </span>
  `;
}

export function ColumnsTab({ path }) {
  const found = useLoad(`${path}/columns.json`);
  return html`
    <${Loaded} of=${found} kind="table" lines=${6}>
      ${({ rows, columns }) =>
        rows === 0 || !columns.length
          ? html`
              <${Empty} title="No rows yet">There is nothing to count.<//>
            `
          : html`
              <p class="soft counted">${rows != null && `Counted over ${plural(rows, "row")}, in the store.`}</p>
              <${Scroll} label="Statistics of columns">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">column</th>
                      <th scope="col">type</th>
                      <th scope="col">NULL</th>
                      <th scope="col">distinct</th>
                      <th scope="col">least</th>
                      <th scope="col">greatest</th>
                      <th scope="col" class="number">mean</th>
                    </tr>
                  </thead>
                  <tbody>
                    ${columns.map(
                      (column) => html`
                        <tr key=${column.name}>
                          <th scope="row">${column.name}</th>
                          <td><code>${typeText(column.type)}</code></td>
                          <td><${Share} of=${column.nulls} all=${rows} name="NULL" /></td>
                          <td><${Share} of=${column.distinct} all=${rows} name="different values" /></td>
                          <td class="stat"><${Stat} of=${column.least} column=${column} /></td>
                          <td class="stat"><${Stat} of=${column.greatest} column=${column} /></td>
                          <td class="number">
                            ${
                              column.mean == null
                                ? html`
                                    <span class="soft">–</span>
                                  `
                                : typeof column.mean === "number"
                                  ? Number(column.mean.toPrecision(6)).toLocaleString("en-US")
                                  : column.mean
                            }
                          </td>
                        </tr>
                      `,
                    )}
                  </tbody>
                </table>
              <//>
            `}
    <//>
  `;
}

const Stat = ({ of, column }) =>
  of === null || of === undefined
    ? html`
        <span class="soft">–</span>
      `
    : html`
        <${Value} of=${of} column=${{ type: column.type }} />
      `;

const sampleName = (ids) =>
  Object.entries(ids)
    .map(([name, value]) => `${name} = ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");

export function ErrorsTab({ name, path, query }) {
  const all = query.all === "1",
    found = useLoad(`${path}/errors.json`, all ? { all: 1 } : {});
  return html`
    <div class="toolbar">
      <label class="check">
        <input
          type="checkbox"
          checked=${all}
          onChange=${(event) => go(featureLink(name, { tab: "errors", all: event.target.checked ? "1" : "" }))} />
        all attempts, also those that others followed
      </label>
    </div>
    <${Loaded} of=${found} lines=${5}>
      ${(answer) => {
        const { errors } = answer;
        return errors.length
          ? html`
              <${ErrorList} errors=${errors} name=${name} />
            `
          : html`
              <${Empty} title="No errors">Every sample that was tried could be computed.<//>
            `;
      }}
    <//>
  `;
}

export const ErrorList = ({ errors, name }) => html`
  <ul class="errors">
    ${errors.map(
      (error, at) => html`
        <li key=${at}>
          <p class="what">
            <b>${error.error_type}</b>
            ${
              error.ids &&
              html`
                <a href=${exported() ? undefined : sampleLink(name, error.ids)}>${sampleName(error.ids)}</a>
              `
            }
            <span class="soft">attempt ${number(error.attempt)}</span>
            <span class="soft right"><${Time} at=${error.recorded_at} relative=${true} /></span>
          </p>
          ${
            error.error_message != null &&
            html`
              <pre>
${typeof error.error_message === "object" ? `${error.error_message.text}…` : error.error_message}</pre>
            `
          }
        </li>
      `,
    )}
  </ul>
`;

export function ClaimsTab({ path }) {
  const found = useLoad(`${path}/claims.json`, {}, { every: POLL_CLAIMS });
  return html`
    <${Loaded} of=${found} kind="table" lines=${3}>
      ${(answer) => {
        const { claims } = answer;
        return claims.length
          ? html`
              <${ClaimTable} claims=${claims} />
            `
          : html`
              <${Empty} title="No claims">No worker holds samples of this feature.<//>
            `;
      }}
    <//>
  `;
}

const ClaimTable = ({ claims }) => html`
  <${Scroll} label="Claims">
    <table>
      <thead>
        <tr>
          <th scope="col">worker</th>
          <th scope="col" class="number">samples</th>
          <th scope="col">taken</th>
          <th scope="col">lease</th>
        </tr>
      </thead>
      <tbody>
        ${claims.map(
          (claim) => html`
            <tr key=${claim.token}>
              <th scope="row">${claim.worker}</th>
              <td class="number">${number(claim.samples)}</td>
              <td><${Time} at=${claim.taken_at} relative=${true} /></td>
              <td>
                ${
                  claim.is_live
                    ? "until"
                    : html`
                        <span class="chip tiny needs_update">expired</span>
                      `
                }${" "}
                <${Time} at=${claim.expires_at} relative=${!claim.is_live} />
              </td>
            </tr>
          `,
        )}
      </tbody>
    </table>
  <//>
`;

export function VersionsTab({ path }) {
  const found = useLoad(`${path}/history.json`);
  return html`
    <${Loaded} of=${found} lines=${5}>
      ${(answer) => {
        const { versions } = answer;
        return versions.length
          ? html`
              <${VersionList} versions=${versions} />
            `
          : html`
              <${Empty} title="Never pushed">
                Versions are recorded by${" "}
                <code>mx push</code>
                .
              <//>
            `;
      }}
    <//>
  `;
}

const compared = (version, before) => href("diff", { from: before.project_version, to: version.project_version });

const VersionList = ({ versions }) => html`
  <ol class="timeline">
    ${versions.map((version, at) => {
      const before = versions[at + 1];
      return html`
        <li key=${version.feature_version + version.recorded_at}>
          <span class="dot" aria-hidden="true"></span>
          <p class="what">
            <${Hash} of=${version.feature_version} />
            <span class="soft">
              recorded${" "}
              <${Time} at=${version.recorded_at} />
            </span>
            ${
              version.project_version &&
              html`
                <span class="soft">
                  project${" "}
                  <${Hash} of=${version.project_version} />
                </span>
              `
            }${
              version.is_current &&
              html`
                <span class="chip tiny">current</span>
              `
            }${
              before?.project_version &&
              before.project_version !== version.project_version &&
              html`
                <a class="right" href=${compared(version, before)}>Compare</a>
              `
            }
          </p>
          ${
            version.changes?.length > 0 &&
            html`
              <ul class="changes">
                ${version.changes.map(
                  (change, i) => html`
                    <li key=${i}>${typeof change === "string" ? change : JSON.stringify(change)}</li>
                  `,
                )}
              </ul>
            `
          }
        </li>
      `;
    })}
  </ol>
`;
