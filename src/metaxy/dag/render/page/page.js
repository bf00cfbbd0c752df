"use strict";
// A picture that can be moved, searched and folded. Boxes and lines come drawn and laid out; where only some of them
// are shown, they keep the order that they have in the whole picture, and gaps are closed here.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const LARGE = 80; // features, from which on a page begins with a part
const [GAP, LAYER, LINE] = [28, 64, 16];
const FAR = 0.35; // the scale below which nothing can be read
const byId = (id) => document.getElementById(id);
const app = byId("app"), stage = byId("stage"), picture = byId("picture"), view = byId("view");
const edgesBelow = byId("edges"), list = byId("list"), search = byId("search"), detail = byId("detail");
const flat = DATA.direction === "LR";

const make = (parent, tag, attributes = {}, text = "") => {
  const node = parent.namespaceURI === SVG ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return parent.appendChild(node);
};

// -- what there is ----------------------------------------------------------------------------------------------------

const nodes = new Map(), edges = [], tags = [];
for (const box of view.querySelectorAll(".node")) {
  const [x, y, width, height] = DATA.nodes[box.dataset.key].at;
  const key = box.dataset.key;
  const fields = new Map([...box.querySelectorAll(".field")].map((each) => [each.dataset.field, each]));
  nodes.set(key, { key, box, x, y, width, height, fields, about: DATA.nodes[key], up: new Set(), down: new Set() });
}
for (const line of view.querySelectorAll(".edge")) {
  const [from, to] = [line.dataset.from, line.dataset.to];
  edges.push({ from, to, line, path: line.querySelector(".line").getAttribute("d"), head: line.querySelector(".head").getAttribute("d") });
  nodes.get(from).down.add(to);
  nodes.get(to).up.add(from);
}
for (const tag of view.querySelectorAll(".tags")) tags.push({ from: tag.dataset.from, to: tag.dataset.to, tag });

const groups = new Map(), folded = new Set(), piles = new Map();
let foldable = [];
function group(by) { // by the first part of keys, or by projects
  groups.clear();
  folded.clear();
  for (const pile of piles.values()) pile.box.remove();
  piles.clear();
  for (const node of nodes.values()) {
    node.group = node.about.groups[by];
    if (!groups.has(node.group)) groups.set(node.group, []);
    groups.get(node.group).push(node);
  }
  foldable = [...groups].filter(([, members]) => members.length > 1).map(([name]) => name);
  byId("fold").hidden = !foldable.length;
}
group("key");
byId("by").hidden = new Set([...nodes.values()].map((node) => node.about.groups.project)).size < 2;
let focus = null, depth = 1, selected = null, field = null;

const reach = (start, way, levels) => {
  const found = new Set([start]);
  let layer = [start];
  while (layer.length && levels-- > 0) {
    const next = [];
    for (const key of layer) for (const other of nodes.get(key)[way]) if (!found.has(other)) { found.add(other); next.push(other); }
    layer = next;
  }
  return found;
};
const around = (key, levels) => new Set([...reach(key, "up", levels), ...reach(key, "down", levels)]);

// -- where it stands --------------------------------------------------------------------------------------------------

function nearest(wanted, gaps) {
  const offsets = [0];
  gaps.forEach((gap, i) => offsets.push(offsets[i] + gap));
  const blocks = [];
  wanted.forEach((place, i) => {
    let block = [place - offsets[i], 1];
    while (blocks.length && blocks[blocks.length - 1][0] > block[0]) {
      const [mean, count] = blocks.pop();
      block = [(block[0] * block[1] + mean * count) / (block[1] + count), block[1] + count];
    }
    blocks.push(block);
  });
  return blocks.flatMap(([mean, count]) => Array(count).fill(mean)).map((mean, i) => mean + offsets[i]);
}

