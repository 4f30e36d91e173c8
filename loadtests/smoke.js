// Everything once: the 22 queries of TPC-H on the fleet, in the four formats in turn, and each other way to a result.
// CI runs it. It is about answers, so it bounds no latency of single queries.
import { check } from 'k6';
import exec from 'k6/execution';
import { ask, askPatiently, checkRows, follow } from './lib/checks.js';
import { FORMATS } from './lib/checksums.js';
import { cancel, freshKey, gatewayAt, get, post, sql, status, submit } from './lib/client.js';
import { GATEWAYS, LINKS } from './lib/env.js';
import { checkLinks, getLinks } from './lib/links.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, rows, tpch } from './lib/queries.js';
import { summary } from './lib/summary.js';

const CLASSES = { short: null, medium: null, heavy: null, format: null, way: null };

export const options = {
  scenarios: {
    tpch: { executor: 'shared-iterations', vus: 1, iterations: tpch.length, maxDuration: '5m', exec: 'oneQuery' },
    formats: {
      executor: 'shared-iterations', vus: 1, iterations: 2 * Object.keys(FORMATS).length, maxDuration: '2m', exec: 'oneFormat',
    },
    ways: { executor: 'shared-iterations', vus: 1, iterations: GATEWAYS.length, maxDuration: '2m', exec: 'allWays' },
  },
  thresholds: thresholds(CLASSES, {
    'answered{class:format}': [`count==${2 * Object.keys(FORMATS).length}`],
    checks: ['rate==1'],
    failed_queries: ['count==0'],
    unreachable: ['count==0'],
    'http_req_failed{class:short}': ['rate==0'],
    'http_req_failed{class:medium}': ['rate==0'],
    'http_req_failed{class:heavy}': ['rate==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

// Each query of TPC-H, each in another format and at another gateway than the one before.
export function oneQuery() {
  const n = exec.scenario.iterationInTest;
  const formats = Object.keys(FORMATS);
  ask(tpch[n], { route: 'fleet', format: formats[n % formats.length], wait: 120 });
}

// The same answer in each format, from the fleet and inline.
export function oneFormat() {
  const n = exec.scenario.iterationInTest;
  const formats = Object.keys(FORMATS);
  const route = n < formats.length ? 'fleet' : 'inline';
  ask(rows, { class: 'format', route, format: formats[n % formats.length], wait: 60 });
}

// The other ways to a result, once at each gateway.
export function allWays() {
  const gateway = gatewayAt(exec.scenario.iterationInTest);
  const other = gatewayAt(exec.scenario.iterationInTest + 1);
  const way = { class: 'way', gateway, route: 'fleet' };
  askPatiently(count, way);
  submitThenFetchElsewhere(gateway, other);
  sameKeyTwice(gateway, other);
  cancelEnded(gateway, other);
  refusals(gateway);
  if (LINKS) links(gateway, other);
}

function submitThenFetchElsewhere(gateway, other) {
  const accepted = submit(count, { class: 'way', gateway, route: 'fleet', wait: 0 });
  check(accepted, {
    'a submit without a wait is 202 with Location and Retry-After': (o) =>
      o.status === 202 && o.location === `/v1/queries/${o.id}` && o.retryAfter !== undefined,
  });
  const fetched = { class: 'way', gateway: other, format: 'csv', endWithin: 60 };
  const outcome = follow(accepted.id, fetched);
  check(outcome, { 'the other gateway has the rows': (o) => o !== null && checkRows(count, o, fetched) });
}

function sameKeyTwice(gateway, other) {
  const options = { class: 'way', route: 'fleet', format: 'json', wait: 60, idempotency: freshKey('smoke') };
  const first = ask(count, Object.assign({ gateway }, options));
  const second = ask(count, Object.assign({ gateway: other }, options));
  const changed = sql(rows, Object.assign({ gateway }, options));
  check(null, {
    'the same key is the same query at the other gateway': () => first.id === second.id && first.id !== '',
    'only the second is marked as replayed': () => !first.replayed && second.replayed,
    'the same key with another statement is refused': () => changed.code === 'IDEMPOTENCY_MISMATCH' && changed.status === 422,
  });
}

function cancelEnded(gateway, other) {
  const ended = submit(count, { class: 'way', gateway, route: 'fleet', wait: 60 });
  const after = cancel(ended.id, { class: 'way', gateway: other });
  check(after, { 'a cancel after the end changes nothing': (o) => o.status === 200 && o.json.status === 'SUCCEEDED' });
}

function refusals(gateway) {
  const raw = (text) => post(gateway, '/v1/sql', text, { class: 'way', contentType: 'text/plain' });
  const unknown = status('01a1fc81-6aeb-7ef6-9357-bfc83fbdd0a7', { class: 'way', gateway });
  check(null, {
    'a text that is no SQL is SYNTAX_ERROR': () => raw('selekt 1').code === 'SYNTAX_ERROR',
    'an unknown column is PLANNING_FAILED': () => raw('select nothing from lineitem').code === 'PLANNING_FAILED',
    'a statement that is no query is UNSUPPORTED': () => raw('drop table lineitem').code === 'UNSUPPORTED',
    'an unknown query is NOT_FOUND': () => unknown.code === 'NOT_FOUND' && unknown.status === 404,
    'the process answers': () => get(gateway, '/health', { class: 'way' }).status === 200,
    'the gateway is ready': () => get(gateway, '/v1/ready', { class: 'way' }).status === 200,
  });
}

// The answer as presigned links to the objects in the store.
function links(gateway, other) {
  const ended = submit(rows, { class: 'way', gateway, route: 'fleet', wait: 60 });
  const found = getLinks(ended.id, { class: 'way', gateway: other });
  check(found, {
    'the answer has links': (o) => o.status === 200,
    'the rows behind the links are right': (o) => checkLinks(rows, o, { class: 'way' }) === null,
  });
}

export const handleSummary = summary('smoke', Object.keys(CLASSES));
