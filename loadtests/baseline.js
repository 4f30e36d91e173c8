// Expected checksums: asks one process for each statement on the route `inline`, and writes what it answers as
// checksums. scripts/loadtest runs it against a process of its own, over the same files in a folder: without the store,
// the exchange and the workers that the scenarios test.
//
//   DUNLIN_URLS           the process
//   DUNLIN_EXPECTED_OUT   the file to write
//   DUNLIN_SETS           sets of statements of lib/queries.js (default: all)
import { expectation, fingerprint } from './lib/checksums.js';
import { GATEWAYS, SCALE } from './lib/env.js';
import { sql } from './lib/client.js';
import { sets } from './lib/queries.js';

const FILE = __ENV.DUNLIN_EXPECTED_OUT || 'expected.json';
const SETS = (__ENV.DUNLIN_SETS || Object.keys(sets).join(',')).split(',');

export const options = { vus: 1, iterations: 1, setupTimeout: '30m' };

export function setup() {
  const statements = {};
  for (const set of SETS) {
    if (sets[set] === undefined) throw new Error(`there is no set ${set}; there are ${Object.keys(sets).join(', ')}`);
    for (const statement of sets[set]) {
      const outcome = sql(statement, { gateway: GATEWAYS[0], route: 'inline', format: 'arrow', wait: 600, class: 'baseline' });
      if (outcome.kind !== 'rows' || outcome.receipt.route !== 'inline') {
        throw new Error(`the baseline of ${statement.id} is not there: ${outcome.status} ${outcome.code} ${outcome.error}`);
      }
      statements[statement.id] = Object.assign({ fingerprint: fingerprint(statement) }, expectation(statement, outcome.body));
    }
  }
  return { version: 1, scale: SCALE, statements };
}

export default function () {}

export function handleSummary(data) {
  if (data.setup_data === undefined) return { stderr: 'baseline: no checksums were made\n' };
  const count = Object.keys(data.setup_data.statements).length;
  return { [FILE]: `${JSON.stringify(data.setup_data)}\n`, stdout: `baseline: ${count} statements\n` };
}