function layersOf(items, arcs) {
  const below = new Map(items.map((item) => [item.key, []])), state = new Map(), order = [];
  for (const arc of arcs) below.get(arc.from).push(arc);
  for (const item of items) { // depth first, without recursion; arcs that lead back are drawn upward
    const path = state.has(item.key) ? [] : [[item.key, 0]];
    if (path.length) state.set(item.key, 1);
    while (path.length) {
      const top = path[path.length - 1], arc = below.get(top[0])[top[1]++];
      if (!arc) { state.set(top[0], 2); order.push(top[0]); path.pop(); }
      else if (!state.has(arc.to)) { state.set(arc.to, 1); path.push([arc.to, 0]); }
      else if (state.get(arc.to) === 1) arc.back = true;
    }
  }
  const layer = new Map(items.map((item) => [item.key, 0])), incoming = new Map();
  for (const key of order.reverse()) for (const arc of below.get(key)) if (!arc.back) {
    layer.set(arc.to, Math.max(layer.get(arc.to), layer.get(key) + 1));
    incoming.set(arc.to, (incoming.get(arc.to) || 0) + 1);
  }
  for (const key of order.reverse()) {
    const on = below.get(key).filter((arc) => !arc.back);
    if (on.length > (incoming.get(key) || 0)) layer.set(key, Math.min(...on.map((arc) => layer.get(arc.to))) - 1);
  }
  return layer;
}

function arrange(items, arcs) {
  // across: in a layer; along: from layer to layer. The order across is that of the whole picture.
  const layer = layersOf(items, arcs), rows = [], all = new Map();
  const put = (item) => { (rows[item.layer] ||= []).push(item); all.set(item.id, item); return item; };
  for (const item of items) {
    const [across, along] = flat ? [item.height, item.width] : [item.width, item.height];
    put({ id: item.key, item, layer: layer.get(item.key), size: across, deep: along, near: [], at: (flat ? item.y : item.x) + across / 2 });
  }
  for (const arc of arcs) {
    const ends = [all.get(arc.from), all.get(arc.to)];
    if (ends[0].layer > ends[1].layer) ends.reverse();
    const [top, bottom] = ends, steps = bottom.layer - top.layer;
    arc.way = [top];
    top.bends ||= []; // lines that leave a box are one until they part
    for (let step = 1; step < steps; step++) {
      const at = top.at + ((bottom.at - top.at) * step) / steps;
      top.bends[step] ||= put({ id: Symbol("bend"), layer: top.layer + step, size: 0, deep: 0, near: [], at });
      arc.way.push(top.bends[step]);
    }
    arc.way.push(bottom);
    arc.way.slice(1).forEach((next, i) => {
      if (!next.near.includes(arc.way[i])) { next.near.push(arc.way[i]); arc.way[i].near.push(next); }
    });
  }
  const lines = rows.filter(Boolean);
  lines.forEach((row) => row.sort((a, b) => a.at - b.at));
  const gaps = lines.map((row) => row.slice(1).map((item, i) => (item.size + row[i].size) / 2 + (item.size && row[i].size ? GAP : LINE)));
  for (let turn = 0; turn < 8; turn++) {
    (turn % 2 ? [...lines.keys()].reverse() : [...lines.keys()]).forEach((i) => {
      const wanted = lines[i].map((item) => (item.near.length ? item.near.reduce((sum, other) => sum + other.at, 0) / item.near.length : item.at));
      nearest(wanted, gaps[i]).forEach((at, j) => { lines[i][j].at = at; });
    });
  }
  let along = 0;
  for (const row of lines) {
    const deep = Math.max(...row.map((item) => item.deep));
    for (const item of row) { item.along = along; item.band = deep; }
    along += deep + LAYER;
  }
  return { all, arcs };
}

const point = (across, along) => (flat ? `${along.toFixed(1)} ${across.toFixed(1)}` : `${across.toFixed(1)} ${along.toFixed(1)}`);

function wayOf(arc) {
  let points = [];
  arc.way.forEach((item, i) => {
    const end = i === arc.way.length - 1;
    if (i) points.push([item.at, item.along]);
    if (!end) points.push([item.at, item.along + (i ? item.band : item.deep)]);
    if (!i && item.deep < item.band) points.push([item.at, item.along + item.band]);
  });
  if (arc.way[0].id !== arc.from) points.reverse();
  const tip = points[points.length - 1], back = tip[1] < points[points.length - 2][1] ? -7 : 7;
  const head = `M${point(tip[0] - 3.6, tip[1] - back)}L${point(...tip)}L${point(tip[0] + 3.6, tip[1] - back)}Z`;
  points[points.length - 1] = [tip[0], tip[1] - back];
  let path = `M${point(...points[0])}`;
  points.slice(1).forEach(([across, deep], i) => {
    const [from, above] = points[i], half = (deep - above) / 2;
    path += `C${point(from, above + half)} ${point(across, deep - half)} ${point(across, deep)}`;
  });
  return { path, head };
}

