// A small reader of Arrow IPC streams: what the load tests' statements return, and no more. A type that it does not
// know is an error, never a guess. Format: https://arrow.apache.org/docs/format/Columnar.html
//
//   readStream(bytes) -> { names: [...], kinds: [...], rows: [[cell, ...], ...] }
//
// Cells: null, boolean, string (text, dates as YYYY-MM-DD, integers and decimals as digits) or number (floats).
import { decompressFrame } from './lz4.js';

const CONTINUATION = 0xffffffff;
const SCHEMA = 1;
const RECORD_BATCH = 3;
const LZ4_FRAME = 0;

// --- flatbuffers: tables, vectors and strings by position -----------------------------------------------

class Table {
  constructor(view, at) {
    this.view = view;
    this.at = at;
    this.vtable = at - view.getInt32(at, true);
    this.size = view.getUint16(this.vtable, true);
  }

  // Position of field number `index`, or 0 if the table does not have it.
  field(index) {
    const slot = 4 + 2 * index;
    if (slot >= this.size) return 0;
    const offset = this.view.getUint16(this.vtable + slot, true);
    return offset === 0 ? 0 : this.at + offset;
  }

  byte(index, other) {
    const at = this.field(index);
    return at === 0 ? other : this.view.getUint8(at);
  }

  short(index, other) {
    const at = this.field(index);
    return at === 0 ? other : this.view.getInt16(at, true);
  }

  int(index, other) {
    const at = this.field(index);
    return at === 0 ? other : this.view.getInt32(at, true);
  }

  long(index, other) {
    const at = this.field(index);
    return at === 0 ? other : Number(this.view.getBigInt64(at, true));
  }

  table(index) {
    const at = this.field(index);
    return at === 0 ? null : new Table(this.view, at + this.view.getInt32(at, true));
  }

  // Start and length of a vector; its elements follow each other.
  vector(index) {
    const at = this.field(index);
    if (at === 0) return { start: 0, length: 0 };
    const start = at + this.view.getInt32(at, true);
    return { start: start + 4, length: this.view.getInt32(start, true) };
  }

  tables(index) {
    const { start, length } = this.vector(index);
    const found = [];
    for (let n = 0; n < length; n++) {
      const at = start + 4 * n;
      found.push(new Table(this.view, at + this.view.getInt32(at, true)));
    }
    return found;
  }

  text(index) {
    const { start, length } = this.vector(index);
    return utf8(new Uint8Array(this.view.buffer, this.view.byteOffset + start, length), 0, length);
  }
}

function utf8(bytes, from, to) {
  let text = '';
  let ascii = true;
  for (let at = from; at < to; at++) {
    if (bytes[at] > 127) ascii = false;
    text += String.fromCharCode(bytes[at]);
  }
  return ascii ? text : decodeURIComponent(escape(text));
}

// --- schema ---------------------------------------------------------------------------------------------

// What a column of a type is for checksums, how many buffers it has, and how its cells are read.
function columnType(kind, type) {
  switch (kind) {
    case 1:
      return { kind: 'text', buffers: 0, cells: (length) => new Array(length).fill(null) };
    case 2: {
      const bits = type.int(0, 0);
      const signed = type.byte(1, 0) !== 0;
      return { kind: 'int', buffers: 2, cells: integers(bits, signed) };
    }
    case 3: {
      const precision = type.short(0, 0);
      if (precision === 0) throw new Error('half floats cannot be read here');
      return { kind: 'float', buffers: 2, cells: floats(precision) };
    }
    case 5:
      return { kind: 'text', buffers: 3, cells: offsets(4) };
    case 6:
      return { kind: 'bool', buffers: 2, cells: booleans };
    case 7: {
      const bits = type.int(2, 128);
      if (bits !== 128) throw new Error(`decimals of ${bits} bits cannot be read here`);
      return { kind: 'decimal', buffers: 2, cells: decimals(type.int(1, 0)) };
    }
    case 8: {
      if (type.short(0, 1) !== 0) throw new Error('dates in milliseconds cannot be read here');
      return { kind: 'text', buffers: 2, cells: dates };
    }
    case 20:
      return { kind: 'text', buffers: 3, cells: offsets(8) };
    case 24:
      return { kind: 'text', buffers: 2, variadic: true, cells: views };
    default:
      throw new Error(`Arrow type number ${kind} cannot be read here; cast the column in the statement`);
  }
}

function readSchema(schema) {
  return schema.tables(1).map((field) => {
    if (field.table(4) !== null) throw new Error('dictionaries cannot be read here');
    const column = columnType(field.byte(2, 0), field.table(3));
    column.name = field.text(0);
    return column;
  });
}

// --- cells ----------------------------------------------------------------------------------------------

