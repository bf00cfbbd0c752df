// A picture that can be moved, searched and folded. Boxes and lines come drawn and laid out; where only some of them
// are shown, they keep the order that they have in the whole picture, and gaps are closed here.
//
//   const picture = mount(stage, data, { svg, onSelect, onDraw, covered, start });
//
// stage     the element that the picture fills; it has an svg.picture with a g.view, unless `svg` has the groups for one
// data      what the drawing says of each feature
// onSelect  (key, field) after somebody clicked; null for nothing
// onDraw    after other boxes are shown
// covered   () → how many pixels at the bottom of the stage something else covers
// start     [key, field] to begin with; large graphs begin with a part
//
// select(key, field, {center}), near(depth), fold(name), groupBy("key" | "project"), note(key, lines, state), fit(),
// zoom(by), destroy(); and to look at: nodes, groups, foldable, folded, focus, depth, selected, field, needs(key, field)

const SVG = "http://www.w3.org/2000/svg";
const LARGE = 80; // features, from which on a picture begins with a part
const [GAP, LAYER, LINE] = [28, 64, 16];
const FAR = 0.35; // the scale below which nothing can be read
const READABLE = 0.6; // the scale from which everything can
const LABELLED = 150; // boxes, up to which they have names from afar
const STATES = { error: "not counted", missing: "without rows", needs_update: "to update", up_to_date: "up to date", root_feature: "root" };

export function mount(stage, data, options = {}) {
  return new Picture(stage, data, options);
}

export function make(parent, tag, attributes = {}, text = "") {
  const node = parent.namespaceURI === SVG ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return parent.appendChild(node);
}

// -- where boxes and lines go, where only some are shown --------------------------------------------------------------

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

function arrange(items, arcs, flat) {
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
  return all;
}

function wayOf(arc, flat) {
  const point = (across, along) => (flat ? `${along.toFixed(1)} ${across.toFixed(1)}` : `${across.toFixed(1)} ${along.toFixed(1)}`);
  const points = [];
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

function drawingOf(markup) { // groups of SVG, escaped by who drew them
  const text = `<svg xmlns="${SVG}" class="mx picture" role="img"><g class="view">${markup}</g></svg>`;
  return document.adoptNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement);
}

// -- the picture ------------------------------------------------------------------------------------------------------

class Picture {
  nodes = new Map();
  groups = new Map(); // by the first part of keys, or by projects
  foldable = [];
  folded = new Set();
  focus = null;
  depth = 1;
  selected = null;
  field = null;
  #edges = [];
  #tags = [];
  #piles = new Map(); // what stands for a folded group
  #children = new Map();
  #shown = new Map(); // by key: where each box stands
  #drawn = [];
  #scale = 1;
  #left = 0;
  #top = 0;
  #settled = { scale: 1, left: 0, top: 0 };
  #size = [0, 0]; // of the stage, when the picture was placed
  #fitted = false;
  #fingers = new Map();
  #dragged = false;
  #placing = false;
  #rest = 0;
  #outdated = true; // what is shown from afar
  #listening = new AbortController();

  constructor(stage, data, { svg = "", onSelect = () => {}, onDraw = () => {}, covered = () => 0, start = [] }) {
    Object.assign(this, { stage, data, covered, flat: data.direction === "LR", own: Boolean(svg) });
    if (svg) stage.prepend(drawingOf(svg));
    this.picture = stage.querySelector(".picture");
    this.view = this.picture.querySelector(".view");
    this.#read();
    this.#group(data.fold || "key");
    if (data.fold) this.foldable.forEach((name) => this.folded.add(name));
    this.#listen();
    this.#begin(start);
    Object.assign(this, { onSelect, onDraw }); // who mounts it has it first
  }

