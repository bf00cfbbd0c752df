// Counts of features: asked for one by one, a few at a time, those first that somebody sees; the page never waits.

import { useEffect, useState } from "./vendor/preact.js";
import { exported, load } from "./data.js";
import { number, plural } from "./format.js";
import { keyPath } from "./route.js";

const AT_ONCE = 3;
const REFRESH = 30_000; // milliseconds between two looks at the same feature, or longer where counting is slow
const FEW = 60; // so many are looked at again by themselves
const MANY = 150; // from so many on, what nobody sees is counted slowly
const REST = 3; // times as long as counting took
const LOOK = 250; // milliseconds between two looks at what is seen

let counted = new Map(); // key → {stats} or {failure}
let countedOf = ""; // the store
const queue = new Set();
const asking = new Set();
const listeners = new Set();
let seen = () => new Set();
let lastSeen = { at: -LOOK, keys: new Set() };
let told = false,
  slowest = 0,
  total = 0,
  resting = 0,
  pause = 0,
  control = new AbortController();

function seenNow() {
  const now = performance.now();
  if (now - lastSeen.at >= LOOK) lastSeen = { at: now, keys: seen() };
  return lastSeen.keys;
}

function tell() {
  // all that came in since the last picture, at once
  if (told) return;
  told = true;
  setTimeout(
    () => {
      told = false;
      for (const listener of listeners) listener((last) => last + 1);
    },
    total > MANY ? LOOK : 60,
  );
}

// The next one to count: one that is seen; of many, others only when nothing else is counted and a while has passed.
function next() {
  const visible = seenNow();
  for (const key of queue) if (visible.has(key)) return key;
  if (total <= MANY) return queue.values().next().value;
  if (!asking.size && performance.now() >= resting) return queue.values().next().value;
  clearTimeout(pause);
  pause = setTimeout(work, LOOK); // somebody may see others by then
  return undefined;
}

async function ask(key) {
  const signal = control.signal,
    began = performance.now();
  let found;
  try {
    found = { stats: await load(`features/${keyPath(key)}/counts.json`, {}, signal) };
  } catch (failure) {
    found = { failure };
  }
  if (signal.aborted) return;
  const took = performance.now() - began;
  slowest = Math.max(slowest * 0.9, took);
  resting = performance.now() + REST * took;
  counted.set(key, found);
  asking.delete(key);
  tell();
  work();
}

function work() {
  while (asking.size < AT_ONCE && queue.size) {
    const key = next();
    if (key === undefined) return;
    queue.delete(key);
    asking.add(key);
    ask(key);
  }
}

export function stateOf(key) {
  const found = counted.get(key);
  if (!found) return "waiting";
  return found.failure || found.stats.error ? "error" : found.stats.state;
}

export const countsOf = (key) => counted.get(key)?.stats ?? null;

export const failureOf = (key) => counted.get(key)?.failure ?? null;

function begin(keys, store) {
  if (store !== countedOf) {
    control.abort();
    control = new AbortController();
    counted = new Map();
    countedOf = store;
    asking.clear();
    queue.clear();
  }
  total = keys.length;
  for (const key of keys) if (!counted.has(key) && !asking.has(key)) queue.add(key);
  work();
}

function refresh(keys) {
  // gently: only what is seen, never more than is answered in the meantime
  if (document.visibilityState !== "visible" || (queue.size && total <= MANY) || asking.size) return;
  const visible = seenNow();
  for (const key of keys) if (visible.has(key) && queue.size < FEW) queue.add(key);
  work();
}

// Count these features of a store, and draw again when more is known. `visible` says which keys are seen now.
export function useCounts(keys, store, visible) {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    listeners.add(setTurn);
    seen = visible;
    begin(keys, store);
    let timer = 0;
    const later = () => {
      timer = setTimeout(
        () => {
          refresh(keys);
          later();
        },
        Math.max(REFRESH, 20 * slowest),
      );
    };
    if (!exported()) later();
    return () => {
      listeners.delete(setTurn);
      clearTimeout(timer);
      queue.clear();
    };
  }, [keys, store]);
  return turn;
}

export function countText(stats) {
  // in words, as in pictures that are drawn elsewhere
  if (stats.error) return `could not be counted: ${stats.error}`;
  const words = [stats.rows === null ? "no table" : plural(stats.rows, "row")];
  if (stats.state === "up_to_date") words.push("up to date");
  else if (stats.state !== "root_feature" && stats.missing === null) words.push("no input");
  const unit = stats.by_parents ? " parents" : "";
  for (const [name, of] of [
    ["missing", unit],
    ["stale", unit],
    ["orphaned", ""],
    ["failed", ""],
  ]) {
    if (stats[name]) words.push(`${number(stats[name])} ${name}${of}`);
  }
  return words.join(", ");
}

export function noteOf(key) {
  // what a box of the picture says
  const found = counted.get(key);
  if (!found) return "";
  return found.failure ? found.failure.message : countText(found.stats);
}
