// Small parts that all views are made of.

import { html, useEffect, useState } from "./vendor/preact.js";
import { ago, firstLine, localTime, moment, number, shortHash, utcTime } from "./format.js";
import { featureLink } from "./route.js";

// -- signs: each state and each status has a shape and a colour, those of pictures ----------------------------------

const LAMPS = {
  // of states
  up_to_date: "M.5.3L3.5 3.3L8.7-3.5",
  needs_update: "M4.5-4L9 3.8H0Z",
  missing: "M1 0A3.5 3.5 0 1 1 8 0A3.5 3.5 0 1 1 1 0ZM3.3-1.2L5.7 1.2M5.7-1.2L3.3 1.2",
  root_feature: "M2 0A2.5 2.5 0 1 1 7 0A2.5 2.5 0 1 1 2 0Z",
  error: "M1-3.5H8V3.5H1ZM4.5-1.6V.4M4.5 1.8V1.9",
  waiting: "M3 0A1.5 1.5 0 1 1 6 0A1.5 1.5 0 1 1 3 0Z",
};
const SIGNS = {
  // of comparisons
  added: html`
    <circle class="full" r="7" />
    <path d="M-3.5 0H3.5M0-3.5V3.5" />
  `,
  removed: html`
    <rect class="full" x="-6.5" y="-6.5" width="13" height="13" rx="2" />
    <path d="M-3.5 0H3.5" />
  `,
  changed: html`
    <path class="full" d="M-8 0L0-8 8 0 0 8Z" />
    <path d="M-3.6 1C-2.4-1.6-1-1.2 0 0S2.4 1.6 3.6-1" />
  `,
  affected: html`
    <circle class="open" r="6.8" />
    <path class="ink" d="M3.2-.6A3.3 3.3 0 1 0 2.6 2M3.6-3.2V-.4H.9" />
  `,
  described: html`
    <path class="ink" d="M-5 5L-4.2 1.8 2.8-5.2 5.2-2.8-1.8 4.2ZM1-3.4L3.4-1" />
  `,
};
export const STATE_NAMES = {
  up_to_date: "up to date",
  needs_update: "needs update",
  missing: "no table",
  root_feature: "root",
  error: "error",
  waiting: "not counted yet",
};

export function Sign({ of, label = null }) {
  const name = STATE_NAMES[of] ?? of,
    lamp = LAMPS[of],
    shape = lamp
      ? html`
          <path class="lamp-of" d=${lamp} />
        `
      : SIGNS[of];
  if (!shape)
    return html`
      <span class="sign-room"></span>
    `;
  const hidden = label === "" ? { "aria-hidden": "true" } : { role: "img", "aria-label": label ?? name };
  return html`
    <svg class=${`sign-of ${of}`} viewBox=${lamp ? "-3 -7.5 15 15" : "-9 -9 18 18"} width="16" height="16" ...${hidden}>
      ${
        label === ""
          ? null
          : html`
              <title>${label ?? name}</title>
            `
      }${shape}
    </svg>
  `;
}

export const StateChip = ({ state }) => html`
  <span class=${`chip state ${state}`}>
    <${Sign} of=${state} label="" />
    ${STATE_NAMES[state] ?? state}
  </span>
`;

// -- values ----------------------------------------------------------------------------------------------------------

export function Time({ at, relative = false, missing = "never" }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!relative) return undefined;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") tick((last) => last + 1);
    }, 30_000);
    return () => clearInterval(timer);
  }, [relative]);
  if (!at)
    return html`
      <span class="soft">${missing}</span>
    `;
  const when = moment(at);
  if (Number.isNaN(when.getTime()))
    return html`
      <span>${at}</span>
    `;
  const title = relative ? `${localTime(when)} · ${utcTime(when)}` : utcTime(when);
  return html`
    <time datetime=${when.toISOString()} title=${title}>${relative ? ago(when) : localTime(when)}</time>
  `;
}

export function Hash({ of }) {
  const [copied, setCopied] = useState(false);
  if (!of)
    return html`
      <span class="soft">–</span>
    `;
  if (!navigator.clipboard)
    return html`
      <code title=${of}>${shortHash(of)}</code>
    `;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(of);
    } catch {
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  };
  return html`
    <button class="hash" type="button" title=${`${of} – click to copy`} onClick=${copy}>
      <code>${copied ? "copied" : shortHash(of)}</code>
    </button>
  `;
}

