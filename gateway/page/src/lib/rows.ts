// Rows of an answer, exactly as they are.
//
// JSON has no NaN and no infinity: the gateway writes null for them. CSV has them, and no difference between NULL and an
// empty text. So rows come as JSON, and where a column of floats has a null, the words of that column come from CSV.
import { ask, persist } from "../api/client";
import { parseCsv } from "../api/csv";
import { Broken, Digits, exactText, Fields, parseExact, type Value } from "../api/exact";
import type { Column } from "../api/types";

export interface Rows {
  columns: Column[];
  rows: Value[][];
  /** There are more rows than were asked for. */
  isCut: boolean;
}

const NUMBERS = /^(U?Int|Float|Decimal)/;
const FLOATS = /^Float/;

export const isNumeric = (column: Column): boolean => NUMBERS.test(column.type);

export interface Wanted {
  query: string;
  columns: Column[];
  part: number | null;
  limit: number;
  signal?: AbortSignal;
}

function addressOf({ query, part, limit }: Wanted, format: string): string {
  const params = new URLSearchParams({ format, row_limit: String(limit) });
  if (part !== null) params.set("part", String(part));
  return `v1/queries/${query}/results?${params.toString()}`;
}

export async function fetchRows(wanted: Wanted): Promise<Rows> {
  const { columns, limit, signal } = wanted;
  // One more row than is shown tells whether there are more.
  const asked = { ...wanted, limit: limit + 1 };
  const text = await persist(async () => (await ask(addressOf(asked, "json"), { signal })).text(), { signal });
  const rows = rowsOf(text, columns);
  const isUnclear = columns.some((column, at) => FLOATS.test(column.type) && rows.some((row) => row[at] === null));
  if (isUnclear) {
    const csv = await persist(
      async () => (await ask(addressOf(asked, "csv"), { headers: { accept: "text/csv" }, signal })).text(),
      { signal },
    );
    withFloats(rows, columns, parseCsv(csv).slice(1));
  }
  return { columns, rows: rows.slice(0, limit), isCut: rows.length > limit };
}

/** The rows of an answer in JSON. Fields stand in the order of the columns. */
export function rowsOf(text: string, columns: Column[]): Value[][] {
  const list = parseExact(text);
  if (!Array.isArray(list)) throw new Broken("the answer is no list of rows");
  return list.map((row) => {
    if (!(row instanceof Fields) || row.list.length !== columns.length) {
      throw new Broken("a row of the answer has other columns than the plan");
    }
    return row.list.map(([, value]) => value);
  });
}

/** Puts NaN and the infinities where JSON has null. */
export function withFloats(rows: Value[][], columns: Column[], words: string[][]): void {
  if (words.length !== rows.length) throw new Broken("the answer in CSV has another number of rows");
  columns.forEach((column, at) => {
    if (!FLOATS.test(column.type)) return;
    rows.forEach((row, number) => {
      const word = words[number]?.[at];
      if (row[at] === null && word) row[at] = new Digits(word);
    });
  });
}

/** What a cell shows. */
export function shown(value: Value): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return value;
  return value instanceof Digits ? value.text : exactText(value);
}

/** A value for drawing only: digits beyond those of a double are lost. */
export function drawn(value: Value): number {
  if (value instanceof Digits) return Number(value.text.replace(/^(-?)inf$/, "$1Infinity"));
  return typeof value === "boolean" ? Number(value) : Number.NaN;
}
