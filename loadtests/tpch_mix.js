// TPC-H on the fleet at a fixed rate, whether or not the fleet keeps up (open model): 70 % short, 25 % medium, 5 % heavy.
// The rate is below the capacity, so nothing may be refused, and k6 must always find a free client.
import exec from 'k6/execution';
import { ask } from './lib/checks.js';
import { pick } from './lib/classes.js';
import { sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { tpchQuery } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { per_minute, duration, clients } = sized({
  small: { per_minute: 60, duration: '60s', clients: 40 },
  full: { per_minute: 12, duration: '15m', clients: 60 },
});

// Milliseconds, p95.
const CLASSES = sized({
  small: { short: 1500, medium: 2500, heavy: 4000 },
  full: { short: 10000, medium: 20000, heavy: 40000 },
});

export const options = {
  scenarios: {
    mix: {
      executor: 'constant-arrival-rate', rate: per_minute, timeUnit: '1m', duration, preAllocatedVUs: clients,
      gracefulStop: '5m',
    },
  },
  thresholds: thresholds(CLASSES, {
    refused: ['count==0'],
    problems: ['count==0'],
    failed_queries: ['count==0'],
    dropped_iterations: ['count==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export default function () {
  const { number } = pick(exec.scenario.iterationInTest);
  ask(tpchQuery(number), { route: 'fleet', wait: 300 });
}

export const handleSummary = summary('tpch_mix', Object.keys(CLASSES));
