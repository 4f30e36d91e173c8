// Many clients wait for queries at the same time, and no worker runs: what does a waiting client cost a gateway? Then
// workers are started, and everybody gets the right rows.
//
// `--set queries=10` lets all clients wait for ten queries instead of one each.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { gatewayAt } from './lib/client.js';
import { busy, note, noteMemory, objects, processes, start, storeRequestRates } from './lib/control.js';
import { sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { clients, queries, hold_s, ramp_s } = sized({
  small: { clients: 1000, queries: 1000, hold_s: 15, ramp_s: 90 },
  full: { clients: 5000, queries: 5000, hold_s: 60, ramp_s: 300 },
});
// A gateway allows at most 600 s.
const WAIT_S = 600;
const ALL_WAIT_WITHIN_S = 480;
const MOST_KB_PER_CLIENT = 256;

const CLASSES = { waiting: null };
const perClient = new Trend('kb_per_waiting_client');

export const options = {
  scenarios: {
    clients: { executor: 'per-vu-iterations', vus: clients, iterations: 1, maxDuration: '40m', exec: 'wait' },
    watch: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '40m', exec: 'watch' },
  },
  thresholds: thresholds(CLASSES, {
    'answered{class:waiting}': [`count==${clients}`],
    kb_per_waiting_client: [`max<${MOST_KB_PER_CLIENT}`],
    unreachable: ['count==0'],
    failed_queries: ['count==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
  // What the first statement of a gateway needs is not part of a waiting client.
  processes().gateways.forEach((_, n) => ask(count, { class: 'warm', gateway: gatewayAt(n), route: 'inline' }));
  return { before: noteMemory('before'), run: Math.random().toString(36).slice(2) };
}

export function wait(data) {
  const place = exec.scenario.iterationInTest;
  sleep((ramp_s * place) / clients);
  ask(count, {
    class: 'waiting', gateway: gatewayAt(place), route: 'fleet', wait: WAIT_S, retryFor: ALL_WAIT_WITHIN_S,
    idempotency: `waiting-${data.run}-${place % queries}`,
  });
}

export function watch(data) {
  const began = Date.now();
  sleep(ramp_s);
  waitUntilAllWait(began);
  const asking = Date.now() - began;
  sleep(hold_s);
  const during = noteMemory('during');
  during.forEach((kb, n) => perClient.add((kb - data.before[n]) / (clients / during.length)));
  const cores = busy('gateway', 3);
  const rates = storeRequestRates(10);
  const text = Object.keys(rates).map((name) => `${name} ${rates[name].toFixed(0)}`).join(', ');
  note('requests a second at the store while all wait', text || 'none');
  note('s until all clients waited', (asking / 1000).toFixed(1));
  note('MB of the gateways before', data.before.map((kb) => (kb / 1024).toFixed(1)).join(', '));
  note('MB of the gateways while all wait', during.map((kb) => (kb / 1024).toFixed(1)).join(', '));
  note('kB per waiting client', during.map((kb, n) => ((kb - data.before[n]) / (clients / during.length)).toFixed(1)).join(', '));
  note('cores of both gateways while all wait', cores.toFixed(2));
  processes().workers.forEach((worker) => start('worker', worker.index));
}

// All queries are in the store, and each client holds a connection.
function waitUntilAllWait(began) {
  for (const deadline = began + 1000 * ALL_WAIT_WITHIN_S; Date.now() < deadline; sleep(1)) {
    const connections = processes().gateways.reduce((sum, gateway) => sum + gateway.fds, 0);
    if (connections >= clients && objects('q/', '/root').count >= queries) return;
  }
  throw new Error(`not all clients waited within ${ALL_WAIT_WITHIN_S} s`);
}

export const handleSummary = summary('waiting', Object.keys(CLASSES));
