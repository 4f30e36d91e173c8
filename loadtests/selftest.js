// The checksums themselves: what must be equal is equal, and what must differ differs. A check that cannot fail checks
// nothing. No gateway is needed: `scripts/loadtest selftest`.
import encoding from 'k6/encoding';
import { check } from 'k6';
import { canonical, difference, differenceOfRows, expectationFromRows, rowsOf } from './lib/checksums.js';
import { decompressFrame } from './lib/lz4.js';
import { readStream } from './lib/arrow.js';
import { MIX, pick } from './lib/classes.js';
import { tpch } from './lib/queries.js';

export const options = { thresholds: { checks: ['rate==1'] }, vus: 1, iterations: 1 };

const NAMES = ['k', 'd', 'f', 't'];
const KINDS = ['int', 'decimal', 'float', 'text'];
const ROWS = [
  ['1', '10.50', 0.1 + 0.2, 'a,"b"'],
  ['2', '-0.00', 1e300, null],
  ['3', '12345678901.25', -0, ''],
];
const ordered = { id: 'selftest', keys: ['k'] };
const unordered = { id: 'selftest', keys: [] };

const JSONL = [
  '{"k":1,"d":10.50,"f":0.30000000000000004,"t":"a,\\"b\\""}',
  '{"k":2,"d":0.00,"f":1e300,"t":null}',
  '{"k":3,"d":12345678901.25,"f":-0.0,"t":""}',
];
const CSV = 'k,d,f,t\n1,10.50,0.3,"a,""b"""\n2,0.00,1e300,\n3,12345678901.25,0.0,\n';

function expected(statement) {
  return expectationFromRows(statement, NAMES, KINDS, ROWS);
}

function changed(row, column, value) {
  const copy = ROWS.map((cells) => cells.slice());
  copy[row][column] = value;
  return copy;
}

function formats() {
  const of = (statement, format, body) => difference(statement, expected(statement), format, body);
  check(null, {
    'JSON is the same': () => of(ordered, 'json', `[${JSONL.join(',')}]`) === null,
    'lines of JSON are the same': () => of(ordered, 'jsonl', `${JSONL.join('\n')}\n`) === null,
    'CSV is the same': () => of(ordered, 'csv', CSV) === null,
    'JSON that is cut off is not an answer': () => of(ordered, 'json', `[${JSONL.join(',')}`) !== null,
    'a missing line is found': () => of(unordered, 'jsonl', JSONL.slice(1).join('\n')) !== null,
    'an error as the last line is found': () => of(unordered, 'jsonl', `${JSONL.join('\n')}\n{"error":{"code":"X"}}`) !== null,
    'a CSV that is cut off is found': () => of(unordered, 'csv', CSV.slice(0, 30)) !== null,
    'another header of CSV is found': () => of(unordered, 'csv', CSV.replace('k,d', 'd,k')) !== null,
    'another column of JSON is found': () => of(unordered, 'json', `[${JSONL.join(',').replace('"t":', '"u":')}]`) !== null,
    'no body is no answer': () => of(unordered, 'json', null) !== null,
    'quotes and line ends inside of CSV are kept': () =>
      JSON.stringify(rowsOf('csv', 'a,b\r\n"x\ny",""""\r\n,z\n', ['a', 'b'])) === '[["x\\ny","\\""],["","z"]]',
  });
}

function values() {
  const of = (statement, rows) => differenceOfRows(statement, expected(statement), rows);
  const turned = ROWS.slice().reverse();
  check(null, {
    'the same rows are the same': () => of(ordered, ROWS) === null,
    'another order is found where there is ORDER BY': () => of(ordered, turned) !== null,
    'another order is the same where there is none': () => of(unordered, turned) === null,
    'a changed integer is found': () => of(unordered, changed(0, 0, '4')) !== null,
    'a changed cent is found': () => of(unordered, changed(2, 1, '12345678901.26')) !== null,
    'the tenth digit of a float does not count': () => of(unordered, changed(0, 2, 0.30000000001)) === null,
    'the eighth digit of a float counts': () => of(unordered, changed(0, 2, 0.30000001)) !== null,
    'a null is not the empty text': () => of(unordered, changed(1, 3, '')) !== null,
    'a row twice is found': () => of(unordered, [ROWS[0], ROWS[0], ROWS[2]]) !== null,
    'cells that move between columns are found': () => of(unordered, changed(0, 3, 'a,"c"')) !== null,
    'trailing zeros of decimals do not count': () => canonical('10.500', 'decimal') === canonical(10.5, 'decimal'),
  });
}

// A frame of `lz4` over 'abcabcabcabcabcabcabcabcabcabcabc' and one whose match points before its beginning.
function compressed() {
  const frame = (block) => {
    const head = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, block.length, 0, 0, 0];
    return new Uint8Array([...head, ...block, 0, 0, 0, 0]);
  };
  const good = frame([0x3f, 0x61, 0x62, 0x63, 3, 0, 6, 0x50, 0x63, 0x61, 0x62, 0x63, 0x21]);
  const text = (bytes) => String.fromCharCode.apply(null, bytes);
  const fails = (run) => {
    try {
      run();
      return false;
    } catch (_) {
      return true;
    }
  };
  check(null, {
    'a match that overlaps itself is repeated': () => text(decompressFrame(good, 33)) === `${'abc'.repeat(9)}acabc!`.slice(0, 33),
    'a wrong length is found': () => fails(() => decompressFrame(good, 34)),
    'a match before the beginning is found': () => fails(() => decompressFrame(frame([0x10, 0x61, 9, 0, 0x00]), 5)),
    'an Arrow stream without an end is found': () => fails(() => readStream(encoding.b64decode('', 'std'))),
  });
}

function mix() {
  const counts = { short: 0, medium: 0, heavy: 0 };
  const numbers = new Set();
  const N = 10000;
  for (let n = 0; n < N; n++) {
    const chosen = pick(n);
    counts[chosen.class] += 1;
    numbers.add(chosen.number);
  }
  const near = (name) => Math.abs((100 * counts[name]) / N - MIX[name]) < 1.5;
  check(null, {
    'the mix has its shares': () => Object.keys(MIX).every(near),
    'the mix has every query': () => numbers.size === tpch.length,
  });
}

export default function () {
  formats();
  values();
  compressed();
  mix();
}

export function handleSummary(data) {
  const failed = data.root_group.checks.filter((one) => one.fails > 0);
  const lines = failed.map((one) => `selftest: failed: ${one.name}`);
  lines.push(`selftest: ${data.root_group.checks.length - failed.length} checks of the checksums held`);
  return { stdout: `${lines.join('\n')}\n` };
}