export const FeatureLink = ({ of, query = {}, children = null }) => html`
  <a class="key" href=${featureLink(of, query)}>
    ${
      children ??
      html`
        <${KeyText} of=${of} />
      `
    }
  </a>
`;

// A long key breaks after its slashes and underscores.
export function KeyText({ of }) {
  const last = of.lastIndexOf("/") + 1;
  const pieces = (text) =>
    text.split(/(?<=[/_.-])/).map((part, i) =>
      i
        ? [
            html`
              <wbr />
            `,
            part,
          ]
        : part,
    );
  return html`
    ${
      last > 0 &&
      html`
        <span class="soft">${pieces(of.slice(0, last))}</span>
        <wbr />
      `
    }
    <span>${pieces(of.slice(last))}</span>
  `;
}

export const Figure = ({ name, value, tone = "", note = null }) => html`
  <div class=${`figure ${tone}`}>
    <dt>${name}</dt>
    <dd>
      ${
        value === null || value === undefined
          ? html`
              <span class="soft">–</span>
            `
          : typeof value === "number"
            ? number(value)
            : value
      }
    </dd>
    ${
      note &&
      html`
        <dd class="note">${note}</dd>
      `
    }
  </div>
`;

// -- states of a view ------------------------------------------------------------------------------------------------

export const Skeleton = ({ lines = 4, kind = "lines" }) => html`
  <div class=${`skeleton ${kind}`} role="status" aria-label="Loading">
    ${Array.from(
      { length: lines },
      (_, i) => html`
        <span key=${i} class=${`w${i % 4}`}></span>
      `,
    )}
  </div>
`;

export const Failure = ({ error, again = null }) => html`
  <div class="failure" role="alert">
    <${Sign} of="error" label="" />
    <div>
      <p class="message">${error.message.split("\n", 1)[0]}</p>
      ${
        error.message.includes("\n") &&
        html`
          <pre>${error.message.replace(/^.*\n/, "")}</pre>
        `
      }
      ${
        error.hint &&
        html`
          <p class="hint">${error.hint}</p>
        `
      }
      ${
        again &&
        error.status !== 403 &&
        html`
          <button type="button" onClick=${again}>Try again</button>
        `
      }
    </div>
  </div>
`;

export const Empty = ({ title, children = null }) => html`
  <div class="empty">
    <svg viewBox="0 0 48 32" width="72" height="48" aria-hidden="true">
      <path d="M24 9V15M24 15C24 20 12 17 12 23M24 15C24 20 36 17 36 23" />
      <rect x="17" y="1" width="14" height="8" rx="2.5" />
      <rect x="5" y="23" width="14" height="8" rx="2.5" />
      <rect x="29" y="23" width="14" height="8" rx="2.5" />
    </svg>
    <p class="message">${title}</p>
    <p class="hint">${children}</p>
  </div>
`;

// What was loaded, or what stands for it: `render` is called with the data only.
export function Loaded({ of, lines = 4, kind = "lines", children }) {
  if (of.error && of.data === undefined)
    return html`
      <${Failure} error=${of.error} again=${of.again} />
    `;
  if (of.data === undefined)
    return html`
      <${Skeleton} lines=${lines} kind=${kind} />
    `;
  return html`
    <div class=${of.busy ? "loaded busy" : "loaded"} aria-busy=${of.busy ? "true" : "false"}>
      ${
        of.error &&
        html`
          <${Failure} error=${of.error} again=${of.again} />
        `
      }${children(of.data)}
    </div>
  `;
}

export const Card = ({ title, note = null, kind = "", children }) => html`
  <section class=${`card ${kind}`}>
    ${
      title &&
      html`
        <header>
          <h2>${title}</h2>
          ${
            note &&
            html`
              <span class="soft">${note}</span>
            `
          }
        </header>
      `
    }${children}
  </section>
`;

export function Facts({ of }) {
  const known = of.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`
    <dl class="facts">
      ${known.map(
        ([name, value]) => html`
          <div key=${name}>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>
        `,
      )}
    </dl>
  `;
}

export const Prose = ({ text }) => html`
  <div class="prose">
    ${(text || "")
      .trim()
      .split(/\n\s*\n/)
      .map(
        (part, i) => html`
          <p key=${i}>${part}</p>
        `,
      )}
  </div>
`;

export const Scroll = ({ label, children, kind = "" }) => html`
  <div class=${`scroll ${kind}`} tabindex="0" role="region" aria-label=${label}>${children}</div>
`;

export function useTitle(...parts) {
  const title = [...parts.filter(Boolean), "Metaxy"].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}
