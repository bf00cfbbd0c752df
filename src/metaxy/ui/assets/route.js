// The address: `#/features/video/crop?tab=rows` names a view and what it shows, so that each view is a link.

import { useEffect, useState } from "./vendor/preact.js";

const PAGES = { "": "overview", diff: "diff", history: "pushes", stores: "stores" };

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

export const keyPath = (key) => key.split("/").map(encodeURIComponent).join("/");

export function parseRoute(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const query = Object.fromEntries(new URLSearchParams(search));
  const parts = path.split("/").filter(Boolean).map(decoded);
  if (parts[0] !== "features")
    return { page: parts.length > 1 ? "unknown" : (PAGES[parts[0] ?? ""] ?? "unknown"), key: null, query };
  const isSample = parts.length > 2 && parts.at(-1) === "sample" && "id" in query;
  const key = parts.slice(1, isSample ? -1 : undefined).join("/");
  return { page: isSample ? "sample" : key ? "feature" : "unknown", key, query };
}

// Links keep the store that was chosen.
let keptStore = "";

export function href(path, query = {}) {
  const kept = Object.entries({ store: keptStore, ...query }).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(kept).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

export const featureLink = (key, query) => href(`features/${keyPath(key)}`, query);

export const sampleLink = (key, id) => href(`features/${keyPath(key)}/sample`, { id: JSON.stringify(id) });

export function go(link, { replace = false } = {}) {
  if (!replace) location.hash = link;
  else {
    try {
      history.replaceState(null, "", link);
    } catch {
      location.hash = link;
      return;
    } // not every page may
    dispatchEvent(new HashChangeEvent("hashchange"));
  }
}

export function useRoute() {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  keptStore = route.query.store || "";
  return route;
}

export const chosenStore = () => keptStore;