// -- what is shown ----------------------------------------------------------------------------------------------------

function pileOf(name) {
  if (piles.has(name)) return piles.get(name);
  const members = groups.get(name), width = Math.max(150, 60 + 8 * name.length), height = 62;
  const box = make(byId("cards"), "g", { class: "node pileup", tabindex: 0 });
  make(box, "title", {}, `${name}: ${members.length} features; click to unfold`);
  for (const shift of [8, 4]) make(box, "rect", { class: "pile", x: shift, y: -shift, width, height, rx: 8 });
  make(box, "rect", { class: "card", width, height, rx: 8 });
  make(box, "text", { class: "name strong", x: 14, y: 26 }, name);
  make(box, "text", { class: "small soft", x: 14, y: 46 }, `${members.length} features`);
  const changed = members.filter((member) => member.about.status && !["normal", "unchanged"].includes(member.about.status));
  if (changed.length) make(box, "text", { class: "small what", x: width - 14, y: 46, "text-anchor": "end" }, `${changed.length} differ`);
  box.addEventListener("click", () => { if (!dragged) toggle(name); });
  const mean = (way) => members.reduce((sum, member) => sum + member[way], 0) / members.length;
  const pile = { key: `\u0000${name}`, name, box, width, height, x: mean("x"), y: mean("y"), members };
  piles.set(name, pile);
  return pile;
}

let shown = new Map(); // by key: where each box stands
let drawn = [];

function draw(fitAfter = true) {
  const wanted = focus ? around(focus, depth) : new Set(nodes.keys());
  const nameOf = (key) => (!focus && folded.has(nodes.get(key).group) ? `\u0000${nodes.get(key).group}` : key);
  const items = new Map();
  for (const key of wanted) {
    const name = nameOf(key);
    if (!items.has(name)) items.set(name, name === key ? nodes.get(key) : pileOf(nodes.get(key).group));
  }
  const complete = items.size === nodes.size && !focus && !folded.size;
  for (const node of nodes.values()) { node.out = undefined; node.box.classList.toggle("gone", !items.has(node.key)); }
  for (const pile of piles.values()) pile.box.classList.toggle("gone", !items.has(pile.key));
  edgesBelow.querySelectorAll(".between").forEach((each) => each.remove());
  shown = new Map();
  drawn = [];
  if (complete) {
    for (const node of nodes.values()) move(node, node.x, node.y);
    for (const edge of edges) { set(edge, edge.path, edge.head); drawn.push(edge); }
  } else {
    const arcs = new Map();
    for (const edge of edges) {
      const [from, to] = wanted.has(edge.from) && wanted.has(edge.to) ? [nameOf(edge.from), nameOf(edge.to)] : [null, null];
      edge.line.classList.add("gone");
      if (from !== to && !arcs.has(`${from}\n${to}`)) arcs.set(`${from}\n${to}`, { from, to, edge: from === edge.from && to === edge.to ? edge : null });
    }
    const found = arrange([...items.values()], [...arcs.values()]);
    for (const { item, at, along, size } of found.all.values()) if (item) move(item, flat ? along : at - size / 2, flat ? at - size / 2 : along);
    for (const arc of found.arcs) {
      const { path, head } = wayOf(arc);
      if (!arc.edge) {
        const line = make(edgesBelow, "g", { class: "edge between" });
        make(line, "path", { class: "line" });
        make(line, "path", { class: "head" });
        arc.edge = { from: arc.from, to: arc.to, line };
      }
      set(arc.edge, path, head);
      drawn.push(arc.edge);
    }
  }
  for (const { tag } of tags) tag.classList.toggle("gone", !complete);
  byId("all").setAttribute("aria-pressed", String(!focus));
  byId("near").setAttribute("aria-pressed", String(Boolean(focus)));
  byId("near").disabled = !selected;
  byId("depth").hidden = !focus;
  fill();
  light();
  if (fitAfter) fit();
}

