// Queries that would run for hours are submitted and cancelled. They are CANCELLED within two seconds at every gateway,
// their rows are 410, and their tasks stop: workers are idle two seconds later, and take other queries at once.
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { cancel, gatewayAt, hasEnded, results, status, submit } from './lib/client.js';
import { busy, hasControl, note } from './lib/control.js';
import { GATEWAYS, sized, SLACK } from './lib/env.js';
import { lostQueries, observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, endless } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { clients, queries, proofs } = sized({
  small: { clients: 6, queries: 5, proofs: 3 },
  full: { clients: 40, queries: 20, proofs: 10 },
});
const CANCELLED_WITHIN_MS = 2000;
const TASKS_STOP_WITHIN_S = 2;
const BUSY_CORES = 0.3;
const IDLE_CORES = 0.15;
const RUNNING_WITHIN_S = 60;
// Longer than a worker needs to claim a task and begin with it.
const RUN_S = 1;

const CLASSES = { probe: 3000 };
const cancelledMs = new Trend('cancelled_ms', true);
const cancelledCount = new Counter('cancelled');
const wereRunning = new Counter('cancelled_while_running');
const busyCores = new Trend('worker_cores_before_cancel');
const idleCores = new Trend('worker_cores_after_cancel');

export const options = {
  scenarios: { storm: { executor: 'per-vu-iterations', vus: clients, iterations: queries, maxDuration: '30m' } },
  thresholds: thresholds(CLASSES, Object.assign(
    {
      checks: ['rate==1'],
      cancelled: [`count==${clients * queries + proofs}`],
      cancelled_while_running: ['count>0'],
      cancelled_ms: [`max<${CANCELLED_WITHIN_MS * SLACK}`, `p(95)<${CANCELLED_WITHIN_MS}`],
      unreachable: ['count==0'],
    },
    hasControl ? { worker_cores_before_cancel: [`min>${BUSY_CORES}`], worker_cores_after_cancel: [`max<${IDLE_CORES}`] } : {},
  )),
  teardownTimeout: '10m',
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
  for (const counter of [cancelledCount, wereRunning]) counter.add(0);
}

function begin(n) {
  const accepted = submit(endless, { class: 'endless', gateway: gatewayAt(n), route: 'fleet', wait: 0, settings: { task_bytes: 0 } });
  if (accepted.kind !== 'status') throw new Error(`the query was not accepted: ${accepted.status} ${accepted.code}`);
  return accepted.id;
}

// Cancels at another gateway than the one that accepted it, and waits until all gateways say CANCELLED.
function end(id, n) {
  const began = Date.now();
  const answer = cancel(id, { class: 'endless', gateway: gatewayAt(n + 1) });
  const seen = GATEWAYS.map((gateway) => status(id, { class: 'endless', gateway, wait: 10 }));
  cancelledMs.add(Date.now() - began);
  const isCancelled = (outcome) => outcome.json !== null && outcome.json.status === 'CANCELLED';
  if (!seen.every(hasEnded)) lostQueries.add(1, { class: 'endless' });
  if (seen.every(isCancelled)) cancelledCount.add(1);
  const rows = results(id, { class: 'endless', gateway: gatewayAt(n), format: 'json' });
  check(rows, {
    'the cancel answers CANCELLED': () => isCancelled(answer),
    'the rows of a cancelled query are 410 CANCELLED': (o) => o.status === 410 && o.code === 'CANCELLED',
  });
}

export default function () {
  const n = exec.scenario.iterationInTest;
  const id = begin(n);
  sleep(RUN_S);
  const seen = status(id, { class: 'endless', gateway: gatewayAt(n) });
  if (seen.json !== null && seen.json.status === 'RUNNING') wereRunning.add(1);
  end(id, n);
}

function waitUntilRunning(id) {
  for (const deadline = Date.now() + 1000 * RUNNING_WITHIN_S; Date.now() < deadline; sleep(0.2)) {
    const seen = status(id, { class: 'endless', gateway: gatewayAt(0) });
    if (seen.json !== null && seen.json.status === 'RUNNING') return;
    if (hasEnded(seen)) throw new Error(`a query that should run for hours ended: ${seen.body}`);
  }
  throw new Error(`query ${id} did not begin to run within ${RUNNING_WITHIN_S} s`);
}

// One query alone, and what the workers do before and after its cancel.
export function teardown() {
  for (let n = 0; n < proofs; n++) {
    const id = begin(n);
    waitUntilRunning(id);
    sleep(RUN_S);
    if (hasControl) busyCores.add(busy('worker', 1));
    end(id, n);
    sleep(TASKS_STOP_WITHIN_S);
    if (hasControl) idleCores.add(busy('worker', 1));
    ask(count, { class: 'probe', gateway: gatewayAt(n), route: 'fleet', wait: 60 });
  }
  if (hasControl) note('cores of workers are measured over', '1 s, from 2 s after the cancel on');
}

export const handleSummary = summary('cancel_storm', Object.keys(CLASSES));
