// The rows of an answer. Only those in sight are in the document, so that a hundred thousand rows scroll.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Value } from "../api/exact";
import { isNumeric, shown, type Rows } from "../lib/rows";

const ROW = 26;
const SPARE = 12;
const LOOKED_AT = 200;
const NARROWEST = 6;
const WIDEST = 44;
const LONGEST = 300;

export function Grid({ answer, first = 0, label }: { answer: Rows; first?: number; label: string }) {
  const { columns, rows } = answer;
  const frame = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ top: 0, height: 400 });
  useEffect(() => {
    const seen = frame.current;
    if (!seen) return undefined;
    const look = () => setSight({ top: seen.scrollTop, height: seen.clientHeight });
    seen.addEventListener("scroll", look, { passive: true });
    const watch = new ResizeObserver(look);
    watch.observe(seen);
    look();
    return () => {
      seen.removeEventListener("scroll", look);
      watch.disconnect();
    };
  }, []);
  const widths = useMemo(
    () =>
      columns.map((column, at) => {
        const cells = rows.slice(0, LOOKED_AT).map((row) => shown(row[at] ?? null).length);
        const most = Math.max(column.name.length + 2, column.type.length * 0.8, ...cells);
        return Math.min(WIDEST, Math.max(NARROWEST, most));
      }),
    [columns, rows],
  );
  const digits = String(first + rows.length).length + 4;
  const template = `${digits}ch ${widths.map((width) => `${width + 2}ch`).join(" ")}`;
  const begin = Math.max(0, Math.floor(sight.top / ROW) - SPARE);
  const end = Math.min(rows.length, Math.ceil((sight.top + sight.height) / ROW) + SPARE);
  return (
    <div class="grid" ref={frame} tabIndex={0} role="table" aria-label={label} aria-rowcount={rows.length + 1} aria-colcount={columns.length + 1}>
      <div class="grid-head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
        <div role="columnheader" class="grid-number">
          #
        </div>
        {columns.map((column, at) => (
          <div role="columnheader" key={at} class={isNumeric(column) ? "grid-right" : ""}>
            <span>{column.name}</span>
            <small>{column.type}</small>
          </div>
        ))}
      </div>
      <div class="grid-body" role="rowgroup" style={{ height: `${rows.length * ROW}px` }}>
        {rows.slice(begin, end).map((row, at) => (
          <div
            role="row"
            key={begin + at}
            aria-rowindex={begin + at + 2}
            class="grid-row"
            style={{ gridTemplateColumns: template, transform: `translateY(${(begin + at) * ROW}px)` }}
          >
            <div role="rowheader" class="grid-number">
              {first + begin + at + 1}
            </div>
            {columns.map((column, place) => (
              <Cell key={place} value={row[place] ?? null} isRight={isNumeric(column)} />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

function Cell({ value, isRight }: { value: Value; isRight: boolean }) {
  const text = shown(value);
  const style = `${isRight ? "grid-right" : ""} ${value === null ? "grid-null" : ""}`;
  const isLong = text.length > LONGEST;
  return (
    <div role="cell" class={style} title={text.length > WIDEST ? text.slice(0, 2_000) : undefined}>
      {isLong ? `${text.slice(0, LONGEST)}…` : text}
    </div>
  );
}
