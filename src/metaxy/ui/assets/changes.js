// What changed between two versions of the project: pushes, revisions of git, or the code as it is.

import { html, useEffect, useState } from "./vendor/preact.js";
import { exported, useLoad } from "./data.js";
import { localTime, moment, number, plural } from "./format.js";
import { go, href } from "./route.js";
import { Card, Empty, Failure, FeatureLink, Loaded, Sign, useTitle } from "./parts.js";
import { GraphStage, Legend } from "./stage.js";

const COMPARED = ["added", "removed", "changed", "affected", "described"];
const SHOWN = [...COMPARED, "unchanged"];

const namedSnapshot = (push) =>
  `${localTime(moment(push.recorded_at))} · ${plural(push.feature_count, "feature")}${Object.entries(push.tags ?? {})
    .map(([name, value]) => ` · ${name} ${value}`)
    .join("")}`;

function VersionInput({ label, value, set, known, hint }) {
  const id = `versions-${label}`;
  return html`
    <label class="version">
      <span>${label}</span>
      <input
        list=${id}
        value=${value}
        placeholder=${hint}
        spellcheck=${false}
        autocapitalize="off"
        autocomplete="off"
        onInput=${(event) => set(event.target.value)} />
      <datalist id=${id}>
        ${known.map(
          ([name, note]) => html`
            <option key=${name} value=${name}>${note}</option>
          `,
        )}
      </datalist>
    </label>
  `;
}

function Picker({ query, pushes }) {
  const [from, setFrom] = useState(query.from ?? ""),
    [to, setTo] = useState(query.to ?? "");
  useEffect(() => {
    setFrom(query.from ?? "");
    setTo(query.to ?? "");
  }, [query.from, query.to]);
  const known = [
    ["latest", "the last push"],
    ["current", "the code as it is"],
    ["git:main", "a revision of git"],
    ["git:HEAD~1", "the commit before the last"],
    ...pushes.map((push) => [push.project_version, namedSnapshot(push)]),
  ];
  const send = (event) => {
    event.preventDefault();
    go(href("diff", { ...query, from: from.trim(), to: to.trim() }));
  };
  const swap = () => go(href("diff", { ...query, from: (to || "current").trim(), to: (from || "latest").trim() }));
  return html`
    <form class="picker" onSubmit=${send}>
      <${VersionInput} label="From" value=${from} set=${setFrom} known=${known} hint="latest" />
      <button type="button" class="swap" aria-label="Exchange both" title="Exchange both" onClick=${swap}>⇄</button>
      <${VersionInput} label="To" value=${to} set=${setTo} known=${known} hint="current" />
      <button type="submit" class="primary">Compare</button>
    </form>
  `;
}

const Work = ({ work }) =>
  work
    ? html`
        <p class="work">
          ${[
            ["new", work.new],
            ["stale", work.stale],
            ["orphaned", work.orphaned],
          ]
            .filter(([, count]) => count)
            .map(
              ([name, count]) => html`
                <span key=${name} class="chip tiny needs_update">${number(count)} ${name}</span>
              `,
            )}${
            work.error &&
            html`
              <span class="soft">${work.error}</span>
            `
          }
        </p>
      `
    : null;

function Change({ of }) {
  return html`
    <li>
      <${Sign} of=${of.status} />
      <div>
        <p>
          <${FeatureLink} of=${of.key} />
          <span class="soft">${of.status}</span>
        </p>
        ${
          of.changes?.length > 0 &&
          html`
            <ul class="changes">
              ${of.changes.map(
                (text, i) => html`
                  <li key=${i}>${text}</li>
                `,
              )}
            </ul>
          `
        }
        <${Work} work=${of.work} />
      </div>
    </li>
  `;
}

function ChangeList({ answer }) {
  const differ = answer.features.filter(({ status }) => COMPARED.includes(status));
  if (!differ.length)
    return html`
      <${Empty} title="Nothing changed">Both versions have the same features.<//>
    `;
  return html`
    <ul class="change-list">
      ${differ.map(
        (each) => html`
          <${Change} key=${each.key} of=${each} />
        `,
      )}
    </ul>
  `;
}

function WorkToDo({ query }) {
  if (query.to && query.to !== "current") return null; // it is counted for the code as it is
  const asked = query.stats === "1";
  return html`
    <a
      class="button"
      aria-pressed=${asked ? "true" : "false"}
      href=${href("diff", { ...query, stats: asked ? "" : "1" })}>
      ${asked ? "Hide what it will compute" : "Count what it will compute"}
    </a>
  `;
}

// A store that is busy or locked may well have something.
const isNothingPushed = ({ status }) => status === 422 || exported();

const NothingToCompare = ({ error }) => html`
  <${Empty} title="Nothing to compare with yet">
    ${error.message}. Name a revision of git above, such as${" "}
    <code>git:main</code>
    , or record this version by${" "}
    <code>mx push</code>
    .
  <//>
`;

export function DiffPage({ query }) {
  const pushes = useLoad("history.json"),
    { from, to, stats } = query;
  const found = useLoad("diff.json", { from, to, stats });
  useTitle("Changes");
  const list = pushes.data?.pushes ?? [];
  return html`
    <div class="page wide-page">
      <header class="head"><h1>Changes</h1></header>
      ${
        !exported() &&
        html`
          <${Picker} query=${query} pushes=${list} />
        `
      }
      ${
        found.error &&
        (list.length || from || to || !isNothingPushed(found.error)
          ? html`
              <${Failure} error=${found.error} again=${found.again} />
            `
          : html`
              <${NothingToCompare} error=${found.error} />
            `)
      }
      <${Loaded} of=${{ ...found, error: null, data: found.error ? null : found.data }} kind="graph" lines=${5}>
        ${(answer) =>
          answer === null
            ? null
            : html`
                <${Compared} answer=${answer} query=${query} />
              `}
      <//>
    </div>
  `;
}

function Compared({ answer, query }) {
  const [chosen, setChosen] = useState(null);
  const counts = new Map();
  for (const { status } of Object.values(answer.data?.nodes ?? {})) counts.set(status, (counts.get(status) ?? 0) + 1);
  const legend = SHOWN.filter((status) => counts.has(status)).map((status) => [
    status,
    `${status} ${number(counts.get(status))}`,
  ]);
  return html`
    <p class="compared">
      <b>${answer.title}</b>
      ${
        !exported() &&
        html`
          <${WorkToDo} query=${query} />
        `
      }
    </p>
    ${
      answer.svg &&
      html`
        <div class="diff-picture">
          <${GraphStage} graph=${answer} chosen=${chosen} onSelect=${setChosen}><${Legend} of=${legend} /><//>
        </div>
      `
    }
    <${Card} title="Features that differ"><${ChangeList} answer=${answer} /><//>
  `;
}
