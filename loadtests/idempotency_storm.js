// Many clients send one request with one Idempotency-Key at the same moment, to all gateways: one query. Every client
// gets its id, whoever sent first, and a later retry at another gateway finds it.
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { checkRows, follow } from './lib/checks.js';
import { gatewayAt, pause, sql, submit } from './lib/client.js';
import { hasControl, objects } from './lib/control.js';
import { sized } from './lib/env.js';
import { observeAll, queryMs, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count } from './lib/queries.js';
import { summary } from './lib/summary.js';

// Rounds take `round_s` each, of which the second half is for the retries.
const { clients, rounds, round_s } = sized({
  small: { clients: 60, rounds: 4, round_s: 12 },
  full: { clients: 200, rounds: 20, round_s: 15 },
});
const FIRST_ROUND_S = 3;
const TRIES = 20;

// Answers of the storm, and of the retries.
const CLASSES = { storm: 8000, retry: 8000 };
// Answers that were not marked as replayed: one for each key.
const originals = new Counter('originals');
const otherIds = new Counter('other_ids');
const missed = new Counter('clients_without_id');
const keysWithOneQuery = new Counter('queries_in_store');

export const options = {
  scenarios: {
    storm: { executor: 'per-vu-iterations', vus: clients, iterations: rounds, maxDuration: '30m' },
  },
  thresholds: thresholds(CLASSES, Object.assign(
    {
      checks: ['rate==1'],
      originals: [`count==${rounds}`],
      other_ids: ['count==0'],
      clients_without_id: ['count==0'],
      problems: ['count==0'],
      failed_queries: ['count==0'],
      'answered{class:storm}': [`count==${clients * rounds}`],
      'answered{class:retry}': [`count==${clients * rounds}`],
    },
    hasControl ? { queries_in_store: [`count==${rounds}`] } : {},
  )),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
  for (const counter of [originals, otherIds, missed]) counter.add(0);
  return { began: Date.now() + 1000 * FIRST_ROUND_S, run: Math.random().toString(36).slice(2) };
}

function sleepUntil(time) {
  const left = (time - Date.now()) / 1000;
  if (left > 0) sleep(left);
}

// Sends the request until it is not refused any more.
function send(round, options) {
  const send = round % 2 === 0 ? sql : submit;
  let outcome;
  for (let tries = 0; tries < TRIES; tries++) {
    outcome = send(count, options);
    if (outcome.kind !== 'refused' && outcome.kind !== 'unreachable') break;
    sleep(pause(outcome));
  }
  return outcome;
}

function rowsOf(outcome, options) {
  const rows = outcome.kind === 'rows' ? outcome : follow(outcome.id, options);
  return rows !== null && checkRows(count, rows, options);
}

export default function (data) {
  const round = exec.vu.iterationInScenario;
  const place = exec.vu.idInTest;
  // Half of the rounds through /v1/sql, half through /v1/queries; two rounds on the fleet, then two inline.
  const route = round % 4 < 2 ? 'fleet' : 'inline';
  const options = { class: 'storm', format: 'json', route, wait: 60, idempotency: `storm-${data.run}-${round}` };
  sleepUntil(data.began + 1000 * round_s * round);
  const began = Date.now();
  const first = send(round, Object.assign({ gateway: gatewayAt(place) }, options));
  if (first.id === '') {
    missed.add(1);
    return;
  }
  if (!first.replayed) originals.add(1);
  if (rowsOf(first, Object.assign({ gateway: gatewayAt(place) }, options))) queryMs.add(Date.now() - began, { class: 'storm' });
  sleepUntil(data.began + 1000 * round_s * (round + 0.5));
  retry(first, round, Object.assign({}, options, { class: 'retry', gateway: gatewayAt(place + 1) }));
}

// The record of a key holds one id. Whoever got another one sees it here.
function retry(first, round, options) {
  const began = Date.now();
  const second = send(round, options);
  if (second.id !== first.id) {
    otherIds.add(1);
    console.error(`round ${round}: ${first.id} in the storm, ${second.id} later`);
  }
  check(second, { 'a retry is marked as replayed': (o) => o.replayed });
  if (rowsOf(second, options)) queryMs.add(Date.now() - began, { class: 'retry' });
}

// The store is fresh, so it holds the queries of this run only.
export function teardown() {
  if (hasControl) keysWithOneQuery.add(objects('q/', '/root').count);
}

export const handleSummary = summary('idempotency_storm', Object.keys(CLASSES));