function move(item, x, y) {
  item.box.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  shown.set(item.key, { x, y, width: item.width, height: item.height });
}

function frameOf(path) { // M x y, H x, V y, and C with three points
  const frame = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  const across = (x) => { frame.x0 = Math.min(frame.x0, x); frame.x1 = Math.max(frame.x1, x); };
  const down = (y) => { frame.y0 = Math.min(frame.y0, y); frame.y1 = Math.max(frame.y1, y); };
  for (const [, letter, rest] of path.matchAll(/([MHVC])([^MHVC]*)/g)) {
    const numbers = rest.trim().split(/\s+/).map(Number);
    if (letter === "H") across(numbers[0]);
    else if (letter === "V") down(numbers[0]);
    else numbers.forEach((each, i) => (i % 2 ? down : across)(each));
  }
  return frame;
}

function set(edge, path, head) {
  edge.out = undefined;
  edge.frame = frameOf(path);
  edge.line.classList.remove("gone");
  edge.line.querySelector(".line").setAttribute("d", path);
  edge.line.querySelector(".head").setAttribute("d", head);
}

function toggle(name) {
  if (!folded.delete(name)) folded.add(name);
  whole();
}

function whole() {
  focus = null;
  select(null);
  draw();
}

// -- what belongs together --------------------------------------------------------------------------------------------

function lineage(key, name) { // of a field: feature → its fields above and below
  const found = new Map([[key, new Set([name])]]), ways = new Set();
  const add = (feature, each) => {
    if (!nodes.has(feature) || found.get(feature)?.has(each)) return false;
    if (!found.has(feature)) found.set(feature, new Set());
    found.get(feature).add(each);
    return true;
  };
  const next = { up: (f, n) => DATA.nodes[f].parents[n] || [], down: (f, n) => children.get(`${f}\n${n}`) || [] };
  for (const way of ["up", "down"]) {
    const seen = new Set([`${key}\n${name}`]), waiting = [[key, name]];
    while (waiting.length) {
      const [from, own] = waiting.pop();
      for (const [feature, each] of next[way](from, own)) {
        if (!nodes.has(feature)) continue;
        ways.add(way === "up" ? `${feature}\n${from}` : `${from}\n${feature}`);
        if (seen.has(`${feature}\n${each}`)) continue;
        seen.add(`${feature}\n${each}`);
        add(feature, each);
        waiting.push([feature, each]);
      }
    }
  }
  return [found, ways];
}
const children = new Map();
for (const [key, { parents }] of Object.entries(DATA.nodes)) for (const [name, those] of Object.entries(parents)) for (const [feature, each] of those) {
  const from = `${feature}\n${each}`;
  if (!children.has(from)) children.set(from, []);
  children.get(from).push([key, name]);
}

function light(key = selected, name = field) {
  const [fields, ways] = key && name ? lineage(key, name) : [null, null];
  const sides = key ? [reach(key, "up", Infinity), reach(key, "down", Infinity)] : [];
  const near = !key ? null : fields ? new Set(fields.keys()) : around(key, Infinity);
  picture.classList.toggle("dim", Boolean(near));
  for (const node of nodes.values()) {
    node.box.classList.toggle("near", Boolean(near?.has(node.key)));
    node.box.classList.toggle("on", node.key === selected);
    for (const [each, row] of node.fields) row.classList.toggle("lit", Boolean(fields?.get(node.key)?.has(each)));
  }
  for (const pile of piles.values()) pile.box.classList.toggle("near", Boolean(near && pile.members.some((member) => near.has(member.key))));
  const onWay = ({ from, to }) => (ways ? ways.has(`${from}\n${to}`) : sides.some((side) => side.has(from) && side.has(to)));
  for (const edge of drawn) edge.line.classList.toggle("near", Boolean(onWay(edge)));
  for (const { from, to, tag } of tags) tag.classList.toggle("near", Boolean(onWay({ from, to })));
  sketch(near, onWay);
}

