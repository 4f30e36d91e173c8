// More load, step by step, until the latency breaks: the capacity. `--set kind=panel` asks panels, inline in the gateways;
// `--set kind=tpch` asks the mix of TPC-H on the fleet.
//
// A step holds if its p95 is within the bound, nothing was refused, and at least 95 % of what was asked was answered.
// That later steps break is the purpose and no failure. A wrong or lost answer is one, at any load, and so is a first
// step that does not hold.
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { pick } from './lib/classes.js';
import { seconds, sized, SLACK } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { panels, tpchQuery } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { kind, first_per_s, growth, steps, step, clients } = sized({
  small: { kind: 'panel', first_per_s: 2, growth: 1.6, steps: 8, step: '15s', clients: 600 },
  full: { kind: 'panel', first_per_s: 5, growth: 1.4, steps: 14, step: '60s', clients: 3000 },
});

// p95 of a step in milliseconds, and the p95 at which going on makes no sense.
const BOUND_MS = { panel: 1000, tpch: 5000 }[kind] * SLACK;
const END_AT = 8;
const STEP_S = seconds(step);

const RATES = Array.from({ length: steps }, (_, n) => first_per_s * growth ** n);
const nameOf = (n) => `step_${n + 1}`;
const CLASSES = Object.fromEntries(RATES.map((_, n) => [nameOf(n), null]));

const stepMs = new Trend('step_ms', true);

function ownThresholds() {
  const own = { 'query_ms{class:step_1}': [`p(95)<${BOUND_MS}`], 'refused{class:step_1}': ['count==0'] };
  own.problems = ['count==0'];
  own.failed_queries = ['count==0'];
  for (let n = 0; n < steps; n++) {
    own[`step_ms{class:${nameOf(n)}}`] = [{ threshold: `p(95)<${END_AT * BOUND_MS}`, abortOnFail: true, delayAbortEval: '5s' }];
    // A run that ends early has steps without answers.
    if (n > 0) own[`answered{class:${nameOf(n)}}`] = ['count>=0'];
  }
  return own;
}

export const options = {
  scenarios: {
    climb: {
      executor: 'ramping-arrival-rate', timeUnit: '1m', startRate: Math.round(60 * RATES[0]), preAllocatedVUs: clients,
      stages: RATES.flatMap((rate) => [
        { duration: '0s', target: Math.round(60 * rate) },
        { duration: step, target: Math.round(60 * rate) },
      ]),
      gracefulStop: '2m',
    },
  },
  thresholds: thresholds(CLASSES, ownThresholds()),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export default function () {
  const elapsed = (Date.now() - exec.scenario.startTime) / 1000;
  const name = nameOf(Math.min(Math.floor(elapsed / STEP_S), steps - 1));
  const n = exec.scenario.iterationInTest;
  const began = Date.now();
  if (kind === 'tpch') {
    ask(tpchQuery(pick(n).number), { class: name, route: 'fleet', wait: 300 });
  } else {
    const values = panels[n % panels.length];
    ask(values[Math.floor(n / panels.length) % values.length], { class: name, wait: 120 });
  }
  stepMs.add(Date.now() - began, { class: name });
}

function holds(figures, rate) {
  const enough = figures.answered >= 0.95 * rate * STEP_S - 1;
  return enough && figures.refused === 0 && figures.p95_ms < BOUND_MS;
}

function judge(result) {
  let capacity = null;
  const rows = RATES.map((rate, n) => {
    const figures = result.classes[nameOf(n)];
    const held = figures.answered > 0 && holds(figures, rate);
    if (held && (n === 0 || capacity === RATES[n - 1])) capacity = rate;
    const p95 = figures.p95_ms === undefined || figures.answered === 0 ? '-' : figures.p95_ms.toFixed(0);
    return `| ${rate.toFixed(1)} | ${(figures.answered / STEP_S).toFixed(1)} | ${p95} | ${figures.refused} | ${held ? 'holds' : 'broken'} |`;
  });
  const found = capacity === null ? 'below the first step' : `${capacity.toFixed(1)} queries a second`;
  const lines = [
    `Capacity for \`${kind}\` at p95 below ${BOUND_MS} ms: **${found}**${capacity === RATES[steps - 1] ? ' or more: no step broke' : ''}.`,
    ['| asked/s | answered/s | p95 ms | refused | |', '| --- | --- | --- | --- | --- |', ...rows].join('\n'),
  ];
  return { capacity, kind, lines, failures: [] };
}

export const handleSummary = summary('breakpoint', Object.keys(CLASSES), {
  judge,
  seconds: Object.fromEntries(Object.keys(CLASSES).map((name) => [name, STEP_S])),
});
