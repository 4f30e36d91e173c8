// Ten times the load within ten seconds, over workers that had little to do. A gateway may refuse, with 429 or 503 and
// Retry-After, and nothing else may go wrong; when the load is gone, answers are as fast as before.
import exec from 'k6/execution';
import { ask } from './lib/checks.js';
import { fixedRandom } from './lib/classes.js';
import { seconds, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { count, panels } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { base_per_s, spike_per_s, calm, rise, top, settle, clients } = sized({
  small: { base_per_s: 3, spike_per_s: 30, calm: '20s', rise: '10s', top: '20s', settle: '75s', clients: 400 },
  full: { base_per_s: 10, spike_per_s: 100, calm: '60s', rise: '10s', top: '60s', settle: '3m', clients: 2000 },
});
const FLEET_SHARE = 0.2;

// Phases. While the load is too much, no latency is promised.
const CLASSES = { before: 1000, spike: null, settle: null, after: 1000 };
const ENDS = [
  ['before', seconds(calm)],
  ['spike', seconds(calm) + seconds(rise) + seconds(top)],
  ['settle', seconds(calm) + seconds(rise) + seconds(top) + seconds(settle)],
  ['after', Infinity],
];

export const options = {
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate', startRate: base_per_s, timeUnit: '1s', preAllocatedVUs: clients,
      stages: [
        { duration: calm, target: base_per_s },
        { duration: rise, target: spike_per_s },
        { duration: top, target: spike_per_s },
        { duration: '1s', target: base_per_s },
        { duration: settle, target: base_per_s },
        { duration: calm, target: base_per_s },
      ],
      gracefulStop: '3m',
    },
  },
  thresholds: thresholds(CLASSES, {
    problems: ['count==0'],
    unreachable: ['count==0'],
    failed_queries: ['count==0'],
    'refused{class:before}': ['count==0'],
    'refused{class:after}': ['count==0'],
  }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export default function () {
  const elapsed = (Date.now() - exec.scenario.startTime) / 1000;
  const [name] = ENDS.find(([, end]) => elapsed < end);
  const n = exec.scenario.iterationInTest;
  if (fixedRandom(n) < FLEET_SHARE) {
    ask(count, { class: name, route: 'fleet', wait: 120 });
  } else {
    const values = panels[n % panels.length];
    ask(values[n % values.length], { class: name, wait: 120 });
  }
}

export const handleSummary = summary('spike', Object.keys(CLASSES), {
  seconds: {
    before: seconds(calm), spike: seconds(rise) + seconds(top), settle: seconds(settle), after: seconds(calm),
  },
});
