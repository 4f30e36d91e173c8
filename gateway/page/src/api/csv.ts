// CSV as the gateway writes it (RFC 4180): fields with quotes, commas or line ends are quoted, and quotes are doubled.

/** The records of a text, with the header. */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  let at = 0;
  while (at < text.length) {
    let field = "";
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) throw new Error("a quoted field of the answer does not end");
        field += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        field += '"';
        at += 1;
      }
    } else {
      const end = /[,\n]/g;
      end.lastIndex = at;
      const stop = end.exec(text)?.index ?? text.length;
      field = text.slice(at, stop).replace(/\r$/, "");
      at = stop;
    }
    record.push(field);
    if (text[at] === "\r") at += 1;
    if (text[at] === ",") {
      at += 1;
      if (at < text.length) continue;
      record.push("");
    }
    if (at >= text.length || text[at] === "\n") {
      records.push(record);
      record = [];
      at += 1;
    }
  }
  return records;
}
