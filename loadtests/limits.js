// Every limit of a gateway is reached, and answers with its own code. Then too many requests at once: only 429 and 503
// with Retry-After, and those that are answered are right. Then too many connections: they are closed, and afterwards the
// gateway serves as before.
//
// Run it by scripts/loadtest, whose configuration for it has small limits (24 requests in progress, 16 of one key,
// 200 connections, 2 inline queries and 4 that wait) and three API keys. With --url, floods reach the limits of that gateway or nothing.
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { freshKey, gatewayAt, get, pause, post, sql, status, submit } from './lib/client.js';
import { hasControl } from './lib/control.js';
import { GATEWAYS, KEYS, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, endless, rows } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { flood_clients, flood_requests, connections } = sized({
  small: { flood_clients: 100, flood_requests: 6, connections: 600 },
  full: { flood_clients: 200, flood_requests: 30, connections: 1200 },
});
const KB = 1024;
const FLOOD_AT_S = 40;
const CONNECTIONS_AT_S = 100;

const CLASSES = { flood: null, after: 3000 };
// Half of the clients have the first key: more than one key may have requests, and more than all may have.
const USERS = ['default', 'default', 'second', 'third'];
// By what was full: the requests of one key, those of all, the inline queries.
const tooManyRequests = new Counter('too_many_requests');
const busyGateway = new Counter('busy_with_requests');
const busyInline = new Counter('busy_with_inline_queries');
const closedConnections = new Counter('closed_connections');

export const options = {
  scenarios: {
    named: { executor: 'per-vu-iterations', vus: 1, iterations: GATEWAYS.length, maxDuration: `${FLOOD_AT_S}s`, exec: 'named' },
    flood: {
      executor: 'per-vu-iterations', vus: flood_clients, iterations: flood_requests, maxDuration: '5m',
      startTime: `${FLOOD_AT_S}s`, exec: 'flood', gracefulStop: '2m',
    },
    crowd: {
      executor: 'per-vu-iterations', vus: connections, iterations: 1, maxDuration: '1m', startTime: `${CONNECTIONS_AT_S}s`,
      exec: 'crowd',
    },
    after: {
      executor: 'per-vu-iterations', vus: 1, iterations: 2 * GATEWAYS.length, maxDuration: '2m',
      startTime: `${CONNECTIONS_AT_S + 20}s`, exec: 'after',
    },
  },
  thresholds: thresholds(CLASSES, Object.assign(
    {
      checks: ['rate==1'],
      'problems{class:flood}': ['count==0'],
      'unreachable{class:flood}': ['count==0'],
      'refused{class:after}': ['count==0'],
      'unreachable{class:after}': ['count==0'],
    },
    // Floods that reach no limit prove nothing.
    hasControl
      ? { too_many_requests: ['count>0'], busy_with_requests: ['count>0'], busy_with_inline_queries: ['count>0'], closed_connections: ['count>0'] }
      : {},
  )),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
  for (const counter of [tooManyRequests, busyGateway, busyInline, closedConnections]) counter.add(0);
}

// --- limits by name --------------------------------------------------------------------------------------

function statement(text, parameters = []) {
  return { sql: text, parameters, keys: [], class: 'named' };
}

const NESTED = `select ${'('.repeat(2000)}1${')'.repeat(2000)}`;
const LONG = `select '${'x'.repeat(1100 * KB)}'`;

