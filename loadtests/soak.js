// A steady load for long, at about 60 % of the capacity: panels inline and a part on the fleet. Memory does not grow, no
// hint of a query stays behind, and one statement costs at the end what it cost in the beginning.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { hasControl, note, objects, processes } from './lib/control.js';
import { seconds, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, tpch } from './lib/queries.js';
import { summary } from './lib/summary.js';

// In a few minutes the statement is asked some 40 times, so its mean is not exact.
const { per_minute, duration, clients, most_drift_percent } = sized({
  small: { per_minute: 120, duration: '3m', clients: 60, most_drift_percent: 15 },
  full: { per_minute: 60, duration: '2h', clients: 100, most_drift_percent: 5 },
});
const DURATION_S = seconds(duration);
// Caches and pools are filled when this share of the time is over.
const WARM = 0.4;
const MOST_GROWTH_PERCENT = 25;

const CLASSES = { inline: 1500, fleet: 4000, measured: 2000 };
const growthPercent = new Trend('rss_growth_percent');
const statementCost = new Trend('statement_cost_usd');
const leftHints = new Trend('left_hints');

const scenarios = {
  load: {
    executor: 'constant-arrival-rate', rate: per_minute, timeUnit: '1m', duration, preAllocatedVUs: clients, exec: 'load',
    gracefulStop: '5m',
  },
};
if (hasControl) scenarios.watch = { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '24h', exec: 'watch' };

export const options = {
  scenarios,
  thresholds: thresholds(CLASSES, Object.assign(
    {
      refused: ['count==0'],
      problems: ['count==0'],
      failed_queries: ['count==0'],
      dropped_iterations: ['count==0'],
      'statement_cost_usd{part:first}': ['avg>=0'],
      'statement_cost_usd{part:last}': ['avg>=0'],
    },
    hasControl ? { rss_growth_percent: [`max<${MOST_GROWTH_PERCENT}`], left_hints: ['max==0'] } : {},
  )),
  teardownTimeout: '3m',
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

// Of ten queries one is always the same, on the fleet: its dollars are compared.
export function load() {
  const n = exec.scenario.iterationInTest;
  if (n % 10 === 0) {
    const outcome = ask(count, { class: 'measured', route: 'fleet', wait: 120 });
    const elapsed = (Date.now() - exec.scenario.startTime) / 1000 / DURATION_S;
    const part = elapsed < 1 / 3 ? 'first' : elapsed < 2 / 3 ? 'middle' : 'last';
    const cost = outcome.receipt && outcome.receipt.cost_usd;
    if (cost) statementCost.add(cost.total, { part });
    return;
  }
  const route = n % 10 < 3 ? 'fleet' : 'inline';
  ask(tpch[(7 * n) % tpch.length], { class: route, route, wait: 120 });
}

function memory() {
  const { gateways, workers } = processes();
  return [...gateways, ...workers].map((process) => process.rss_kb);
}

export function watch() {
  sleep(DURATION_S * WARM);
  const before = memory();
  sleep(DURATION_S * (1 - WARM) - 2);
  memory().forEach((after, n) => growthPercent.add((100 * (after - before[n])) / before[n]));
}

// A hint stays while its query may need care. All queries have ended, so all hints must go.
export function teardown() {
  if (!hasControl) return;
  let left = objects('live/');
  for (let tries = 0; left.count > 0 && tries < 120; tries++) {
    sleep(0.5);
    left = objects('live/');
  }
  leftHints.add(left.count);
  const roots = objects('q/', '/root').count;
  const all = objects('');
  note('queries in the store', roots);
  note('objects per query in the store', (all.count / roots).toFixed(1));
  note('kB per query in the store', (all.bytes / roots / 1000).toFixed(1));
}

// A threshold cannot compare two figures.
function judge(_, data) {
  const average = (part) => {
    const metric = data.metrics[`statement_cost_usd{part:${part}}`];
    return metric === undefined || metric.values.count === 0 ? null : metric.values.avg;
  };
  const [first, last] = [average('first'), average('last')];
  if (first === null || last === null || !(first > 0)) {
    return { lines: ['The statement whose dollars are compared has no price.'], failures: hasControl ? ['no dollars were compared'] : [] };
  }
  const drift = (100 * (last - first)) / first;
  const line = `One statement cost $${first.toFixed(7)} in the first third and $${last.toFixed(7)} in the last: ${drift.toFixed(1)} %.`;
  return { lines: [line], failures: drift > most_drift_percent ? [`dollars per query grew by ${drift.toFixed(1)} %`] : [] };
}

export const handleSummary = summary('soak', Object.keys(CLASSES), { judge });
