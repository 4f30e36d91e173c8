// Users with a dashboard open: eight panels one after the other, then time to think. Of the panels, 60 % show what
// everybody looks at, the others one of the further values of their parameter. The number of users grows.
//
// Dunlin keeps no answers, so a panel that was shown before costs the same again: there is no threshold of cache hits.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { ask } from './lib/checks.js';
import { fixedRandom } from './lib/classes.js';
import { sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { panels } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { users_from, users_to, duration, think_s } = sized({
  small: { users_from: 2, users_to: 12, duration: '60s', think_s: 2 },
  full: { users_from: 50, users_to: 500, duration: '10m', think_s: 10 },
});
const REPEATED = 0.6;

const CLASSES = { panel: 1000 };

export const options = {
  scenarios: {
    users: {
      executor: 'ramping-vus', startVUs: users_from, stages: [{ duration, target: users_to }], gracefulRampDown: '30s',
      gracefulStop: '60s',
    },
  },
  thresholds: thresholds(CLASSES, { refused: ['count==0'], problems: ['count==0'] }),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export default function () {
  const n = 1000 * exec.vu.idInTest + exec.vu.iterationInInstance;
  panels.forEach((values, place) => {
    const chance = fixedRandom(panels.length * n + place);
    const other = 1 + Math.floor(((chance - REPEATED) / (1 - REPEATED)) * (values.length - 1));
    ask(values[chance < REPEATED ? 0 : other], { wait: 60 });
  });
  sleep(think_s * (0.5 + fixedRandom(n)));
}

export const handleSummary = summary('dashboards', Object.keys(CLASSES));
