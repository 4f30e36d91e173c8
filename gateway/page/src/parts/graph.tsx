// The stages as boxes with edges between them. On a narrow screen layers stand below one another, else beside one another.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { layered, type Placed } from "../lib/layers";

export interface Box {
  id: number;
  inputs: number[];
  /** Share of the time, from 0 to 1: the stronger the colour, the larger the share. */
  heat: number;
  content: ComponentChildren;
}

/** What stands on the edges that leave a stage. */
export interface EdgeText {
  first: string;
  second: string;
}

/** In pixels: wide enough for the longest line of a box; two of them fit on a phone. */
const ACROSS = 172;
const DOWN = 158;
const HEIGHT = 98;
const EDGE = 88;
const GAP = 16;
const EDGE_DOWN = 66;
const NARROW = 640;

interface Props {
  boxes: Box[];
  edge(from: number): EdgeText | null;
  /** The box that is seen in full. */
  chosen?: number | null;
  onChoose?: (id: number) => void;
  label: string;
}

export function Graph({ boxes, edge, chosen, onChoose, label }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(1_000);
  useEffect(() => {
    const seen = frame.current;
    if (!seen) return undefined;
    const watch = new ResizeObserver(() => setRoom(seen.clientWidth));
    watch.observe(seen);
    setRoom(seen.clientWidth);
    return () => watch.disconnect();
  }, []);
  const layout = useMemo(() => layered(boxes), [boxes.map((box) => `${box.id}:${box.inputs.join()}`).join(";")]);
  const isDown = room < NARROW;
  const box = isDown ? DOWN : ACROSS;
  const place = (node: Placed) => {
    const beside = layout.nodes.filter((other) => other.layer === node.layer).length;
    const shift = (layout.rows - beside) / 2;
    return isDown
      ? { x: (node.row + shift) * (box + GAP), y: node.layer * (HEIGHT + EDGE_DOWN) }
      : { x: node.layer * (box + EDGE), y: (node.row + shift) * (HEIGHT + GAP) };
  };
  const places = new Map(layout.nodes.map((node) => [node.id, place(node)]));
  const width = isDown ? layout.rows * (box + GAP) - GAP : layout.layers * (box + EDGE) - EDGE;
  const height = isDown ? layout.layers * (HEIGHT + EDGE_DOWN) - EDGE_DOWN : layout.rows * (HEIGHT + GAP) - GAP;
  // The boxes come in the order of the stages, which is the order in which rows pass.
  const ordered = [...boxes].sort((a, b) => a.id - b.id);
  const edges = ordered.flatMap(({ id, inputs }) => inputs.filter((input) => places.has(input)).map((input) => ({ from: input, to: id })));
  return (
    <div class="graph" ref={frame} role="group" aria-label={label} tabIndex={0}>
      <div class="graph-canvas" style={{ width: `${Math.max(width, 0)}px`, height: `${Math.max(height, 0)}px` }}>
        <svg width={width} height={height} aria-hidden="true">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0l8 4-8 4z" class="graph-arrow" />
            </marker>
          </defs>
          {edges.map(({ from, to }) => {
            const [a, b] = [places.get(from), places.get(to)];
            if (!a || !b) return null;
            return <path key={`${from}-${to}`} class="graph-edge" d={isDown ? down(a, b, box) : across(a, b, box)} marker-end="url(#arrow)" />;
          })}
        </svg>
        {edges.map(({ from, to }) => {
          const text = edge(from);
          const [a, b] = [places.get(from), places.get(to)];
          if (!text || !a || !b) return null;
          // In the middle of its edge.
          const [x, y] = isDown ? [(a.x + b.x + box) / 2, (a.y + HEIGHT + b.y) / 2] : [(a.x + box + b.x) / 2, (a.y + b.y + HEIGHT) / 2];
          return (
            <div key={`${from}-${to}`} class={isDown ? "graph-text graph-text-down" : "graph-text"} style={{ left: `${x}px`, top: `${y}px` }}>
              <span>{text.first}</span>
              <span>{text.second}</span>
            </div>
          );
        })}
        {ordered.map((one) => {
          const at = places.get(one.id);
          if (!at) return null;
          const style = { left: `${at.x}px`, top: `${at.y}px`, width: `${box}px`, height: `${HEIGHT}px`, "--heat": one.heat.toFixed(3) };
          if (!onChoose) {
            return (
              <div key={one.id} class="graph-box" style={style}>
                {one.content}
              </div>
            );
          }
          return (
            <button
              key={one.id}
              type="button"
              class="graph-box"
              style={style}
              aria-pressed={chosen === one.id}
              onClick={() => onChoose(one.id)}
            >
              {one.content}
            </button>
          );
        })}
      </div>
    </div>
  );
}

interface Point {
  x: number;
  y: number;
}

function across(a: Point, b: Point, box: number): string {
  const [x1, y1, x2, y2] = [a.x + box, a.y + HEIGHT / 2, b.x - 1, b.y + HEIGHT / 2];
  const bend = Math.max(24, EDGE / 2);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function down(a: Point, b: Point, box: number): string {
  const [x1, y1, x2, y2] = [a.x + box / 2, a.y + HEIGHT, b.x + box / 2, b.y - 1];
  return `M${x1} ${y1}C${x1} ${y1 + 30} ${x2} ${y2 - 30} ${x2} ${y2}`;
}