// What is sent, and the status and code that must come.
function cases(gateway) {
  const one = { class: 'named', gateway };
  const send = (query, more = {}) => sql(query, Object.assign({}, one, more));
  const raw = (body, more = {}) => post(gateway, '/v1/sql', body, Object.assign({ contentType: 'text/plain' }, one, more));
  const key = freshKey('limits');
  return [
    ['more bytes than max_bytes_scanned, by the plan', 422, 'LIMIT_EXCEEDED', () =>
      send(rows, { limits: { max_bytes_scanned: 1000 }, route: 'fleet' })],
    ['more bytes than max_bytes_scanned, inline', 422, 'LIMIT_EXCEEDED', () =>
      send(rows, { limits: { max_bytes_scanned: 1000 }, route: 'inline' })],
    ['more dollars than max_cost_usd', 422, 'LIMIT_EXCEEDED', () =>
      send(count, { limits: { max_cost_usd: 0.0000001 }, route: 'fleet' })],
    ['SQL over 1 MiB', 413, 'SQL_TOO_LARGE', () => raw(LONG)],
    ['a body over 2 MiB', 413, 'BODY_TOO_LARGE', () => raw('x'.repeat(2100 * KB))],
    ['2,000 levels of parentheses', 422, 'QUERY_TOO_COMPLEX', () => raw(NESTED)],
    ['a statement that is no query', 422, 'UNSUPPORTED', () => raw('create table t (a int)')],
    ['two statements', 422, 'UNSUPPORTED', () => raw('select 1; select 2')],
    ['more than 1,000 parameters', 400, 'INVALID_REQUEST', () => send(statement('select $1', new Array(1001).fill(1)))],
    ['more than 4,096 partitions', 400, 'INVALID_SETTING', () => send(count, { settings: { target_partitions: 4097 } })],
    ['an unknown setting', 400, 'INVALID_SETTING', () => send(count, { settings: { colour: 'red' } })],
    ['no SQL at all', 400, 'INVALID_REQUEST', () => raw('  ')],
    ['a wait of more than 600 s', 400, 'INVALID_REQUEST', () =>
      raw(JSON.stringify({ sql: 'select 1', wait_timeout: '601s' }), { contentType: 'application/json' })],
    ['a format that nobody knows', 406, 'NOT_ACCEPTABLE', () => send(count, { headers: { Accept: 'image/png' } })],
    ['a method that the path does not have', 405, 'METHOD_NOT_ALLOWED', () => get(gateway, '/v1/sql', one)],
    ['a path that does not exist', 404, 'NOT_FOUND', () => get(gateway, '/v1/nothing', one)],
    ['a wait that is over, inline', 504, 'WAIT_OVER', () => send(endless, { route: 'inline', headers: { Prefer: 'wait=1' } })],
    ['one key for two statements', 422, 'IDEMPOTENCY_MISMATCH', () => {
      ask(count, Object.assign({ idempotency: key, route: 'fleet', wait: 60 }, one));
      return send(rows, { idempotency: key, route: 'fleet' });
    }],
  ];
}

export function named() {
  const gateway = gatewayAt(exec.scenario.iterationInTest);
  // The gateway answers before it has read all of it and closes, so a client that still writes may see only that.
  const large = sql(count, { class: 'named', gateway, headers: { 'X-Large': 'x'.repeat(40 * KB) } });
  check(large, { 'headers over 32 KiB: 431, or the connection is closed': (o) => o.status === 431 || o.kind === 'unreachable' });
  if (KEYS.second) keysApart(gateway);
  for (const [what, wanted, code, send] of cases(gateway)) {
    const outcome = send();
    const fits = check(outcome, { [`${what}: ${wanted} ${code}`]: (o) => o.status === wanted && o.code === code });
    if (!fits) console.error(`${what}: ${outcome.status} ${outcome.code} ${outcome.error} ${String(outcome.body).slice(0, 300)}`);
  }
}

// The query of one key does not exist for another, and nobody gets in without one.
function keysApart(gateway) {
  const own = submit(count, { class: 'named', gateway, wait: 60, route: 'fleet' });
  const seen = status(own.id, { class: 'named', gateway, apiKey: KEYS.second });
  const unknown = sql(count, { class: 'named', gateway, apiKey: 'dunlin_unknown' });
  check(null, {
    'the query of another key: 404 NOT_FOUND': () => own.kind === 'status' && seen.status === 404 && seen.code === 'NOT_FOUND',
    'an unknown key: 401 UNAUTHORIZED': () => unknown.status === 401 && unknown.code === 'UNAUTHORIZED',
  });
}

// --- floods ----------------------------------------------------------------------------------------------

// Whoever is refused waits as Retry-After says.
export function flood() {
  const n = exec.scenario.iterationInTest;
  const route = n % 2 === 0 ? 'fleet' : 'inline';
  const outcome = ask(count, { class: 'flood', route, wait: 120, apiKey: KEYS[USERS[exec.vu.idInTest % USERS.length]] });
  if (outcome.code === 'TOO_MANY_REQUESTS') tooManyRequests.add(1);
  if (outcome.code === 'GATEWAY_BUSY') {
    (outcome.json.detail.startsWith('the gateway has') ? busyGateway : busyInline).add(1);
  }
  if (outcome.kind === 'refused') sleep(pause(outcome));
}

// Holds a connection for a while; those above the limit are closed at once.
export function crowd() {
  const outcome = get(gatewayAt(exec.scenario.iterationInTest), '/health', { class: 'crowd' });
  if (outcome.kind === 'unreachable') closedConnections.add(1);
  sleep(10);
}

export function after() {
  const n = exec.scenario.iterationInTest;
  const route = n < GATEWAYS.length ? 'fleet' : 'inline';
  ask(count, { class: 'after', gateway: gatewayAt(n), route, wait: 60 });
}

export const handleSummary = summary('limits', Object.keys(CLASSES));
