// A picture with its tools: drawn by the server, moved, folded and lit by `picture.js`.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { mount } from "./picture.js";
import { Sign } from "./parts.js";

const STEPS_AROUND = [
  ["0", "whole graph"],
  ["1", "1 step around"],
  ["2", "2 steps around"],
  ["3", "3 steps around"],
  ["Infinity", "all related"],
];

function StageTools({ picture, chosen, around, setAround }) {
  const several = new Set([...picture.nodes.values()].map((node) => node.about.groups.project)).size > 1;
  const tool = (title, act, content) => html`
    <button type="button" title=${title} aria-label=${title} onClick=${act}>${content}</button>
  `;
  return html`
    <div class="tools" role="toolbar" aria-label="Picture">
      <select
        aria-label="How much of the graph is shown"
        value=${around}
        disabled=${!chosen && around === "0"}
        onChange=${(event) => setAround(event.target.value)}>
        ${STEPS_AROUND.map(
          ([steps, name]) => html`
            <option key=${steps} value=${steps}>${name}</option>
          `,
        )}
      </select>
      ${
        picture.foldable.length > 0 &&
        html`
          <button
            type="button"
            title="Fold or unfold all groups"
            onClick=${() => {
              picture.fold();
              setAround("0");
            }}>
            Fold
          </button>
        `
      }
      ${
        several &&
        html`
          <select aria-label="What makes a group" onChange=${(event) => picture.groupBy(event.target.value)}>
            <option value="key">group by key</option>
            <option value="project">group by project</option>
          </select>
        `
      }
      ${tool("Fit", () => picture.fit(), "Fit")}${tool("Zoom in", () => picture.zoom(1.25), "+")}${tool("Zoom out", () => picture.zoom(0.8), "−")}
    </div>
  `;
}

const stepsOf = (picture) => (picture.focus ? String(picture.depth) : "0");

export function GraphStage({
  graph,
  turn = 0,
  notes = null,
  chosen = null,
  field = null,
  onSelect = () => {},
  onOpen = () => {},
  start = [],
  depth = 0,
  tools = true,
  children = null,
}) {
  const stage = useRef(null),
    mounted = useRef(null),
    [, drawn] = useState(0),
    told = useRef(new Map());
  const follow = useRef(null);
  follow.current = onSelect;
  useEffect(() => {
    const redraw = () => drawn((last) => last + 1);
    const picture = mount(stage.current, graph.data, {
      svg: graph.svg,
      start,
      onSelect: (key, name) => {
        follow.current(key, name);
        redraw();
      },
      onDraw: redraw,
    });
    mounted.current = picture;
    told.current = new Map();
    if (depth) picture.near(depth);
    if (picture.selected && !start.length) follow.current(picture.selected, null);
    redraw();
    return () => {
      mounted.current = null;
      picture.destroy();
    };
  }, [graph]);
  useEffect(() => {
    // what was counted since
    for (const key of notes ? Object.keys(graph.data.nodes) : []) {
      const [lines, state] = [notes.lines(key), notes.state(key)],
        said = `${state} ${lines.join("\n")}`;
      if (told.current.get(key) !== said) {
        told.current.set(key, said);
        mounted.current?.note(key, lines, state === "waiting" ? "" : state);
      }
    }
  }, [graph, turn]);
  useEffect(() => {
    const picture = mounted.current;
    if (picture && (picture.selected !== chosen || picture.field !== field))
      picture.select(chosen, field, { center: Boolean(chosen) });
  }, [chosen, field]);
  const picture = mounted.current;
  const setAround = (steps) => {
    picture.near(Number(steps));
    drawn((last) => last + 1);
  };
  const open = (event) => {
    const box = event.target.closest?.(".node[data-key]");
    if (box) onOpen(box.dataset.key);
  };
  return html`
    <div class="stage" ref=${stage} onDblClick=${open}>
      ${
        picture &&
        tools &&
        html`
          <${StageTools}
            picture=${picture}
            chosen=${picture.selected}
            around=${stepsOf(picture)}
            setAround=${setAround} />
        `
      }${children}
    </div>
  `;
}

export const Legend = ({ of }) => html`
  <div class="legend" aria-label="Legend">
    ${of.map(
      ([status, text]) => html`
        <span key=${status}>
          <${Sign} of=${status} label="" />
          ${text}
        </span>
      `,
    )}
  </div>
`;