function viewOf(buffer) {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function each(length, nulls, read) {
  const cells = new Array(length);
  for (let n = 0; n < length; n++) {
    const isNull = nulls !== null && (nulls[n >> 3] & (1 << (n & 7))) === 0;
    cells[n] = isNull ? null : read(n);
  }
  return cells;
}

function integers(bits, signed) {
  return (length, nulls, [data]) => {
    const view = viewOf(data);
    const read = {
      8: (n) => (signed ? view.getInt8(n) : view.getUint8(n)),
      16: (n) => (signed ? view.getInt16(2 * n, true) : view.getUint16(2 * n, true)),
      32: (n) => (signed ? view.getInt32(4 * n, true) : view.getUint32(4 * n, true)),
      64: (n) => (signed ? view.getBigInt64(8 * n, true) : view.getBigUint64(8 * n, true)),
    }[bits];
    return each(length, nulls, (n) => read(n).toString());
  };
}

function floats(precision) {
  return (length, nulls, [data]) => {
    const view = viewOf(data);
    return each(length, nulls, (n) => (precision === 1 ? view.getFloat32(4 * n, true) : view.getFloat64(8 * n, true)));
  };
}

function decimals(scale) {
  return (length, nulls, [data]) => {
    const view = viewOf(data);
    return each(length, nulls, (n) => {
      const low = view.getBigUint64(16 * n, true);
      const high = view.getBigInt64(16 * n + 8, true);
      return decimalText(high * 18446744073709551616n + low, scale);
    });
  };
}

function decimalText(unscaled, scale) {
  const sign = unscaled < 0n ? '-' : '';
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function booleans(length, nulls, [data]) {
  return each(length, nulls, (n) => (data[n >> 3] & (1 << (n & 7))) !== 0);
}

function dates(length, nulls, [data]) {
  const view = viewOf(data);
  return each(length, nulls, (n) => new Date(view.getInt32(4 * n, true) * 86400000).toISOString().slice(0, 10));
}

function offsets(width) {
  return (length, nulls, [positions, data]) => {
    const view = viewOf(positions);
    const position = (n) => (width === 4 ? view.getInt32(4 * n, true) : Number(view.getBigInt64(8 * n, true)));
    return each(length, nulls, (n) => utf8(data, position(n), position(n + 1)));
  };
}

// Strings of at most 12 bytes are in the view, longer ones in one of the data buffers.
function views(length, nulls, [heads, ...data]) {
  const view = viewOf(heads);
  return each(length, nulls, (n) => {
    const at = 16 * n;
    const size = view.getInt32(at, true);
    if (size <= 12) return utf8(heads, at + 4, at + 4 + size);
    const from = view.getInt32(at + 12, true);
    return utf8(data[view.getInt32(at + 8, true)], from, from + size);
  });
}

// --- batches --------------------------------------------------------------------------------------------

// The buffers of a batch in order, decompressed.
function buffersOf(batch, body) {
  const codec = batch.table(3);
  if (codec !== null && codec.byte(0, 0) !== LZ4_FRAME) throw new Error('only LZ4 can be decompressed here');
  const { start, length } = batch.vector(2);
  const found = [];
  for (let n = 0; n < length; n++) {
    const from = Number(batch.view.getBigInt64(start + 16 * n, true));
    const size = Number(batch.view.getBigInt64(start + 16 * n + 8, true));
    const raw = body.subarray(from, from + size);
    found.push(codec === null || size === 0 ? raw : unpacked(raw));
  }
  return found;
}

// A compressed buffer begins with its length; -1 says that it is not compressed after all.
function unpacked(raw) {
  const length = Number(viewOf(raw).getBigInt64(0, true));
  return length === -1 ? raw.subarray(8) : decompressFrame(raw.subarray(8), length);
}

function readBatch(batch, body, columns, rows) {
  const length = batch.long(0, 0);
  const nodes = batch.vector(1);
  const buffers = buffersOf(batch, body);
  const variadic = batch.vector(4);
  let buffer = 0;
  let counted = 0;
  const cells = columns.map((column, index) => {
    let count = column.buffers;
    if (column.variadic) count += Number(batch.view.getBigInt64(variadic.start + 8 * counted++, true));
    const own = buffers.slice(buffer, buffer + count);
    buffer += count;
    const nullCount = Number(batch.view.getBigInt64(nodes.start + 16 * index + 8, true));
    return column.cells(length, nullCount === 0 ? null : own[0], own.slice(1));
  });
  for (let n = 0; n < length; n++) rows.push(cells.map((column) => column[n]));
}

export function readStream(arrayBuffer) {
  const bytes = new Uint8Array(arrayBuffer);
  const view = new DataView(arrayBuffer);
  let columns = null;
  const rows = [];
  let at = 0;
  while (at < bytes.length) {
    if (view.getUint32(at, true) !== CONTINUATION) throw new Error('an Arrow stream is damaged or cut off');
    const size = view.getInt32(at + 4, true);
    if (size === 0) return finished(columns, rows);
    const meta = new DataView(arrayBuffer, at + 8, size);
    const message = new Table(meta, meta.getInt32(0, true));
    const bodyStart = at + 8 + size;
    const bodyLength = message.long(3, 0);
    const header = message.table(2);
    switch (message.byte(1, 0)) {
      case SCHEMA:
        columns = readSchema(header);
        break;
      case RECORD_BATCH:
        readBatch(header, bytes.subarray(bodyStart, bodyStart + bodyLength), columns, rows);
        break;
      default:
        throw new Error(`an Arrow message of type ${message.byte(1, 0)} cannot be read here`);
    }
    at = bodyStart + bodyLength;
  }
  throw new Error('an Arrow stream has no end: it was cut off');
}

function finished(columns, rows) {
  if (columns === null) throw new Error('an Arrow stream has no schema');
  return { names: columns.map((column) => column.name), kinds: columns.map((column) => column.kind), rows };
}