function sketch(near, onWay) { // all that is shown as a few paths, for when it is too small to be read
  const far = byId("far"), paths = new Map();
  const add = (kind, path) => paths.set(kind, (paths.get(kind) || "") + path);
  for (const edge of drawn) add(near && onWay(edge) ? "line near" : near ? "line rest" : "line", edge.line.querySelector(".line").getAttribute("d"));
  for (const [key, { x, y, width, height }] of shown) {
    const status = nodes.get(key)?.about.status || "normal";
    add(`dot ${status}${near ? (near.has(key) ? " near" : " rest") : ""}`, `M${x} ${y}h${width}v${height}h${-width}z`);
  }
  far.replaceChildren();
  for (const [kind, d] of [...paths].sort(([a], [b]) => (a.startsWith("line") ? 0 : 1) - (b.startsWith("line") ? 0 : 1))) make(far, "path", { class: kind, d });
}

function select(key, name = null, { center = false, quiet = false } = {}) {
  selected = key;
  field = name;
  if (key && !focus && folded.has(nodes.get(key).group)) { folded.delete(nodes.get(key).group); draw(false); center = true; }
  if (focus && key && key !== focus && !around(focus, depth).has(key)) { focus = key; draw(); }
  describe();
  light();
  fill();
  byId("near").disabled = !key;
  if (!quiet) remember(key && name ? `${key}.${name}` : key || "");
  if (center && key) centre(key);
}

function remember(name) { // in the address, for a link; not every page may
  try { history.replaceState(null, "", `#${encodeURIComponent(name)}`); } catch { /* the page works without */ }
}

// -- detail -----------------------------------------------------------------------------------------------------------

function link(parent, key, name, note = "") {
  const row = make(parent, "p");
  const target = nodes.has(key);
  const each = make(row, target ? "a" : "span", target ? { href: `#${encodeURIComponent(name ? `${key}.${name}` : key)}` } : {}, name ? `${key}.${name}` : key);
  if (target) each.addEventListener("click", (event) => { event.preventDefault(); select(key, name, { center: true }); });
  if (note) make(row, "span", { class: "soft" }, ` ${note}`);
}

function links(those) {
  for (const [key, name, note] of those) link(detail, key, name, note);
  if (!those.length) make(detail, "p", { class: "soft" }, "nothing");
}

function describe() {
  const before = stage.clientWidth;
  app.classList.toggle("open", Boolean(selected));
  left += (stage.clientWidth - before) / 2;
  settle();
  detail.replaceChildren();
  if (!selected) return;
  const { about } = nodes.get(selected), close = make(detail, "button", { class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => select(null));
  make(detail, "h2", {}, selected);
  if (about.description) make(detail, "p", {}, about.description);
  const facts = make(detail, "dl");
  for (const [name, value] of about.facts) { make(facts, "dt", {}, name); make(make(facts, "dd"), "code", {}, value); }
  if (about.stats.length) make(detail, "h3", {}, "In the store");
  for (const each of about.stats) make(detail, "p", {}, each);
  if (about.changes.length) {
    make(detail, "h3", {}, "What changed");
    for (const each of about.changes) make(detail, "p", {}, each);
  }
  if (about.fields.length) make(detail, "h3", {}, "Fields");
  for (const [name, note] of about.fields) {
    const row = make(detail, "div", { class: "row" });
    make(row, "a", {}, name).addEventListener("click", () => select(selected, field === name ? null : name));
    make(row, "code", { class: "soft" }, note);
  }
  if (field) {
    make(detail, "h3", {}, `${field} is computed from`);
    links(about.parents[field] || []);
    make(detail, "h3", {}, `${field} is needed by`);
    links(children.get(`${selected}\n${field}`) || []);
  }
  make(detail, "h3", {}, "Depends on");
  links(about.dependencies.map(([key, note]) => [key, null, note]));
  make(detail, "h3", {}, "Needed by");
  links([...nodes.get(selected).down].map((key) => [key, null]));
  if (about.more) { make(detail, "h3", {}, "Definition"); make(detail, "pre", {}, about.more); }
}

// -- list and search --------------------------------------------------------------------------------------------------

function fill() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  list.replaceChildren();
  for (const [name, members] of groups) {
    const hits = members.filter(({ key, about }) => words.every((word) => key.toLowerCase().includes(word) || about.fields.some(([each]) => each.toLowerCase().includes(word))));
    if (!hits.length) continue;
    const folds = members.length > 1, isFolded = folded.has(name) && !focus;
    if (folds) {
      const head = make(list, "button", { class: "group", title: isFolded ? "Unfold" : "Fold" }, `${isFolded ? "▸" : "▾"} ${name}`);
      make(head, "span", { class: "count" }, String(hits.length));
      head.addEventListener("click", () => toggle(name));
    }
    if (folds && isFolded && !words.length) continue;
    for (const { key } of hits) {
      const item = make(list, "button", { class: `item${key === selected ? " on" : ""}`, "data-key": key }, key);
      item.addEventListener("click", () => select(key, null, { center: true }));
    }
  }
  if (!list.children.length) make(list, "p", { class: "soft" }, "nothing found");
}
search.addEventListener("input", fill);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const first = list.querySelector(".item");
  if (first) { select(first.dataset.key, null, { center: true }); search.blur(); }
});
document.addEventListener("keydown", (event) => {
  if (event.target === search && event.key === "Escape") { search.value = ""; fill(); search.blur(); return; }
  if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "Escape") select(null);
  else if (event.key === "f") fit();
  else if (event.key === "+") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
});

