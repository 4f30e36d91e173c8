// Answers as checksums that every format and every route agrees on.
//
// A cell becomes text:
//   int       its digits (up to 2^53; no statement here returns more)
//   decimal   15 significant digits without trailing zeros
//   float     9 significant digits: sums of floats depend on the order of their terms in the last digits
//   bool      true, false
//   text      as it is; dates as YYYY-MM-DD
//   null      a character that no text has. CSV cannot tell null from the empty text, so CSV has a checksum of its
//             own in which both are the same
// Cells become a line, lines are sorted, and SHA-256 of all lines is the checksum: the order of the rows does not
// matter. A statement with ORDER BY has a second checksum: its keys in the order in which the rows came. Rows whose
// keys are equal may come in any order, and that changes neither of the two.
import crypto from 'k6/crypto';
import { readStream } from './arrow.js';

export const DECIMAL_DIGITS = 15;
export const FLOAT_DIGITS = 9;
const NULL = '\u0000';
const BETWEEN_CELLS = '\u0001';

export const FORMATS = {
  json: 'application/json',
  jsonl: 'application/jsonl',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
};

// --- cells --------------------------------------------------------------------------------------------------

function rounded(value, digits) {
  const number = Number(value);
  if (!Number.isFinite(number)) return String(value);
  // Twice through Number: without trailing zeros, and -0 as 0.
  return String(Number(number.toPrecision(digits)) + 0);
}

export function canonical(value, kind, nullIsEmpty) {
  if (value === null || value === undefined) return nullIsEmpty ? '' : NULL;
  if (nullIsEmpty && value === '') return '';
  switch (kind) {
    case 'decimal':
      return rounded(value, DECIMAL_DIGITS);
    case 'float':
      return rounded(value, FLOAT_DIGITS);
    default:
      return String(value);
  }
}

// --- formats ------------------------------------------------------------------------------------------------

// Fields of a text in RFC 4180's form.
function parseCsv(text) {
  const lines = [];
  let line = [];
  let at = 0;
  while (at < text.length) {
    let field = '';
    if (text[at] === '"') {
      for (;;) {
        const close = text.indexOf('"', at + 1);
        if (close === -1) throw new Error('a CSV answer ends inside of a quoted field');
        field += text.slice(at + 1, close);
        at = close + 1;
        if (text[at] !== '"') break;
        field += '"';
      }
    } else {
      const end = /[,\r\n]/g;
      end.lastIndex = at;
      const found = end.exec(text);
      const stop = found === null ? text.length : found.index;
      field = text.slice(at, stop);
      at = stop;
    }
    line.push(field);
    if (text[at] === ',') {
      at += 1;
      if (at === text.length) line.push('');
      continue;
    }
    if (text[at] === '\r') at += 1;
    at += 1;
    lines.push(line);
    line = [];
  }
  return lines;
}

function fromObjects(objects, names) {
  return objects.map((object) => {
    const own = Object.keys(object);
    if (own.length > names.length || own.some((name) => !names.includes(name))) {
      throw new Error(`a row has the columns ${own.join(', ')} instead of ${names.join(', ')}`);
    }
    return names.map((name) => object[name]);
  });
}

// The rows of a body, with cells in the order of `names`. Throws if the body is not a whole answer.
export function rowsOf(format, body, names) {
  switch (format) {
    case 'json': {
      const objects = JSON.parse(body);
      if (!Array.isArray(objects)) throw new Error('a JSON answer is no array');
      return fromObjects(objects, names);
    }
    case 'jsonl': {
      const objects = body
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line));
      const last = objects[objects.length - 1];
      if (last !== undefined && last.error !== undefined && !names.includes('error')) {
        throw new Error(`the answer ends with an error: ${JSON.stringify(last.error)}`);
      }
      return fromObjects(objects, names);
    }
    case 'csv': {
      const [header, ...lines] = parseCsv(body);
      if (header === undefined || header.join() !== names.join()) throw new Error(`a CSV answer begins with ${header}`);
      const uneven = lines.find((line) => line.length !== names.length);
      if (uneven !== undefined) throw new Error(`a CSV line has ${uneven.length} fields instead of ${names.length}`);
      return lines;
    }
    case 'arrow': {
      const answer = readStream(body);
      if (answer.names.join() !== names.join()) throw new Error(`an Arrow answer has the columns ${answer.names.join()}`);
      return answer.rows;
    }
    default:
      throw new Error(`no format ${format}`);
  }
}

// --- checksums ----------------------------------------------------------------------------------------------

function linesOf(rows, kinds, nullIsEmpty) {
  return rows.map((row) => row.map((cell, n) => canonical(cell, kinds[n], nullIsEmpty)).join(BETWEEN_CELLS));
}

function unordered(lines) {
  return crypto.sha256(lines.slice().sort().join('\n'), 'hex');
}

function ordered(rows, names, kinds, keys, nullIsEmpty) {
  if (keys.length === 0) return '';
  const places = keys.map((key) => names.indexOf(key));
  if (places.includes(-1)) throw new Error(`an ORDER BY key is no column: ${keys.join(', ')}`);
  const only = rows.map((row) => places.map((place) => row[place]));
  const lines = linesOf(only, places.map((place) => kinds[place]), nullIsEmpty);
  return crypto.sha256(lines.join('\n'), 'hex');
}

// What is expected of a statement, from one Arrow answer of the baseline.
export function expectation(statement, body) {
  const { names, kinds, rows } = readStream(body);
  return expectationFromRows(statement, names, kinds, rows);
}

export function expectationFromRows(statement, names, kinds, rows) {
  return {
    names,
    kinds,
    rows: rows.length,
    checksum: unordered(linesOf(rows, kinds, false)),
    checksum_csv: unordered(linesOf(rows, kinds, true)),
    order: ordered(rows, names, kinds, statement.keys, false),
    order_csv: ordered(rows, names, kinds, statement.keys, true),
  };
}

// What is wrong with rows that should be the answer of a statement; null if nothing is.
export function differenceOfRows(statement, expected, rows, isCsv = false) {
  if (rows.length !== expected.rows) return `${rows.length} rows instead of ${expected.rows}`;
  const { names, kinds } = expected;
  const checksum = unordered(linesOf(rows, kinds, isCsv));
  if (checksum !== (isCsv ? expected.checksum_csv : expected.checksum)) return 'the rows are not those of the baseline';
  const order = ordered(rows, names, kinds, statement.keys, isCsv);
  if (order !== (isCsv ? expected.order_csv : expected.order)) return 'the rows are in another order';
  return null;
}

export function difference(statement, expected, format, body) {
  if (body === null || body === undefined) return 'there is no body';
  try {
    return differenceOfRows(statement, expected, rowsOf(format, body, expected.names), format === 'csv');
  } catch (error) {
    return `the body is no whole answer: ${error.message}`;
  }
}

// Changes when the statement does, so that checksums of another text are not used.
export function fingerprint(statement) {
  return crypto.sha256(JSON.stringify([statement.sql, statement.parameters, statement.keys]), 'hex').slice(0, 16);
}
