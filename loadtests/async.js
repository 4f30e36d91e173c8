// Clients that do not hold a request open: submit, ask again until the end, fetch. Rows come through the gateway or by
// presigned links from the store, in turn, and always from another gateway than the one that accepted the query.
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import { checkRows, follow, submitUntilAccepted } from './lib/checks.js';
import { FORMATS } from './lib/checksums.js';
import { freshKey, gatewayAt, hasEnded, status } from './lib/client.js';
import { LINKS, sized, SLACK } from './lib/env.js';
import { checkLinks, getLinks } from './lib/links.js';
import { givenUp, lostQueries, observeAll, queryMs, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { rows } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { per_minute, duration, clients } = sized({
  small: { per_minute: 60, duration: '60s', clients: 40 },
  full: { per_minute: 60, duration: '10m', clients: 100 },
});

const CLASSES = Object.assign({ rows: 3000 }, LINKS ? { links: 3000 } : {});
const WAYS = Object.keys(CLASSES);
const acceptMs = new Trend('accept_ms', true);

export const options = {
  scenarios: {
    clients: {
      executor: 'constant-arrival-rate', rate: per_minute, timeUnit: '1m', duration, preAllocatedVUs: clients,
      gracefulStop: '5m',
    },
  },
  thresholds: thresholds(CLASSES, {
    accept_ms: [`p(95)<${1000 * SLACK}`],
    first_byte_ms: [`p(95)<${1000 * SLACK}`],
    failed_queries: ['count==0'],
    problems: ['count==0'],
    given_up: ['count==0'],
    dropped_iterations: ['count==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export default function () {
  const n = exec.scenario.iterationInTest;
  const name = WAYS[n % WAYS.length];
  const formats = Object.keys(FORMATS);
  const way = { class: name, route: 'fleet', format: formats[Math.floor(n / WAYS.length) % formats.length] };
  const began = Date.now();
  const accepted = submitUntilAccepted(rows, Object.assign({ idempotency: freshKey('async') }, way));
  if (accepted === null) {
    givenUp.add(1, { class: name });
    return;
  }
  acceptMs.add(Date.now() - began);
  if (name === 'links' ? byLinks(accepted, way, n + 1) : byRows(accepted, way)) {
    queryMs.add(Date.now() - began, { class: name });
  }
}

function byRows(accepted, way) {
  const outcome = follow(accepted.id, way);
  return outcome !== null && checkRows(rows, outcome, way);
}

function byLinks(accepted, way, n) {
  const gateway = gatewayAt(n);
  let seen;
  for (let tries = 0; tries < 15; tries++) {
    seen = status(accepted.id, { class: way.class, gateway, wait: 20 });
    if (hasEnded(seen)) break;
  }
  if (!hasEnded(seen) || seen.json.status !== 'SUCCEEDED') {
    lostQueries.add(1, { class: way.class });
    return false;
  }
  return checkLinks(rows, getLinks(accepted.id, { class: way.class, gateway }), way) === null;
}

export const handleSummary = summary('async', Object.keys(CLASSES));
