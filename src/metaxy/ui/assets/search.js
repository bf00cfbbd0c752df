// Search by keyboard: features, fields and pages.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { featureLink, go, href } from "./route.js";
import { firstLine, lastPart } from "./format.js";

const MOST = 60;
export const VIEWS = [
  ["", "Overview", "o"],
  ["diff", "Changes", "d"],
  ["history", "History", "h"],
  ["stores", "Stores", "s"],
];

function entriesOf(project) {
  const pages = VIEWS.map(([path, title]) => ({ kind: "page", text: title, note: "page", link: () => href(path) }));
  const found = [];
  for (const { key, description, fields } of project?.features ?? []) {
    found.push({ kind: "feature", text: key, note: firstLine(description), link: () => featureLink(key) });
    for (const field of fields ?? []) {
      const name = typeof field === "string" ? field : field.key;
      found.push({
        kind: "field",
        text: `${key}.${name}`,
        note: "field",
        link: () => featureLink(key, { field: name }),
      });
    }
  }
  return [...pages, ...found].map((entry) => ({ ...entry, low: entry.text.toLowerCase() }));
}

// How well an entry matches: the start of its last part before the start of a word before any place; 0 if a word is missing.
function scoreOf(entry, words) {
  let score = entry.kind === "field" ? 0 : 1;
  for (const word of words) {
    const at = entry.low.indexOf(word);
    if (at < 0) {
      if (!entry.note.toLowerCase().includes(word)) return 0;
      score += 1;
    } else if (lastPart(entry.low).startsWith(word)) score += 8 - Math.min(3, entry.low.length / 40);
    else score += at === 0 || /[/._-]/.test(entry.low[at - 1]) ? 5 : 3;
  }
  return score + (entry.low === words.join(" ") ? 10 : 0);
}

function search(entries, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return entries.filter((entry) => entry.kind !== "field").slice(0, MOST);
  const scored = entries.map((entry) => [scoreOf(entry, words), entry]).filter(([score]) => score > 0);
  return scored
    .sort(([a], [b]) => b - a)
    .slice(0, MOST)
    .map(([, entry]) => entry);
}

function Marked({ text, words }) {
  // what was looked for, in bold
  const low = text.toLowerCase();
  const marks = words
    .map((word) => [low.indexOf(word), word.length])
    .filter(([at]) => at >= 0)
    .sort(([a], [b]) => a - b);
  const parts = [];
  let last = 0;
  for (const [at, length] of marks) {
    if (at < last) continue;
    parts.push(
      text.slice(last, at),
      html`
        <mark>${text.slice(at, at + length)}</mark>
      `,
    );
    last = at + length;
  }
  return [...parts, text.slice(last)];
}

export function Search({ project, close }) {
  const [text, setText] = useState(""),
    [at, setAt] = useState(0);
  const dialog = useRef(null),
    list = useRef(null);
  const entries = useMemo(() => entriesOf(project), [project]);
  const found = useMemo(() => search(entries, text), [entries, text]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  useEffect(() => {
    const box = dialog.current;
    box.showModal();
    box.querySelector("input").focus();
    box.addEventListener("close", close);
    return () => {
      box.removeEventListener("close", close);
      if (box.open) box.close();
    };
  }, []);
  useEffect(() => {
    list.current?.children[at]?.scrollIntoView({ block: "nearest" });
  }, [at, found]);
  const choose = (entry) => {
    dialog.current.close();
    go(entry.link());
  };
  const onKey = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) setAt(Math.max(0, Math.min(found.length - 1, at + step)));
    else if (event.key === "Enter" && found[at]) choose(found[at]);
    else return;
    event.preventDefault();
  };
  return html`
    <dialog
      class="search"
      ref=${dialog}
      aria-label="Search"
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
      <div class="search-box">
        <input
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls="found"
          aria-autocomplete="list"
          aria-label="Search features, fields and pages"
          aria-activedescendant=${found[at] ? `found-${at}` : undefined}
          placeholder="Search features, fields, pages"
          autocomplete="off"
          spellcheck=${false}
          value=${text}
          onInput=${(event) => {
            setText(event.target.value);
            setAt(0);
          }}
          onKeyDown=${onKey} />
        <ul id="found" role="listbox" aria-label="Found" ref=${list}>
          ${found.map(
            (entry, i) => html`
              <li
                key=${entry.kind + entry.text}
                id=${`found-${i}`}
                role="option"
                aria-selected=${i === at ? "true" : "false"}
                onClick=${() => choose(entry)}
                onMouseMove=${() => at !== i && setAt(i)}>
                <span class="kind">${entry.kind}</span>
                <span class="text"><${Marked} text=${entry.text} words=${words} /></span>
                ${
                  entry.kind === "feature" &&
                  html`
                    <span class="about soft">${entry.note}</span>
                  `
                }
              </li>
            `,
          )}
        </ul>
        ${
          !found.length &&
          html`
            <p class="nothing soft">Nothing is called “${text}”.</p>
          `
        }
        <footer class="soft">
          <span>
            <kbd>↑</kbd>
            <kbd>↓</kbd>
            ${" "}choose
          </span>
          <span>
            <kbd>Enter</kbd>
            ${" "}open
          </span>
          <span>
            <kbd>Esc</kbd>
            ${" "}close
          </span>
          <span class="right">${project ? "" : "loading…"}</span>
        </footer>
      </div>
    </dialog>
  `;
}