  #read() {
    const [sketch, edges, cards] = ["sketch", "edges", "cards"].map((name) => this.view.querySelector(`.${name}`));
    Object.assign(this, { edgesGroup: edges, cardsGroup: cards, sketchGroup: sketch || make(this.view, "g", { class: "sketch" }) });
    for (const box of cards.querySelectorAll(".node")) {
      const key = box.dataset.key, about = this.data.nodes[key], [x, y, width, height] = about.at;
      const fields = new Map([...box.querySelectorAll(".field")].map((each) => [each.dataset.field, each]));
      const note = about.state && { lines: about.stats, state: about.state };
      this.nodes.set(key, { key, box, x, y, width, height, fields, about, note, up: new Set(), down: new Set() });
      for (const [name, parents] of Object.entries(about.parents)) for (const [feature, each] of parents) {
        const from = `${feature}\n${each}`;
        if (!this.#children.has(from)) this.#children.set(from, []);
        this.#children.get(from).push([key, name]);
      }
    }
    for (const line of edges.querySelectorAll(".edge")) {
      const [from, to] = [line.dataset.from, line.dataset.to], [way, tip] = [line.querySelector(".line"), line.querySelector(".head")];
      this.#edges.push({ from, to, line, way, tip, path: way.getAttribute("d"), head: tip.getAttribute("d") });
      this.nodes.get(from).down.add(to);
      this.nodes.get(to).up.add(from);
    }
    for (const tag of edges.querySelectorAll(".tags")) this.#tags.push({ from: tag.dataset.from, to: tag.dataset.to, tag });
  }

  #group(by) {
    this.groups.clear();
    this.folded.clear();
    for (const pile of this.#piles.values()) pile.box.remove();
    this.#piles.clear();
    for (const node of this.nodes.values()) {
      node.group = node.about.groups[by];
      if (!this.groups.has(node.group)) this.groups.set(node.group, []);
      this.groups.get(node.group).push(node);
    }
    this.foldable = [...this.groups].filter(([, members]) => members.length > 1).map(([name]) => name);
  }

