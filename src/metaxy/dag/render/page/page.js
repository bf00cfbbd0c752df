// What stands around the picture of a page: list and search, the panel of what is selected, and tools.
import { make, mount } from "./picture.js";

const byId = (id) => document.getElementById(id);
const app = byId("app"), stage = byId("stage"), list = byId("list"), search = byId("search"), detail = byId("detail");
const data = JSON.parse(byId("data").textContent);
const covered = () => (getComputedStyle(detail).position === "fixed" ? detail.offsetHeight : 0); // on a phone

function unescaped(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function named() { // what the address names: a feature, or a field of one
  const name = unescaped(location.hash.slice(1)), dot = name.lastIndexOf(".");
  if (Object.hasOwn(data.nodes, name)) return [name, null];
  const feature = name.slice(0, Math.max(dot, 0));
  return Object.hasOwn(data.nodes, feature) ? [feature, name.slice(dot + 1)] : [null, null];
}

function remember(name) { // in the address, for a link; not every page may
  try { history.replaceState(null, "", `#${encodeURIComponent(name)}`); } catch { /* the page works without */ }
}

app.classList.toggle("open", Boolean(named()[0])); // before the picture finds its place
const picture = mount(stage, data, { onSelect: show, onDraw: fill, covered, start: named() });

function show(key, field) { // what is selected
  describe();
  fill();
  remember(key && field ? `${key}.${field}` : key || "");
}

function select(key, field = null) {
  picture.select(key, field, { center: true });
  show(key, field);
}

// -- panel ------------------------------------------------------------------------------------------------------------

function link(key, field, note = "") {
  const row = make(detail, "p"), name = field ? `${key}.${field}` : key, known = picture.nodes.has(key);
  const each = make(row, known ? "a" : "span", known ? { href: `#${encodeURIComponent(name)}` } : {}, name);
  if (known) each.addEventListener("click", (event) => { event.preventDefault(); select(key, field); });
  if (note) make(row, "span", { class: "soft" }, ` ${note}`);
}

function section(title, texts) {
  if (texts.length) make(detail, "h3", {}, title);
  for (const text of texts) make(detail, "p", {}, text);
}

function links(title, those) {
  make(detail, "h3", {}, title);
  for (const each of those) link(...each);
  if (!those.length) make(detail, "p", { class: "soft" }, "nothing");
}

function describe() {
  const { selected, field } = picture;
  app.classList.toggle("open", Boolean(selected));
  detail.replaceChildren();
  if (!selected) return;
  const { about, down } = picture.nodes.get(selected);
  make(detail, "button", { class: "close", "aria-label": "Close" }, "×").addEventListener("click", () => select(null));
  make(detail, "h2", {}, selected);
  if (about.description) make(detail, "p", { class: "prose" }, about.description);
  const facts = make(detail, "dl");
  for (const [name, value] of about.facts) { make(facts, "dt", {}, name); make(make(facts, "dd"), "code", {}, value); }
  section("In the store", about.stats);
  section("What changed", about.changes);
  if (about.fields.length) make(detail, "h3", {}, "Fields");
  for (const [name, note] of about.fields) {
    const row = make(detail, "div", { class: "row" });
    make(row, "a", {}, name).addEventListener("click", () => { picture.select(selected, field === name ? null : name); show(selected, picture.field); });
    make(row, "code", { class: "soft" }, note);
  }
  if (field) {
    links(`${field} is computed from`, about.parents[field] || []);
    links(`${field} is needed by`, picture.needs(selected, field));
  }
  links("Depends on", about.dependencies.map(([key, note]) => [key, null, note]));
  links("Needed by", [...down].map((key) => [key, null]));
  if (about.more) { make(detail, "h3", {}, "Definition"); make(detail, "pre", {}, about.more); }
}

// -- list, search and tools -------------------------------------------------------------------------------------------

function fill() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const has = ({ key, about }) => words.every((word) => key.toLowerCase().includes(word) || about.fields.some(([each]) => each.toLowerCase().includes(word)));
  list.replaceChildren();
  for (const [name, members] of picture.groups) {
    const hits = members.filter(has);
    if (!hits.length) continue;
    const folds = members.length > 1, isFolded = picture.folded.has(name) && !picture.focus;
    if (folds) {
      const head = make(list, "button", { class: "group", title: isFolded ? "Unfold" : "Fold" }, `${isFolded ? "▸" : "▾"} ${name}`);
      make(head, "span", { class: "count" }, String(hits.length));
      head.addEventListener("click", () => picture.fold(name));
    }
    if (folds && isFolded && !words.length) continue;
    for (const { key } of hits) {
      const item = make(list, "button", { class: `item${folds ? "" : " alone"}${key === picture.selected ? " on" : ""}`, "data-key": key }, key);
      item.addEventListener("click", () => select(key));
    }
  }
  if (!list.children.length) make(list, "p", { class: "soft" }, "nothing found");
  byId("all").setAttribute("aria-pressed", String(!picture.focus));
  byId("near").setAttribute("aria-pressed", String(Boolean(picture.focus)));
  byId("near").disabled = !picture.selected;
  byId("depth").hidden = !picture.focus;
  byId("fold").hidden = !picture.foldable.length;
}

const steps = () => (byId("depth").value === "all" ? Infinity : Number(byId("depth").value));
const clicked = { all: () => picture.near(0), near: () => picture.near(steps()), fold: () => picture.fold(), fit: () => picture.fit(), in: () => picture.zoom(1.25), out: () => picture.zoom(0.8) };
for (const [id, act] of Object.entries(clicked)) byId(id).addEventListener("click", act);
byId("depth").addEventListener("change", () => picture.near(steps()));
byId("by").addEventListener("change", (event) => picture.groupBy(event.target.value));
byId("by").value = data.fold || "key";
byId("by").hidden = new Set([...picture.nodes.values()].map((node) => node.about.groups.project)).size < 2;
search.addEventListener("input", fill);
search.addEventListener("keydown", (event) => {
  const first = event.key === "Enter" && list.querySelector(".item");
  if (first) { select(first.dataset.key); search.blur(); }
});
document.addEventListener("keydown", (event) => {
  if (event.target === search && event.key === "Escape") { search.value = ""; fill(); search.blur(); return; }
  if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "Escape") select(null);
  else if (event.key === "f") picture.fit();
  else if (event.key === "+") picture.zoom(1.25);
  else if (event.key === "-") picture.zoom(0.8);
});
addEventListener("hashchange", () => { picture.select(...named(), { center: true }); describe(); fill(); });
describe();
fill();
if (picture.selected) picture.select(picture.selected, picture.field, { center: true }); // now that the panel is there
