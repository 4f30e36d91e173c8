// Two API keys. One of them sends as much as it can and does not wait when it is refused. How does the other one fare,
// which asks a panel and a query on the fleet now and then?
//
// Dunlin has no quotas and no fair shares. What it promises: one key has at most half of a gateway's requests in
// progress, so the other is not refused for the number of requests; and every refusal has Retry-After.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { seconds, KEYS, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, panels } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { alone, beside, quiet_per_minute, noisy_clients, noisy_pause_s } = sized({
  small: { alone: '20s', beside: '40s', quiet_per_minute: 60, noisy_clients: 60, noisy_pause_s: 0.2 },
  full: { alone: '2m', beside: '5m', quiet_per_minute: 120, noisy_clients: 800, noisy_pause_s: 0.2 },
});

const CLASSES = {
  alone_inline: 1000, alone_fleet: 3000, beside_inline: 10000, beside_fleet: 20000, noisy: null,
};
// Refusals of the quiet key because of the number of its requests: it never has many.
const refusedForNumber = new Counter('quiet_too_many_requests');

export const options = {
  scenarios: {
    alone: {
      executor: 'constant-arrival-rate', rate: quiet_per_minute, timeUnit: '1m', duration: alone, preAllocatedVUs: 20,
      exec: 'quiet', gracefulStop: '30s', tags: { phase: 'alone' },
    },
    beside: {
      executor: 'constant-arrival-rate', rate: quiet_per_minute, timeUnit: '1m', duration: beside, preAllocatedVUs: 60,
      startTime: `${seconds(alone) + 5}s`, exec: 'quiet', gracefulStop: '2m',
    },
    noisy: {
      executor: 'constant-vus', vus: noisy_clients, duration: `${seconds(beside) + 4}s`, startTime: `${seconds(alone) + 2}s`,
      exec: 'noisy', gracefulStop: '2m',
    },
  },
  thresholds: thresholds(CLASSES, {
    quiet_too_many_requests: ['count==0'],
    problems: ['count==0'],
    unreachable: ['count==0'],
    failed_queries: ['count==0'],
    dropped_iterations: ['count==0'],
    'refused{class:alone_inline}': ['count==0'],
    'refused{class:alone_fleet}': ['count==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  for (const name of ['quiet', 'noisy']) {
    if (!KEYS[name]) throw new Error(`DUNLIN_KEYS has no key for ${name}: with --url, set it to {"quiet": "…", "noisy": "…"}`);
  }
  observeAll(CLASSES);
  refusedForNumber.add(0);
}

function panel(n) {
  const values = panels[n % panels.length];
  return values[Math.floor(n / panels.length) % values.length];
}

export function quiet() {
  const n = exec.scenario.iterationInTest;
  const route = n % 2 === 0 ? 'inline' : 'fleet';
  const options = { class: `${exec.scenario.name}_${route}`, apiKey: KEYS.quiet, wait: 120, route };
  const outcome = ask(route === 'inline' ? panel(n) : count, options);
  if (outcome.code === 'TOO_MANY_REQUESTS') refusedForNumber.add(1);
}

export function noisy() {
  const n = exec.scenario.iterationInTest;
  const route = n % 5 === 0 ? 'fleet' : 'inline';
  const outcome = ask(route === 'inline' ? panel(n) : count, { class: 'noisy', apiKey: KEYS.noisy, wait: 120, route });
  if (outcome.kind !== 'rows') sleep(noisy_pause_s);
}

export const handleSummary = summary('noisy_neighbour', Object.keys(CLASSES), {
  seconds: {
    alone_inline: seconds(alone), alone_fleet: seconds(alone), beside_inline: seconds(beside), beside_fleet: seconds(beside),
    noisy: seconds(beside) + 4,
  },
});
