// A drawing of one column over another: bars, a line, or points. It is drawn as SVG by hand: a chart library would be a third
// of the page. What the drawing shows is also in the rows beside it.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Value } from "../api/exact";
import { counted } from "../lib/format";
import { drawn, isNumeric, shown, type Rows } from "../lib/rows";
import { scale, tick } from "../lib/scale";

type Kind = "bar" | "line" | "scatter";

const KINDS: [Kind, string][] = [
  ["bar", "Bars"],
  ["line", "Line"],
  ["scatter", "Points"],
];
const MOST: Record<Kind, number> = { bar: 200, line: 5_000, scatter: 5_000 };
/** The narrowest drawing, in pixels. */
const NARROWEST = 320;
const HEIGHT = 380;
const PAD = { left: 68, right: 16, top: 28, bottom: 70 };
/** Width of a letter of a label, about. */
const LETTER = 7;
const LABELS = 24;
const TIME = /^(Date|Timestamp)/;

export function Chart({ answer }: { answer: Rows }) {
  const { columns, rows } = answer;
  const numbers = columns.map((column, at) => ({ column, at })).filter(({ column }) => isNumeric(column));
  const firstOther = columns.findIndex((column) => !isNumeric(column));
  const [kind, setKind] = useState<Kind>("bar");
  const [chosenX, setX] = useState<number | null>(null);
  const [chosenY, setY] = useState<number | null>(null);
  const x = chosenX !== null && chosenX < columns.length ? chosenX : Math.max(0, firstOther);
  const usual = numbers.find(({ at }) => at !== x) ?? numbers[0];
  const y = chosenY !== null && columns[chosenY] && isNumeric(columns[chosenY]) ? chosenY : usual?.at;
  if (y === undefined || columns[x] === undefined) return <p class="quiet">A chart needs a column of numbers. This answer has none.</p>;
  const used = rows.slice(0, MOST[kind]);
  const points = used.map((row) => ({ x: row[x] ?? null, y: drawn(row[y] ?? null) })).filter((point) => Number.isFinite(point.y));
  const left = rows.length - points.length;
  return (
    <div class="chart">
      <div class="tools">
        <label>
          Kind
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as Kind)}>
            {KINDS.map(([id, name]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Across
          <select value={String(x)} onChange={(event) => setX(Number(event.currentTarget.value))}>
            {columns.map((column, at) => (
              <option key={at} value={String(at)}>
                {column.name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Up
          <select value={String(y)} onChange={(event) => setY(Number(event.currentTarget.value))}>
            {numbers.map(({ column, at }) => (
              <option key={at} value={String(at)}>
                {column.name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Drawing kind={kind} points={points} across={columns[x].name} up={columns[y]?.name ?? ""} type={columns[x].type} isNumber={isNumeric(columns[x])} />
      <p class="quiet">
        {counted(points.length, "row")} drawn{left > 0 ? `; ${counted(left, "row")} left out: they have no number, or are too many for this kind` : ""}.
        {answer.isCut ? " The answer has more rows than were fetched." : ""} Numbers are rounded for the drawing only.
      </p>
    </div>
  );
}

/** Letters of a label. */
const LABEL = 14;
const shorter = (text: string): string => (text.length > LABEL ? `${text.slice(0, LABEL - 1)}…` : text);

interface DrawingOf {
  kind: Kind;
  points: { x: Value; y: number }[];
  across: string;
  up: string;
  type: string;
  isNumber: boolean;
}

function Drawing({ kind, points, across, up, type, isNumber }: DrawingOf) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useEffect(() => {
    const seen = frame.current;
    if (!seen) return undefined;
    const look = () => {
      const style = getComputedStyle(seen);
      setWidth(Math.max(NARROWEST, seen.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight)));
    };
    const watch = new ResizeObserver(look);
    watch.observe(seen);
    look();
    return () => watch.disconnect();
  }, []);
  const isTime = TIME.test(type);
  const timeOf = (value: Value) => Date.parse(shown(value).replace(/(\d{2}:\d{2}:\d{2})$/, "$1Z"));
  const isContinuous = kind !== "bar" && (isNumber || isTime);
  const inner = { width: width - PAD.left - PAD.right, height: HEIGHT - PAD.top - PAD.bottom };
  const places = points.map((point) => (isTime ? timeOf(point.x) : drawn(point.x)));
  const across_ = scale(isContinuous ? places : [0, 1], Math.min(6, Math.ceil(width / 130)));
  const up_ = scale(points.map((point) => point.y), 5, kind === "bar");
  const step = inner.width / Math.max(1, points.length);
  const xOf = (at: number) =>
    PAD.left +
    (isContinuous ? (((places[at] ?? 0) - across_.low) / (across_.high - across_.low)) * inner.width : step * (at + 0.5));
  const yOf = (value: number) => PAD.top + (1 - (value - up_.low) / (up_.high - up_.low)) * inner.height;
  const shownPoints = points.map((point, at) => ({ ...point, at })).filter(({ at }) => Number.isFinite(xOf(at)));
  const bottom = PAD.top + inner.height;
  const every = Math.max(1, Math.ceil(points.length / Math.min(LABELS, width / 34)));
  const labels = points.map((point) => shorter(shown(point.x)));
  const isTilted = labels.some((text) => text.length * LETTER > step * every);
  const timeText = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const label = `${up} by ${across}, ${KINDS.find(([id]) => id === kind)?.[1] ?? kind}, ${counted(points.length, "row")}`;
  return (
    <div class="chart-frame" ref={frame} tabIndex={0} role="group" aria-label="Chart">
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={label}>
        {up_.ticks.map((value) => (
          <g key={value}>
            <line class="chart-line" x1={PAD.left} x2={width - PAD.right} y1={yOf(value)} y2={yOf(value)} />
            <text class="chart-text" x={PAD.left - 8} y={yOf(value) + 4} text-anchor="end">
              {tick(value)}
            </text>
          </g>
        ))}
        {isContinuous
          ? across_.ticks.map((value) => {
              const place = PAD.left + ((value - across_.low) / (across_.high - across_.low)) * inner.width;
              return (
                <text key={value} class="chart-text" x={place} y={bottom + 18} text-anchor="middle">
                  {isTime ? timeText(value) : tick(value)}
                </text>
              );
            })
          : points.map((_, at) =>
              at % every === 0 ? (
                <text
                  key={at}
                  class="chart-text"
                  text-anchor={isTilted ? "end" : "middle"}
                  transform={isTilted ? `translate(${xOf(at) + 4} ${bottom + 12}) rotate(-32)` : `translate(${xOf(at)} ${bottom + 18})`}
                >
                  {labels[at]}
                </text>
              ) : null,
            )}
        <text class="chart-name" x={PAD.left} y={PAD.top - 12}>
          {up}
        </text>
        <text class="chart-name" x={width - PAD.right} y={HEIGHT - 4} text-anchor="end">
          {across}
        </text>
        {kind === "bar" &&
          shownPoints.map(({ at, y }) => (
            <rect
              key={at}
              class="chart-bar"
              x={xOf(at) - (step * 0.72) / 2}
              width={Math.max(1, step * 0.72)}
              y={Math.min(yOf(y), yOf(0))}
              height={Math.max(0.5, Math.abs(yOf(y) - yOf(0)))}
            />
          ))}
        {kind === "line" && (
          <path
            class="chart-path"
            d={[...shownPoints]
              .sort((a, b) => xOf(a.at) - xOf(b.at))
              .map(({ at, y }, place) => `${place === 0 ? "M" : "L"}${xOf(at).toFixed(1)} ${yOf(y).toFixed(1)}`)
              .join("")}
          />
        )}
        {kind === "scatter" && shownPoints.map(({ at, y }) => <circle key={at} class="chart-point" cx={xOf(at)} cy={yOf(y)} r="3.2" />)}
      </svg>
    </div>
  );
}
