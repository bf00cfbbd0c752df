// All data come through `load`: from the server below `api/`, or from what was exported.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { chosenStore } from "./route.js";

const KEPT = 300; // answers that are shown at once when a view is opened again

export class LoadFailure extends Error {
  constructor(message, hint = "", status = 0) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

const embedded = (() => {
  // a page of one file has all answers in it
  const found = document.getElementById("exported");
  return found && JSON.parse(found.textContent);
})();
let isExported = Boolean(embedded);

export const exported = () => isExported;

let origins = []; // from which media may be loaded

// What the project says of the page itself.
export function noteProject({ exported: time, origins: allowed = [] }) {
  isExported = isExported || Boolean(time);
  origins = isExported ? [] : allowed;
}

export const isAllowed = (address) => origins.includes(new URL(address).origin);

function addressOf(path, query) {
  const store = chosenStore();
  const kept = Object.entries({ ...(store ? { store } : {}), ...query }).filter(
    ([, value]) => value !== "" && value != null,
  );
  const search = isExported ? "" : new URLSearchParams(kept).toString();
  return `api/${path}${search ? `?${search}` : ""}`;
}

function fromPage(path) {
  const found = [path, decodeURIComponent(path)].find((name) => Object.hasOwn(embedded, name));
  if (found !== undefined) return embedded[found];
  throw new LoadFailure("This is not part of the exported page.", "Run `mx ui` to see it.", 404);
}

async function answerOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    /* what is no JSON is told below */
  }
  if (response.ok && body !== null) return body;
  if (isExported && response.status === 404)
    throw new LoadFailure("This is not part of the exported pages.", "Run `mx ui` to see it.", 404);
  const { message, hint } = body?.error ?? {};
  throw new LoadFailure(
    message || `The server answered ${response.status} ${response.statusText}.`,
    hint || "",
    response.status,
  );
}

export async function load(path, query = {}, signal = undefined) {
  if (embedded) return fromPage(path);
  let response;
  try {
    response = await fetch(addressOf(path, query), { signal, headers: { accept: "application/json" } });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new LoadFailure("The server does not answer.", "Is `mx ui` still running?");
  }
  return answerOf(response);
}

const kept = new Map(); // address → answer

function keep(address, answer) {
  kept.delete(address);
  kept.set(address, answer);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

// What a path gives: {data, error, busy, again}. Other answers replace the last one when they are there; what is no
// longer asked for is cancelled. `every`: ask again after so many milliseconds, while somebody looks.
export function useLoad(path, query = {}, { every = 0 } = {}) {
  const address = path === null ? null : addressOf(path, query);
  const [state, setState] = useState({ path: null, loaded: null });
  const [turn, setTurn] = useState(0);
  const asked = useRef(query);
  asked.current = query;
  useEffect(() => {
    if (address === null) return undefined;
    const control = new AbortController();
    let timer = 0;
    const again = () => {
      if (document.visibilityState === "visible") setTurn((last) => last + 1);
      else timer = setTimeout(again, every);
    };
    const settle = (found) => {
      if (control.signal.aborted) return;
      setState((last) => ({ path, loaded: address, data: last.path === path ? last.data : undefined, ...found }));
      if (every && !isExported) timer = setTimeout(again, every);
    };
    setState((last) => ({
      path,
      loaded: last.loaded,
      data: kept.get(address) ?? (last.path === path ? last.data : undefined),
    }));
    load(path, asked.current, control.signal).then(
      (data) => {
        keep(address, data);
        settle({ data, error: null });
      },
      (error) => {
        if (error.name !== "AbortError") settle({ error });
      },
    );
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [address, turn]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  const mine = state.path === path ? state : { data: kept.get(address) }; // of another path: not this one's
  return { data: mine.data, error: mine.error, busy: address !== null && state.loaded !== address, again };
}
