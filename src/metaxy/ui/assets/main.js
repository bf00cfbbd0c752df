// The page: the bar above, the view that the address names, and keys.

import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./vendor/preact.js";
import { noteProject, useLoad } from "./data.js";
import { go, href, useRoute } from "./route.js";
import { Empty, Failure, Time, useTitle } from "./parts.js";
import { Search, VIEWS } from "./search.js";
import { Overview } from "./overview.js";
import { FeaturePage } from "./feature.js";
import { SamplePage } from "./sample.js";
import { DiffPage } from "./changes.js";
import { HistoryPage } from "./pushes.js";
import { StoresPage } from "./stores.js";

const VIEW_OF = {
  overview: Overview,
  feature: FeaturePage,
  sample: SamplePage,
  diff: DiffPage,
  pushes: HistoryPage,
  stores: StoresPage,
};
const IN_NAV = { overview: "", feature: "", sample: "", diff: "diff", pushes: "history", stores: "stores" };

function Unknown() {
  useTitle("Not found");
  return html`
    <div class="page">
      <${Empty} title="There is no such page.">
        The address names nothing that is here.${" "}
        <a href=${href("")}>Go to the overview</a>
        .
      <//>
    </div>
  `;
}

function StorePicker({ project, store }) {
  const stores = project?.stores ?? [];
  if (stores.length < 2 || project.exported)
    return html`
      <span class="store-name" title="The store that is shown">${project?.store ?? ""}</span>
    `;
  const choose = (event) => {
    const [path, search = ""] = location.hash.split(/\?(.*)/s),
      query = new URLSearchParams(search);
    query.set("store", event.target.value);
    go(`${path || "#/"}?${query}`);
  };
  return html`
    <select class="store-name" aria-label="Store" value=${store || project.store} onChange=${choose}>
      ${stores.map(
        ({ name }) => html`
          <option key=${name} value=${name}>${name}</option>
        `,
      )}
    </select>
  `;
}

function Bar({ project, route, find }) {
  return html`
    <header class="bar">
      <a class="brand" href=${href("")} aria-label="Metaxy: overview">
        <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
          <path d="M6 5.5V12a6 6 0 0 0 12 0M12 18V12" />
          <circle cx="6" cy="5" r="3" />
          <circle cx="18" cy="11" r="3" />
          <circle cx="12" cy="19" r="3" />
        </svg>
        <span class="project">${project?.project ?? "Metaxy"}</span>
      </a>
      <nav aria-label="Pages">
        ${VIEWS.map(
          ([path, title]) => html`
            <a key=${path} href=${href(path)} aria-current=${IN_NAV[route.page] === path ? "page" : undefined}>
              ${title}
            </a>
          `,
        )}
      </nav>
      <span class="right">
        <button type="button" class="find" onClick=${find} aria-label="Search" aria-keyshortcuts="/ Control+K">
          <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <circle cx="7" cy="7" r="4.5" />
            <path d="M10.5 10.5L14.5 14.5" />
          </svg>
          <span class="words">Search</span>
          <kbd>/</kbd>
        </button>
        <${StorePicker} project=${project} store=${route.query.store} />
      </span>
    </header>
  `;
}

const isTyping = (target) => target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);

function useKeys(find) {
  useEffect(() => {
    let began = 0; // when `g` was pressed
    const onKey = (event) => {
      const control = event.ctrlKey || event.metaKey;
      if (control && event.key.toLowerCase() === "k") {
        event.preventDefault();
        find();
        return;
      }
      if (control || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (event.key === "/") {
        event.preventDefault();
        find();
        return;
      }
      const view = performance.now() - began < 1500 && VIEWS.find(([, , letter]) => letter === event.key);
      began = event.key === "g" ? performance.now() : 0;
      if (view) go(href(view[0]));
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

function View({ route, project }) {
  const [error, forget] = useErrorBoundary();
  if (error)
    return html`
      <div class="page">
        <${Failure}
          error=${{ message: "This view could not be drawn.", hint: String(error.message ?? error) }}
          again=${forget} />
      </div>
    `;
  const Page = VIEW_OF[route.page] ?? Unknown;
  return html`
    <${Page} key=${route.key} name=${route.key} query=${route.query} project=${project} />
  `;
}

function App() {
  const route = useRoute(),
    [searching, setSearching] = useState(false);
  const about = useLoad("project.json"),
    main = useRef(null),
    place = `${route.page} ${route.key}`,
    last = useRef(place);
  if (about.data) noteProject(about.data);
  useKeys(() => setSearching(true));
  useEffect(() => {
    if (last.current === place) return;
    last.current = place;
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [place]);
  return html`
    <a
      class="skip"
      href="#main"
      onClick=${(event) => {
        event.preventDefault();
        main.current?.focus();
      }}>
      Skip to content
    </a>
    <${Bar} project=${about.data} route=${route} find=${() => setSearching(true)} />
    ${
      about.data?.exported &&
      html`
        <p class="banner">
          As it was${" "}
          <${Time} at=${about.data.exported} />
          .${" "}
          <span class="soft">
            Written by${" "}
            <code>mx ui --export</code>
            ; nothing here changes any more.
          </span>
        </p>
      `
    }
    <main id="main" tabindex="-1" ref=${main}>
      ${
        about.error && !about.data
          ? html`
              <div class="page"><${Failure} error=${about.error} again=${about.again} /></div>
            `
          : html`
              <${View} key=${place} route=${route} project=${about.data} />
            `
      }
    </main>
    ${
      searching &&
      html`
        <${Search} project=${about.data} close=${() => setSearching(false)} />
      `
    }
  `;
}

render(
  html`
    <${App} />
  `,
  document.getElementById("app"),
);
