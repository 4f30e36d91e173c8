// Workers that do not run yet. A query waits until its first worker is started; then another after a pause in which
// nobody asked anything; then one at once after that. The gateways run all the time.
import { check, sleep } from 'k6';
import { Trend } from 'k6/metrics';
import { checkRows, follow } from './lib/checks.js';
import { gatewayAt, hasEnded, status, submit } from './lib/client.js';
import { processes, start, stop } from './lib/control.js';
import { seconds, sized } from './lib/env.js';
import { observeAll, queryMs, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { rounds, wait, idle } = sized({
  small: { rounds: 4, wait: '3s', idle: '15s' },
  full: { rounds: 5, wait: '10s', idle: '20m' },
});

// From the start of the worker, or from the request, to the last byte of the rows.
const CLASSES = { cold: 4000, idle: 3000, warm: 2000 };
const processMs = new Trend('worker_start_ms', true);

export const options = {
  scenarios: { rounds: { executor: 'per-vu-iterations', vus: 1, iterations: rounds, maxDuration: '6h' } },
  thresholds: thresholds(CLASSES, {
    checks: ['rate==1'],
    failed_queries: ['count==0'],
    problems: ['count==0'],
    'answered{class:cold}': [`count==${rounds}`],
    'answered{class:idle}': [`count==${rounds}`],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

function begin(name, n) {
  const accepted = submit(count, { class: name, gateway: gatewayAt(n), route: 'fleet', wait: 0 });
  if (accepted.kind !== 'status') throw new Error(`the query was not accepted: ${accepted.status} ${accepted.code}`);
  return accepted.id;
}

function finish(id, name, n, began) {
  const way = { class: name, gateway: gatewayAt(n + 1), format: 'json' };
  const outcome = follow(id, way);
  if (outcome !== null && checkRows(count, outcome, way)) queryMs.add(Date.now() - began, { class: name });
}

export default function () {
  const n = __ITER;
  processes().workers.forEach((worker) => stop('worker', worker.index, 'term'));
  const id = begin('cold', n);
  sleep(seconds(wait));
  const seen = status(id, { class: 'cold', gateway: gatewayAt(n) });
  check(seen, { 'without a worker the query waits': (o) => !hasEnded(o) && o.json.status === 'PENDING' });
  const began = Date.now();
  start('worker', 0);
  processMs.add(Date.now() - began);
  finish(id, 'cold', n, began);
  sleep(seconds(idle));
  for (const name of ['idle', 'warm']) {
    const asked = Date.now();
    finish(begin(name, n), name, n, asked);
  }
}

export const handleSummary = summary('cold_start', Object.keys(CLASSES));