// -- pan and zoom -----------------------------------------------------------------------------------------------------

let scale = 1, left = 0, top_ = 0, waiting = false, dragged = false, rest = 0;
const settled = { scale: 1, left: 0, top: 0 };
const fingers = new Map();

function place() { // what is painted moves as an image; it is painted anew when it comes to rest
  clearTimeout(rest);
  rest = setTimeout(settle, 120);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const by = scale / settled.scale;
    picture.style.transform = `translate(${left - settled.left * by}px,${top_ - settled.top * by}px) scale(${by})`;
  });
}

function settle() {
  clearTimeout(rest);
  Object.assign(settled, { scale, left, top: top_ });
  view.setAttribute("transform", `translate(${left.toFixed(2)} ${top_.toFixed(2)}) scale(${scale.toFixed(4)})`);
  picture.style.transform = "";
  picture.classList.toggle("far", scale < FAR);
  cull();
}

function cull() { // in large pictures only what can be seen is there
  if (shown.size <= 150 || scale < FAR) return;
  const width = stage.clientWidth, height = stage.clientHeight;
  for (const [key, at] of shown) {
    const item = nodes.get(key);
    if (!item) continue;
    const [x, y] = [at.x * scale + left, at.y * scale + top_];
    const out = x > 2 * width || y > 2 * height || x + at.width * scale < -width || y + at.height * scale < -height;
    if (out !== item.out) { item.out = out; item.box.classList.toggle("gone", out); }
  }
  for (const edge of drawn) {
    const { x0, y0, x1, y1 } = edge.frame;
    const out = x0 * scale + left > 2 * width || y0 * scale + top_ > 2 * height || x1 * scale + left < -width || y1 * scale + top_ < -height;
    if (out !== edge.out) { edge.out = out; edge.line.classList.toggle("gone", out); }
  }
}

function fit() {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, width, height } of shown.values()) [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + width), Math.max(y1, y + height)];
  if (x0 === Infinity) return;
  const width = stage.clientWidth, height = stage.clientHeight;
  scale = Math.min(1.15, (width - 60) / (x1 - x0), (height - 110) / (y1 - y0));
  left = (width - (x0 + x1) * scale) / 2;
  top_ = (height - 20 - (y0 + y1) * scale) / 2;
  settle();
}

function centre(key) {
  const at = shown.get(key);
  if (!at) return;
  scale = Math.max(scale, 0.8);
  left = stage.clientWidth / 2 - (at.x + at.width / 2) * scale;
  const covered = getComputedStyle(detail).position === "fixed" ? detail.offsetHeight : 0; // on a phone
  top_ = (stage.clientHeight - covered) / 2 - (at.y + at.height / 2) * scale;
  settle();
}

