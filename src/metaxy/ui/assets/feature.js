// A feature: what it is, where it stands, its rows, columns, errors, claims and history.

import { html, useEffect } from "./vendor/preact.js";
import { useLoad } from "./data.js";
import { featureLink, href, keyPath } from "./route.js";
import { KeyText, Loaded, StateChip, Hash, useTitle, Skeleton } from "./parts.js";
import { number, firstLine } from "./format.js";
import { Summary } from "./summary.js";
import { RowsTab } from "./rows.js";
import { ColumnsTab, ErrorsTab, ClaimsTab, VersionsTab } from "./tabs.js";

const POLL = 20_000;
const TABS = [
  ["", "Summary", Summary],
  ["rows", "Rows", RowsTab],
  ["columns", "Columns", ColumnsTab],
  ["errors", "Errors", ErrorsTab],
  ["claims", "Claims", ClaimsTab],
  ["history", "History", VersionsTab],
];
const OF_ROWS = ["rows", "columns"];

function TabBar({ name, at, counts, project }) {
  const shown = TABS.filter(([tab]) => project?.rows !== false || !OF_ROWS.includes(tab));
  const countOf = { rows: counts?.rows, errors: counts?.failed };
  useEffect(() => {
    document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [at]);
  return html`
    <nav class="tabs" aria-label="Of this feature">
      ${shown.map(
        ([tab, title]) => html`
          <a key=${tab} href=${featureLink(name, { tab })} aria-current=${tab === at ? "page" : undefined}>
            ${title}${
              countOf[tab]
                ? html`
                    <b class=${tab}>${number(countOf[tab])}</b>
                  `
                : null
            }
          </a>
        `,
      )}
    </nav>
  `;
}

export function FeaturePage({ name, query, project }) {
  const path = `features/${keyPath(name)}`,
    about = useLoad(`${path}/about.json`),
    counts = useLoad(`${path}/counts.json`, {}, { every: POLL });
  const at = TABS.some(([tab]) => tab === query.tab) ? query.tab : "",
    [, title, Tab] = TABS.find(([tab]) => tab === at);
  useTitle(at && title, name);
  return html`
    <div class="page">
      <header class="head">
        <p class="crumb"><a href=${href("")}>Features</a></p>
        <h1><${KeyText} of=${name} /></h1>
        <p class="under">
          ${
            counts.data
              ? html`
                  <${StateChip} state=${counts.data.error ? "error" : counts.data.state} />
                `
              : !counts.error &&
                html`
                  <span class="chip pending">counting…</span>
                `
          }
          ${
            about.data &&
            html`
              <span class="soft">${about.data.project}</span>
              <span class="soft">
                version${" "}
                <${Hash} of=${about.data.version} />
              </span>
            `
          }
          ${
            about.data?.is_external &&
            html`
              <span class="chip">external</span>
            `
          }
        </p>
        ${
          about.data &&
          firstLine(about.data.description) &&
          html`
            <p class="lead">${firstLine(about.data.description)}</p>
          `
        }
      </header>
      <${TabBar} name=${name} at=${at} counts=${counts.data} project=${project} />
      ${
        at === "" || at === "rows"
          ? html`
              <${Loaded} of=${about} lines=${8}>
                ${(known) => html`
                  <${Tab} name=${name} path=${path} about=${known} counts=${counts} query=${query} project=${project} />
                `}
              <//>
            `
          : html`
              <${Tab}
                name=${name}
                path=${path}
                about=${about.data}
                counts=${counts}
                query=${query}
                project=${project} />
            `
      }
    </div>
  `;
}
