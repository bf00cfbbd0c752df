// A value of a row in a cell: text as text, numbers to the right, media as what they are.

import { html, useState } from "./vendor/preact.js";
import { number } from "./format.js";
import { exported, isAllowed } from "./data.js";

const LONG = 160; // letters of a cell, before one asks for more
const NUMBERS = /^(u?int|float|decimal)/i;

// Types as the store names them, without the names of their parts.
export const typeText = (type) => (type || "").replace(/\b\w+=/g, "").replace(/'/g, "");

export const isNumber = (type) => NUMBERS.test(type || "");

// Where a file is: at an origin that is allowed, or given by the server; null if nobody shows it.
function mediaAddress(path) {
  if (/^https?:\/\//i.test(path) && URL.canParse(path)) return isAllowed(path) ? path : null;
  if (exported() || /^(?!file:)[a-z][a-z0-9+.-]*:\/\//i.test(path)) return null;
  return `media?${new URLSearchParams({ path })}`;
}

function Media({ kind, path }) {
  const [failed, setFailed] = useState(false);
  const from = mediaAddress(path),
    onError = () => setFailed(true),
    text = html`
      <span class="path">${path}</span>
    `;
  if (failed || from === null) return text;
  if (kind === "image")
    return html`
      <a class="media" href=${from} target="_blank" rel="noopener">
        <img src=${from} alt=${path} title=${path} loading="lazy" onError=${onError} />
      </a>
    `;
  if (kind === "audio")
    return html`
      <span class="media">
        <audio src=${from} controls preload="none" title=${path} onError=${onError}></audio>
        ${text}
      </span>
    `;
  return html`
    <span class="media">
      <video src=${from} controls preload="metadata" title=${path} onError=${onError}></video>
      ${text}
    </span>
  `;
}

function Text({ text, length = text.length }) {
  const [open, setOpen] = useState(false);
  if (text === "")
    return html`
      <span class="soft">empty</span>
    `;
  if (length <= LONG) return text;
  const note = length > text.length ? ` (${number(length)} characters)` : "";
  return html`
    <span class=${open ? "text open" : "text"}>
      ${open ? text : `${text.slice(0, LONG)}…`}
      <button type="button" class="more" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>
        ${open ? "less" : "more"}
      </button>
      ${open && note}
    </span>
  `;
}

function Moment({ text }) {
  // with a zone: as of whoever looks; without one as it is
  const when = new Date(text);
  if (!/([zZ]|[+-]\d\d:?\d\d)$/.test(text) || Number.isNaN(when.getTime())) return text.replace("T", " ");
  return html`
    <time datetime=${text} title=${`${text.replace("T", " ")} (as it is stored)`}>
      ${when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}
    </time>
  `;
}

function listOf(text) {
  // lists arrive as JSON
  try {
    return JSON.parse(text).map(String);
  } catch {
    return [text];
  }
}

const shownText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export function Value({ of, column, wide = false }) {
  if (of === null || of === undefined)
    return html`
      <span class="null">null</span>
    `;
  if (typeof of === "object" && of !== null && "text" in of && "length" in of)
    return html`
      <${Text} text=${of.text} length=${of.length} />
    `;
  if (column.media && typeof of === "string" && of.startsWith("["))
    return html`
      <${MediaList} kind=${column.media} paths=${listOf(of)} all=${wide} />
    `;
  if (column.media && typeof of === "string")
    return html`
      <${Media} kind=${column.media} path=${of} />
    `;
  if (typeof of === "boolean")
    return html`
      <span class=${`bool ${of}`}>${String(of)}</span>
    `;
  if (typeof of === "number") return number(of);
  if (/^datetime/i.test(column.type) && typeof of === "string")
    return html`
      <${Moment} text=${of} />
    `;
  return html`
    <${Text} text=${shownText(of)} />
  `;
}

function MediaList({ kind, paths, all }) {
  const shown = all ? paths.slice(0, 24) : paths.slice(0, 3);
  const rest = paths.length - shown.length;
  return html`
    <span class="media-list">
      ${shown.map(
        (path) => html`
          <${Media} key=${path} kind=${kind} path=${String(path)} />
        `,
      )}${
        rest > 0 &&
        html`
          <span class="soft">+${rest}</span>
        `
      }
    </span>
  `;
}