  #begin([key, field = null]) {
    const first = this.nodes.has(key) ? key : null;
    if (this.nodes.size > LARGE) {
      const boxes = this.groups.size;
      const busiest = [...this.nodes.values()].reduce((best, node) => (node.up.size + node.down.size > best.up.size + best.down.size ? node : best));
      if (first) this.focus = first;
      else if (boxes <= LARGE) this.foldable.forEach((name) => this.folded.add(name));
      else this.focus = busiest.key;
    }
    if (first) { this.selected = first; this.field = field; }
    this.#draw();
    if (this.selected || this.focus) this.#reveal(this.selected || this.focus);
  }

  // -- what others ask for --------------------------------------------------------------------------------------------

  select(key, field = null, { center = false } = {}) {
    key = this.nodes.has(key) ? key : null;
    this.selected = key;
    this.field = key && field;
    const group = key && !this.focus && this.nodes.get(key).group;
    if (this.folded.delete(group)) { this.#draw(false); center = true; }
    if (this.focus && key && key !== this.focus && !this.#around(this.focus, this.depth).has(key)) { this.focus = key; this.#draw(); }
    this.#light();
    if (center && key) this.#reveal(key);
  }

  near(depth) { // how many steps around what is selected; 0 for the whole graph
    if (depth) [this.focus, this.depth] = [this.selected || this.focus, depth];
    else this.focus = null;
    this.#draw();
  }

  fold(name = null) { // or unfold: one group, or all
    if (name !== null) this.folded.delete(name) || this.folded.add(name);
    else if (this.folded.size) this.folded.clear();
    else this.foldable.forEach((each) => this.folded.add(each));
    this.#whole();
  }

  groupBy(by) {
    this.#group(by);
    this.foldable.forEach((name) => this.folded.add(name));
    this.#whole();
  }

  note(key, lines, state = "") { // what is known of a feature by now, in the line that its box has for that
    const node = this.nodes.get(key);
    if (!node) return;
    node.note = { lines, state };
    this.#write(node, lines, state);
    const pile = this.#piles.get(node.group);
    if (pile) this.#noteOfPile(pile);
  }

  needs(key, field) { // the fields that are computed from a field
    return this.#children.get(`${key}\n${field}`) || [];
  }

  fit() {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const { x, y, width, height } of this.#shown.values()) [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + width), Math.max(y1, y + height)];
    if (x0 === Infinity) return;
    const [width, height] = [this.stage.clientWidth, Math.max(this.stage.clientHeight - this.covered(), 200)];
    this.#scale = Math.max(0.01, Math.min(1.15, (width - 60) / (x1 - x0), (height - 110) / (y1 - y0)));
    this.#left = (width - (x0 + x1) * this.#scale) / 2;
    this.#top = (height - 20 - (y0 + y1) * this.#scale) / 2;
    this.#fitted = true;
    this.#settle();
  }

  zoom(by, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const next = Math.min(4, Math.max(0.02, this.#scale * by));
    this.#left = x - ((x - this.#left) * next) / this.#scale;
    this.#top = y - ((y - this.#top) * next) / this.#scale;
    this.#scale = next;
    this.#place();
  }

  destroy() {
    this.#listening.abort();
    this.observer.disconnect();
    clearTimeout(this.#rest);
    this.#placing = true; // what waits for a frame finds nothing to do
    if (this.own) this.picture.remove();
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  #whole() {
    this.focus = this.selected = this.field = null;
    this.#draw();
    this.onSelect(null, null);
  }

  #draw(fitAfter = true) {
    const wanted = this.focus ? this.#around(this.focus, this.depth) : new Set(this.nodes.keys());
    const nameOf = (key) => (!this.focus && this.folded.has(this.nodes.get(key).group) ? `\u0000${this.nodes.get(key).group}` : key);
    const items = new Map();
    for (const key of wanted) {
      const name = nameOf(key);
      if (!items.has(name)) items.set(name, name === key ? this.nodes.get(key) : this.#pileOf(this.nodes.get(key).group));
    }
    const complete = items.size === this.nodes.size && !this.focus && !this.folded.size;
    for (const node of this.nodes.values()) { node.out = undefined; node.box.classList.toggle("gone", !items.has(node.key)); }
    for (const pile of this.#piles.values()) pile.box.classList.toggle("gone", !items.has(pile.key));
    this.edgesGroup.querySelectorAll(".between").forEach((each) => each.remove());
    this.#shown = new Map();
    this.#drawn = [];
    if (complete) {
      for (const node of this.nodes.values()) this.#move(node, node.x, node.y);
      for (const edge of this.#edges) this.#set(edge, edge.path, edge.head);
    } else this.#arrange(wanted, items, nameOf);
    for (const { tag } of this.#tags) tag.classList.toggle("gone", !complete);
    this.#light();
    if (fitAfter) this.fit();
    this.onDraw?.();
  }

  #arrange(wanted, items, nameOf) {
    const arcs = new Map();
    for (const edge of this.#edges) {
      const [from, to] = wanted.has(edge.from) && wanted.has(edge.to) ? [nameOf(edge.from), nameOf(edge.to)] : [null, null];
      edge.line.classList.add("gone");
      if (from !== to && !arcs.has(`${from}\n${to}`)) arcs.set(`${from}\n${to}`, { from, to, edge: from === edge.from && to === edge.to ? edge : null });
    }
    for (const { item, at, along, size } of arrange([...items.values()], [...arcs.values()], this.flat).values()) {
      if (item) this.#move(item, this.flat ? along : at - size / 2, this.flat ? at - size / 2 : along);
    }
    for (const arc of arcs.values()) {
      const { path, head } = wayOf(arc, this.flat);
      this.#set(arc.edge || this.#between(arc.from, arc.to), path, head);
    }
  }

  #between(from, to) { // a line that stands for those of folded groups
    const line = make(this.edgesGroup, "g", { class: "edge between" });
    return { from, to, line, way: make(line, "path", { class: "line" }), tip: make(line, "path", { class: "head" }) };
  }

  #pileOf(name) {
    if (this.#piles.has(name)) return this.#piles.get(name);
    const members = this.groups.get(name), live = members.some((member) => member.note || member.box.querySelector(".live"));
    const width = Math.max(live ? 220 : 150, 60 + 8 * name.length), height = live ? 80 : 62;
    const box = make(this.cardsGroup, "g", { class: "node pileup", tabindex: 0 });
    make(box, "title", {}, `${name}: ${members.length} features; click to unfold`);
    for (const sheet of [8, 4]) make(box, "rect", { class: "pile", x: sheet, y: 8 - sheet, width, height, rx: 8 });
    make(box, "rect", { class: "card", y: 8, width, height, rx: 8 });
    make(box, "text", { class: "name strong", x: 14, y: 34 }, name);
    make(box, "text", { class: "small soft", x: 14, y: 54 }, `${members.length} features`);
    const changed = members.filter((member) => member.about.status && !["normal", "unchanged"].includes(member.about.status));
    const worst = ["added", "removed", "changed", "affected", "described", "missing"].find((status) => changed.some((member) => member.about.status === status));
    if (changed.length) make(box, "text", { class: "small what", x: width - 14, y: 54, "text-anchor": "end" }, `${changed.length} differ`);
    if (changed.length) box.classList.add(changed.length < members.length && !["affected", "described"].includes(worst) ? "changed" : worst);
    if (live) {
      const line = make(box, "g", { class: "live", transform: "translate(14 70)" });
      for (const part of ["title", "path", "text"]) make(line, part, part === "path" ? { class: "lamp" } : part === "text" ? { class: "small soft", y: 4 } : {});
    }
    const mean = (way) => members.reduce((sum, member) => sum + member[way], 0) / members.length;
    const pile = { key: `\u0000${name}`, name, box, width: width + 8, height: height + 8, x: mean("x"), y: mean("y"), members };
    this.#piles.set(name, pile);
    this.#noteOfPile(pile);
    return pile;
  }

  #noteOfPile(pile) {
    const counts = Object.keys(STATES).map((state) => [state, pile.members.filter(({ note }) => note?.state === state).length]).filter(([, count]) => count);
    const said = counts.map(([state, count]) => `${count} ${STATES[state]}`);
    this.#write(pile, said.length ? [said.slice(0, 2).join(", "), ...said.slice(2)] : [], counts.length ? counts[0][0] : "");
  }

  #write({ box, width }, lines, state) {
    const live = box.querySelector(".live");
    if (!live) return;
    const [title, lamp, text] = live.children, shape = this.data.lamps[state], left = shape ? 15 : 0;
    const letters = Math.floor((width - 28 - left) / 5.9), line = lines[0] || "";
    title.textContent = lines.join("\n");
    lamp.setAttribute("class", `lamp ${shape ? state : ""}`);
    lamp.setAttribute("d", shape || "");
    text.setAttribute("x", left);
    text.textContent = line.length > letters ? `${line.slice(0, letters - 1).trimEnd()}…` : line;
  }

  #move(item, x, y) {
    item.box.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    this.#shown.set(item.key, { x, y, width: item.width, height: item.height });
  }

  #set(edge, path, head) {
    edge.out = undefined;
    edge.frame = frameOf(path);
    edge.line.classList.remove("gone");
    edge.way.setAttribute("d", path);
    edge.tip.setAttribute("d", head);
    this.#drawn.push(edge);
  }

  // -- what belongs together ------------------------------------------------------------------------------------------

  #reach(start, way, levels) {
    const found = new Set([start]);
    let layer = [start];
    while (layer.length && levels-- > 0) {
      const next = [];
      for (const key of layer) for (const other of this.nodes.get(key)[way]) if (!found.has(other)) { found.add(other); next.push(other); }
      layer = next;
    }
    return found;
  }

  #around(key, levels) {
    return new Set([...this.#reach(key, "up", levels), ...this.#reach(key, "down", levels)]);
  }

  #lineage(key, name) { // of a field: feature → its fields above and below, and the lines between
    const found = new Map([[key, new Set([name])]]), ways = new Set();
    const next = { up: (f, n) => this.nodes.get(f).about.parents[n] || [], down: (f, n) => this.needs(f, n) };
    for (const way of ["up", "down"]) {
      const seen = new Set([`${key}\n${name}`]), waiting = [[key, name]];
      while (waiting.length) {
        const [from, own] = waiting.pop();
        for (const [feature, each] of next[way](from, own)) {
          if (!this.nodes.has(feature)) continue;
          ways.add(way === "up" ? `${feature}\n${from}` : `${from}\n${feature}`);
          if (seen.has(`${feature}\n${each}`)) continue;
          seen.add(`${feature}\n${each}`);
          if (!found.has(feature)) found.set(feature, new Set());
          found.get(feature).add(each);
          waiting.push([feature, each]);
        }
      }
    }
    return [found, ways];
  }

  #light(key = this.selected, name = this.field) {
    const [fields, ways] = key && name ? this.#lineage(key, name) : [null, null];
    const sides = key ? [this.#reach(key, "up", Infinity), this.#reach(key, "down", Infinity)] : [];
    const near = !key ? null : fields ? new Set(fields.keys()) : new Set([...sides[0], ...sides[1]]);
    const onWay = ({ from, to }) => (ways ? ways.has(`${from}\n${to}`) : sides.some((side) => side.has(from) && side.has(to)));
    this.picture.classList.toggle("dim", Boolean(near));
    for (const node of this.nodes.values()) {
      node.box.classList.toggle("near", Boolean(near?.has(node.key)));
      node.box.classList.toggle("on", node.key === this.selected);
      for (const [each, row] of node.fields) row.classList.toggle("lit", Boolean(fields?.get(node.key)?.has(each)));
    }
    for (const pile of this.#piles.values()) pile.box.classList.toggle("near", Boolean(near && pile.members.some((member) => near.has(member.key))));
    for (const edge of this.#drawn) edge.line.classList.toggle("near", Boolean(onWay(edge)));
    for (const tag of this.#tags) tag.tag.classList.toggle("near", Boolean(onWay(tag)));
    Object.assign(this, { lit: near, onWay });
    this.#outdated = true;
    if (this.#scale < FAR) this.#sketch();
  }

  #sketch() { // all that is shown as a few paths, for when it is too small to be read
    if (!this.#outdated) return;
    this.#outdated = false;
    const paths = new Map(), near = this.lit;
    const add = (kind, path) => paths.set(kind, (paths.get(kind) || "") + path);
    for (const edge of this.#drawn) add(near && this.onWay(edge) ? "line near" : near ? "line rest" : "line", edge.way.getAttribute("d"));
    for (const [key, { x, y, width, height }] of this.#shown) {
      const status = this.nodes.get(key)?.about.status || "normal";
      add(`dot ${status}${near ? (near.has(key) ? " near" : " rest") : ""}`, `M${x} ${y}h${width}v${height}h${-width}z`);
    }
    this.sketchGroup.replaceChildren();
    for (const [kind, d] of [...paths].sort(([a], [b]) => (a.startsWith("line") ? 0 : 1) - (b.startsWith("line") ? 0 : 1))) make(this.sketchGroup, "path", { class: kind, d });
    if (this.#shown.size <= LABELLED) this.#label();
  }

  #label() { // as large as they can be in their boxes, and as they have to be to be read
    const all = [...this.#shown].map(([key, box]) => {
      const name = key.slice(key.startsWith("\u0000") ? 1 : key.lastIndexOf("/") + 1);
      return { ...box, name, size: Math.min((box.width - 8) / (0.6 * name.length), 0.6 * box.height) };
    });
    const usual = all.map((each) => each.size).sort((a, b) => a - b)[Math.floor(all.length / 2)];
    for (const { x, y, width, height, name, size: most } of all) {
      const size = Math.min(most, usual);
      make(this.sketchGroup, "text", { class: "label", x: x + width / 2, y: y + height / 2 + 0.35 * size, "font-size": size.toFixed(1), "text-anchor": "middle" }, name);
    }
  }

  // -- pan and zoom ---------------------------------------------------------------------------------------------------

  #place() { // what is painted moves as an image; it is painted anew when it comes to rest
    this.#fitted = false;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#settle(), 120);
    if (this.#placing) return;
    this.#placing = true;
    requestAnimationFrame(() => {
      this.#placing = false;
      const by = this.#scale / this.#settled.scale;
      this.picture.style.transform = `translate(${this.#left - this.#settled.left * by}px,${this.#top - this.#settled.top * by}px) scale(${by})`;
    });
  }

  #settle() {
    clearTimeout(this.#rest);
    const [scale, left, top] = [this.#scale, this.#left, this.#top];
    this.#settled = { scale, left, top };
    this.#size = [this.stage.clientWidth, this.stage.clientHeight];
    this.view.setAttribute("transform", `translate(${left.toFixed(2)} ${top.toFixed(2)}) scale(${scale.toFixed(4)})`);
    this.picture.style.transform = "";
    this.picture.classList.toggle("far", scale < FAR);
    if (scale < FAR) this.#sketch();
    else this.#cull();
  }

  #cull() { // in large pictures only what can be seen is there
    if (this.#shown.size <= 150) return;
    const [width, height] = this.#size, [scale, left, top] = [this.#scale, this.#left, this.#top];
    const hide = (item, element, x0, y0, x1, y1) => {
      const out = x0 * scale + left > 2 * width || y0 * scale + top > 2 * height || x1 * scale + left < -width || y1 * scale + top < -height;
      if (out !== item.out) { item.out = out; element.classList.toggle("gone", out); }
    };
    for (const [key, { x, y, width: wide, height: high }] of this.#shown) {
      const item = this.nodes.get(key);
      if (item) hide(item, item.box, x, y, x + wide, y + high);
    }
    for (const edge of this.#drawn) hide(edge, edge.line, edge.frame.x0, edge.frame.y0, edge.frame.x1, edge.frame.y1);
  }

  #reveal(key) { // where it cannot be read, or is not all to be seen
    const at = this.#shown.get(key), scale = this.#scale;
    if (!at) return;
    const [x, y] = [at.x * scale + this.#left, at.y * scale + this.#top], height = this.stage.clientHeight - this.covered();
    const isSeen = x >= 0 && y >= 0 && x + at.width * scale <= this.stage.clientWidth && y + at.height * scale <= height;
    if (!isSeen || scale < READABLE) this.#centre(key);
  }

  #centre(key) {
    const at = this.#shown.get(key);
    if (!at) return;
    this.#scale = Math.max(this.#scale, 0.8);
    this.#left = this.stage.clientWidth / 2 - (at.x + at.width / 2) * this.#scale;
    this.#top = (this.stage.clientHeight - this.covered()) / 2 - (at.y + at.height / 2) * this.#scale;
    this.#fitted = false;
    this.#settle();
  }

  #resized() { // what is in the middle stays there
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight], [before, high] = this.#size;
    if (width === before && height === high) return;
    this.#left += (width - before) / 2;
    this.#top += (height - high) / 2;
    this.#settle();
  }

  // -- pointing and clicking ------------------------------------------------------------------------------------------

  #listen() {
    const { stage, view } = this, { signal } = this.#listening;
    const on = (target, name, handler, options = {}) => target.addEventListener(name, handler, { signal, ...options });
    on(stage, "wheel", (event) => this.#wheel(event), { passive: false });
    on(stage, "pointerdown", (event) => this.#down(event));
    on(stage, "pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) on(stage, name, (event) => { this.#fingers.delete(event.pointerId); stage.classList.remove("moving"); });
    on(stage, "click", (event) => this.#click(event));
    on(view, "pointerover", (event) => {
      const row = event.target.closest(".field");
      if (row && !this.#fingers.size) this.#light(row.closest(".node").dataset.key, row.dataset.field);
    });
    on(view, "pointerout", (event) => { if (event.target.closest(".field") && !this.#fingers.size) this.#light(); });
    on(view, "keydown", (event) => { if (event.key === "Enter") event.target.dispatchEvent(new MouseEvent("click", { bubbles: true })); });
    on(window, "resize", () => { if (this.#fitted) this.fit(); });
    this.observer = new ResizeObserver(() => this.#resized());
    this.observer.observe(stage);
  }

  #wheel(event) {
    event.preventDefault();
    const at = this.stage.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - at.left, event.clientY - at.top);
  }

  #down(event) {
    if (event.target.closest(".tools,.legend")) return;
    this.#fingers.set(event.pointerId, event);
    this.#dragged = false;
  }

  #drag(event) {
    const { stage } = this, before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (!this.#dragged && Math.hypot(dx, dy) < 4) return;
    if (!this.#dragged) { this.#dragged = true; stage.setPointerCapture(event.pointerId); stage.classList.add("moving"); }
    if (this.#fingers.size === 2) {
      const [other] = [...this.#fingers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
      const at = stage.getBoundingClientRect(), span = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
      this.zoom(span(event) / (span(before) || 1), (event.clientX + other.clientX) / 2 - at.left, (event.clientY + other.clientY) / 2 - at.top);
    } else { this.#left += dx; this.#top += dy; this.#place(); }
    this.#fingers.set(event.pointerId, event);
  }

  #click(event) {
    if (this.#dragged || event.target.closest(".tools,.legend")) return;
    const box = this.#boxAt(event);
    if (!box) return this.#chosen(null, null);
    if (!this.nodes.has(box)) return this.fold(box.slice(1));
    const row = this.#scale < FAR ? null : event.target.closest(".field"), name = row?.dataset.field || null;
    this.#chosen(box, this.selected === box && this.field === name ? null : name, this.#scale < FAR);
  }

  #boxAt(event) { // the key of what was clicked
    if (this.#scale >= FAR) {
      const box = event.target.closest(".node");
      return box && (box.dataset.key || [...this.#piles.values()].find((pile) => pile.box === box).key);
    }
    const at = this.stage.getBoundingClientRect();
    const [x, y] = [(event.clientX - at.left - this.#left) / this.#scale, (event.clientY - at.top - this.#top) / this.#scale];
    return [...this.#shown].find(([, box]) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height)?.[0];
  }

  #chosen(key, field, center = false) {
    this.select(key, field);
    this.onSelect(this.selected, this.field);
    if (center && key) this.#centre(key); // after what opens beside it
  }
}
