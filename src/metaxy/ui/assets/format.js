// How values are written for people: numbers, times, sizes, durations, hashes.

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
const IN_WORDS = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [30, "day"],
  [12, "month"],
  [Infinity, "year"],
];
const SHORT_HASH = 8;

export const number = (value) => (typeof value === "number" ? value.toLocaleString("en-US") : String(value));

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(size) {
  const power = Math.min(Math.floor(Math.log2(Math.max(size, 1)) / 10), UNITS.length - 1);
  return power ? `${(size / 1024 ** power).toFixed(1)} ${UNITS[power]}` : plural(size, "byte");
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const hours = seconds / 3600;
  return hours < 48
    ? `${Math.floor(hours)} h ${Math.round((hours % 1) * 60)} min`
    : plural(Math.round(hours / 24), "day");
}

// Times come as ISO text; those without a zone are UTC.
export const moment = (text) => new Date(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`);

export const localTime = (when) => when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

export const utcTime = (when) => `${when.toISOString().slice(0, 19).replace("T", " ")} UTC`;

export function ago(when, now = Date.now()) {
  let past = (now - when.getTime()) / 1000;
  if (Math.abs(past) < 45) return "just now";
  for (const [length, unit] of STEPS) {
    if (Math.abs(past) < length) return IN_WORDS.format(-Math.round(past), unit);
    past /= length;
  }
  return "";
}

export const shortHash = (hash) => String(hash ?? "").slice(0, SHORT_HASH);

export const lastPart = (key) => key.slice(key.lastIndexOf("/") + 1);

export const firstLine = (text) => (text || "").trim().split("\n")[0];