function zoom(by, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const next = Math.min(4, Math.max(0.02, scale * by));
  left = x - ((x - left) * next) / scale;
  top_ = y - ((y - top_) * next) / scale;
  scale = next;
  place();
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = stage.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - at.left, event.clientY - at.top);
}, { passive: false });
stage.addEventListener("pointerdown", (event) => {
  if (event.target.closest(".tools")) return;
  fingers.set(event.pointerId, event);
  dragged = false;
});
stage.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
  if (!dragged && Math.hypot(dx, dy) < 4) return;
  if (!dragged) { dragged = true; stage.setPointerCapture(event.pointerId); stage.classList.add("moving"); }
  if (fingers.size === 2) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
    const at = stage.getBoundingClientRect(), span = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    zoom(span(event) / (span(before) || 1), (event.clientX + other.clientX) / 2 - at.left, (event.clientY + other.clientY) / 2 - at.top);
  } else { left += dx; top_ += dy; place(); }
  fingers.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => { fingers.delete(event.pointerId); stage.classList.remove("moving"); });

// -- pointing and clicking --------------------------------------------------------------------------------------------

view.addEventListener("click", (event) => {
  const box = event.target.closest(".node[data-key]");
  if (!box || dragged || scale < FAR) return;
  const row = event.target.closest(".field"), key = box.dataset.key, name = row?.dataset.field || null;
  select(key, selected === key && field === name ? null : name);
});
stage.addEventListener("click", (event) => {
  if (dragged || event.target.closest(".node,.tools")) return;
  const at = stage.getBoundingClientRect(), [x, y] = [(event.clientX - at.left - left) / scale, (event.clientY - at.top - top_) / scale];
  const found = scale < FAR && [...shown].find(([, box]) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height);
  if (found && nodes.has(found[0])) select(found[0], null, { center: true });
  else if (found) toggle(found[0].slice(1));
  else select(null);
});
view.addEventListener("pointerover", (event) => {
  const row = event.target.closest(".field");
  if (row && !fingers.size) light(row.closest(".node").dataset.key, row.dataset.field);
});
view.addEventListener("pointerout", (event) => { if (event.target.closest(".field") && !fingers.size) light(); });
byId("all").addEventListener("click", () => { focus = null; draw(); });
byId("near").addEventListener("click", () => { focus = selected; draw(); });
byId("depth").addEventListener("change", (event) => { depth = event.target.value === "all" ? Infinity : Number(event.target.value); draw(); });
byId("fold").addEventListener("click", () => { if (folded.size) folded.clear(); else foldable.forEach((name) => folded.add(name)); whole(); });
byId("fit").addEventListener("click", fit);
byId("in").addEventListener("click", () => zoom(1.25));
byId("out").addEventListener("click", () => zoom(0.8));
byId("by").addEventListener("change", (event) => { group(event.target.value); foldable.forEach((name) => folded.add(name)); whole(); });
addEventListener("resize", fit);

function open() { // what the address names: a feature, or a field of one
  const name = decodeURIComponent(location.hash.slice(1)), dot = name.lastIndexOf(".");
  if (nodes.has(name)) return [name, null];
  return dot > 0 && nodes.has(name.slice(0, dot)) ? [name.slice(0, dot), name.slice(dot + 1)] : [null, null];
}
addEventListener("hashchange", () => { const [key, name] = open(); select(key, name, { center: true, quiet: true }); });

const [first, firstField] = open();
if (nodes.size > LARGE) {
  const boxes = foldable.length + nodes.size - foldable.reduce((sum, name) => sum + groups.get(name).length, 0);
  const busiest = [...nodes.values()].reduce((best, node) => (node.up.size + node.down.size > best.up.size + best.down.size ? node : best));
  if (first) focus = first;
  else if (boxes <= LARGE) foldable.forEach((name) => folded.add(name));
  else { focus = busiest.key; selected = busiest.key; }
}
if (first) { selected = first; field = firstField; }
describe();
draw();
if (first && !focus) centre(first);
