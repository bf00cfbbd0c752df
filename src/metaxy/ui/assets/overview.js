// The graph with live counts, and a list of all features with their states.

import { html, useCallback, useEffect, useMemo, useRef } from "./vendor/preact.js";
import { useLoad } from "./data.js";
import { failureOf, noteOf, countsOf, stateOf, useCounts } from "./counts.js";
import { number, plural, firstLine } from "./format.js";
import { featureLink, go, href } from "./route.js";
import { Empty, Failure, FeatureLink, KeyText, Sign, Skeleton, STATE_NAMES, Time, useTitle } from "./parts.js";
import { GraphStage } from "./stage.js";

const FILTERED = ["error", "needs_update", "missing", "up_to_date", "root_feature", "waiting"];

const NOTES = { lines: (key) => [noteOf(key)].filter(Boolean), state: stateOf };

function StateFilter({ keys, chosen, choose }) {
  const counts = new Map();
  for (const key of keys) counts.set(stateOf(key), (counts.get(stateOf(key)) ?? 0) + 1);
  const shown = FILTERED.filter((state) => counts.has(state) || state === chosen);
  return html`
    <div class="filters" role="group" aria-label="Filter by state">
      <button type="button" aria-pressed=${chosen ? "false" : "true"} onClick=${() => choose("")}>
        All${" "}
        <b>${number(keys.length)}</b>
      </button>
      ${shown.map(
        (state) => html`
          <button
            key=${state}
            type="button"
            aria-pressed=${chosen === state ? "true" : "false"}
            onClick=${() => choose(chosen === state ? "" : state)}>
            <${Sign} of=${state} label="" />
            ${STATE_NAMES[state]}${" "}
            <b>${number(counts.get(state) ?? 0)}</b>
          </button>
        `,
      )}
    </div>
  `;
}

function ListRow({ feature, on }) {
  const { key } = feature,
    stats = countsOf(key),
    failure = failureOf(key);
  return html`
    <li class=${on ? "on" : ""} data-key=${key}>
      <${Sign} of=${stateOf(key)} />
      <div>
        <${FeatureLink} of=${key} />
        <p class="soft">
          ${
            failure || stats
              ? noteOf(key)
              : html`
                  <span class="pending">counting…</span>
                `
          }
        </p>
      </div>
      ${
        stats?.last_write &&
        html`
          <span class="soft when"><${Time} at=${stats.last_write} relative=${true} /></span>
        `
      }
    </li>
  `;
}

function matching(features, words, state) {
  return features.filter(({ key, description }) => {
    const text = `${key} ${description ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word)) && (!state || stateOf(key) === state);
  });
}

// The keys that somebody sees: in the list, or as boxes of the picture.
function seenIn(places) {
  const found = new Set();
  for (const place of places) {
    const frame = place?.getBoundingClientRect();
    if (!frame) continue;
    const bottom = Math.min(frame.bottom, innerHeight);
    for (const item of place.querySelectorAll("[data-key]")) {
      const at = item.getBoundingClientRect();
      if (at.width && at.bottom > frame.top && at.top < bottom && at.right > frame.left && at.left < frame.right)
        found.add(item.dataset.key);
    }
  }
  return found;
}

function Peek({ name, project, close }) {
  // what is known of the box that was clicked
  const feature = project.features.find((each) => each.key === name);
  return html`
    <aside class="peek" aria-live="polite">
      <button type="button" class="close" aria-label="Close" onClick=${close}>×</button>
      <h2><${KeyText} of=${name} /></h2>
      ${
        feature?.description &&
        html`
          <p>${firstLine(feature.description)}</p>
        `
      }
      <p class="state-line">
        <${Sign} of=${stateOf(name)} />
        ${noteOf(name) || STATE_NAMES[stateOf(name)]}
      </p>
      <p class="links">
        <a class="button" href=${featureLink(name)}>Open</a>
        ${
          project.rows !== false &&
          html`
            <a href=${featureLink(name, { tab: "rows" })}>Rows</a>
          `
        }
        <a href=${featureLink(name, { tab: "history" })}>History</a>
      </p>
    </aside>
  `;
}

export function Overview({ project, query }) {
  useTitle(project?.project ? `${project.project}: features` : "Features");
  const graph = useLoad("graph.json"),
    chosen = query.feature || null,
    field = query.field || null;
  const list = useRef(null),
    stage = useRef(null);
  const features = project?.features ?? [],
    keys = useMemo(() => features.map(({ key }) => key), [project]);
  const visible = useCallback(() => seenIn([list.current, stage.current]), []);
  const turn = useCounts(keys, query.store || project?.store || "", visible);
  const change = (name, value) => go(href("", { ...query, [name]: value }), { replace: true });
  useEffect(() => {
    if (chosen) list.current?.querySelector(".on")?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const select = (key, name) => go(href("", { ...query, feature: key, field: name }), { replace: true });
  const words = (query.filter ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const shown = matching(features, words, query.state);
  return html`
    <div class="overview">
      <section class="list-side" aria-label="Features">
        <h1>Features</h1>
        <input
          type="search"
          aria-label="Filter the list"
          placeholder="Filter by name"
          value=${query.filter ?? ""}
          onInput=${(event) => change("filter", event.target.value)} />
        <${StateFilter} keys=${keys} chosen=${query.state ?? ""} choose=${(state) => change("state", state)} />
        ${
          !project
            ? html`
                <${Skeleton} lines=${8} />
              `
            : html`
                <ul class="features" ref=${list}>
                  ${shown.map(
                    (feature) => html`
                      <${ListRow} key=${feature.key} feature=${feature} on=${chosen === feature.key} />
                    `,
                  )}
                </ul>
              `
        }
        ${
          project &&
          !features.length &&
          html`
            <${Empty} title="No features yet">
              Define one, or name the modules that do in${" "}
              <code>entrypoints</code>
              ${" "}of the configuration.
            <//>
          `
        }
        ${
          features.length > 0 &&
          !shown.length &&
          html`
            <p class="nothing soft">
              No feature matches.${" "}
              <a href=${href("")}>Show all ${plural(features.length, "feature")}</a>
            </p>
          `
        }
      </section>
      <section class="graph-side" aria-label="Graph" ref=${stage}>
        ${
          graph.error && !graph.data
            ? html`
                <${Failure} error=${graph.error} again=${graph.again} />
              `
            : !graph.data
              ? html`
                  <${Skeleton} kind="graph" lines=${5} />
                `
              : html`
                  <${GraphStage}
                    graph=${graph.data}
                    turn=${turn}
                    notes=${NOTES}
                    chosen=${chosen}
                    field=${field}
                    start=${chosen ? [chosen, field] : []}
                    onSelect=${select}
                    onOpen=${(key) => go(featureLink(key))} />
                `
        }
        ${
          chosen &&
          project &&
          html`
            <${Peek} name=${chosen} project=${project} close=${() => select(null, null)} />
          `
        }
      </section>
    </div>
  `;
}
