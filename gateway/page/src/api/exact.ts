// JSON whose numbers keep their digits. `JSON.parse` makes a double of every number: 9007199254740993 would become
// 9007199254740992, and a decimal would lose digits. A wrong row is the worst defect, so rows are read with this.
//
//   text ──> null, true, false, text, list, object (its fields in order, also two of one name)
//            number ──> Digits: exactly the characters that the gateway wrote

/** A number as it was written. */
export class Digits {
  constructor(readonly text: string) {}
}

/** An object: its fields in the order in which they were written. */
export class Fields {
  constructor(readonly list: [string, Value][]) {}
}

export type Value = null | boolean | string | Digits | Value[] | Fields;

/** The text is not JSON: it broke off, most likely. */
export class Broken extends Error {}

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const PLAIN = /[^"\\]*/y;

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): Value {
    const value = this.value();
    this.space();
    if (this.at < this.text.length) throw this.broken();
    return value;
  }

  private broken(): Broken {
    return new Broken(`the answer is not whole: it breaks off or goes wrong at character ${this.at}`);
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
      this.at += 1;
    }
  }

  private next(): string {
    this.space();
    return this.text[this.at] ?? "";
  }

  private word(word: string, value: Value): Value {
    if (!this.text.startsWith(word, this.at)) throw this.broken();
    this.at += word.length;
    return value;
  }

  private value(): Value {
    switch (this.next()) {
      case "{":
        return new Fields(this.several("}", () => this.field()));
      case "[":
        return this.several("]", () => this.value());
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private several<T>(end: string, one: () => T): T[] {
    const found: T[] = [];
    this.at += 1;
    if (this.next() === end) {
      this.at += 1;
      return found;
    }
    for (;;) {
      found.push(one());
      const next = this.next();
      this.at += 1;
      if (next === end) return found;
      if (next !== ",") throw this.broken();
    }
  }

  private field(): [string, Value] {
    if (this.next() !== '"') throw this.broken();
    const name = this.string();
    if (this.next() !== ":") throw this.broken();
    this.at += 1;
    return [name, this.value()];
  }

  private string(): string {
    const begin = this.at;
    this.at += 1;
    let isPlain = true;
    for (;;) {
      PLAIN.lastIndex = this.at;
      PLAIN.exec(this.text);
      this.at = PLAIN.lastIndex;
      const stop = this.text[this.at];
      if (stop === undefined) throw this.broken();
      if (stop === '"') break;
      isPlain = false;
      this.at += 2;
    }
    this.at += 1;
    if (isPlain) return this.text.slice(begin + 1, this.at - 1);
    try {
      return JSON.parse(this.text.slice(begin, this.at)) as string;
    } catch {
      throw this.broken();
    }
  }

  private number(): Digits {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (!found) throw this.broken();
    this.at = NUMBER.lastIndex;
    return new Digits(found[0]);
  }
}

/** Reads a whole document. */
export function parseExact(text: string): Value {
  return new Reader(text).whole();
}

/** A value as JSON text again, with the same digits. */
export function exactText(value: Value): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Digits) return value.text;
  if (value instanceof Fields) {
    return `{${value.list.map(([name, field]) => `${JSON.stringify(name)}: ${exactText(field)}`).join(", ")}}`;
  }
  return `[${value.map(exactText).join(", ")}]`;
}
