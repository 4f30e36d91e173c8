// SQL cut into coloured pieces, for reading only. The editor has a grammar of its own.

export type Kind = "word" | "text" | "number" | "remark" | "other";

export interface Piece {
  kind: Kind;
  text: string;
}

const WORDS = new Set(
  "all and any as asc between by case cast copy create cross current date desc distinct else end except exists explain extract false following for from full group having in inner insert intersect interval into is join lateral left like limit not null nulls offset on or order outer over partition preceding range recursive right row rows select semi anti set some table then timestamp to true union unnest using values when where window with".split(
    " ",
  ),
);
const PIECES = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?|"(?:[^"]|"")*"?)|(\b\d+(?:\.\d+)?(?:e[-+]?\d+)?\b)|([A-Za-z_]\w*)|([\s\S])/gi;

export function pieces(sql: string): Piece[] {
  const found: Piece[] = [];
  for (const match of sql.matchAll(PIECES)) {
    const [text, remark, quoted, number, word] = match;
    const kind: Kind =
      remark !== undefined ? "remark"
      : quoted !== undefined ? "text"
      : number !== undefined ? "number"
      : word !== undefined && WORDS.has(word.toLowerCase()) ? "word"
      : "other";
    const last = found.at(-1);
    if (last?.kind === kind && kind === "other") last.text += text;
    else found.push({ kind, text });
  }
  return found;
}

/** The first word of a statement, without what stands before it. */
export function firstWord(sql: string): string {
  const bare = sql.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\()+/, "");
  return (/^[A-Za-z]+/.exec(bare)?.[0] ?? "").toLowerCase();
}

/** Where a line and a column (both from 1, columns in characters) stand in a text. */
export function offsetOf(sql: string, line: number, column: number): number {
  let begin = 0;
  for (let at = 1; at < line; at += 1) {
    const end = sql.indexOf("\n", begin);
    if (end < 0) return sql.length;
    begin = end + 1;
  }
  const end = sql.indexOf("\n", begin);
  const chars = [...sql.slice(begin, end < 0 ? sql.length : end)];
  return begin + chars.slice(0, Math.max(0, column - 1)).join("").length;
}
