// What one query costs, by class: panels inline, then the three classes of TPC-H on the fleet, one after the other. A few
// clients ask again as soon as they have their answer (closed model), so gateways or workers are always busy.
//
// Queries a second depend on the machine and on what else it does. Processor seconds for each query, of gateways and of
// workers, hardly do: their inverse is what one core carries.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import { ask } from './lib/checks.js';
import { TPCH } from './lib/classes.js';
import { processes } from './lib/control.js';
import { seconds, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { panels, tpchQuery } from './lib/queries.js';
import { summary } from './lib/summary.js';

const { duration, clients } = sized({
  small: { duration: '30s', clients: 4 },
  full: { duration: '5m', clients: 8 },
});
const DURATION_S = seconds(duration);
// The queries of a class end before the next class begins, or count there.
const PAUSE_S = 10;
const CLASSES = { panel: null, short: null, medium: null, heavy: null };
const NAMES = Object.keys(CLASSES);
const ROLES = ['gateways', 'workers'];

const used = new Trend('class_cpu_s');

const scenarios = {
  watch: { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '24h', exec: 'watch' },
};
NAMES.forEach((name, place) => {
  scenarios[name] = {
    executor: 'constant-vus', vus: clients, duration, startTime: `${place * (DURATION_S + PAUSE_S)}s`, gracefulStop: `${PAUSE_S}s`,
    exec: name === 'panel' ? 'panel' : 'fleet',
  };
});

export const options = {
  scenarios,
  thresholds: thresholds(CLASSES, Object.assign(
    { refused: ['count==0'], problems: ['count==0'], failed_queries: ['count==0'] },
    ...NAMES.flatMap((name) => ROLES.map((role) => ({ [`class_cpu_s{class:${name},role:${role}}`]: ['max>0'] }))),
  )),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export function panel() {
  const values = panels[exec.scenario.iterationInTest % panels.length];
  ask(values[0], { class: 'panel', route: 'inline', wait: 120 });
}

export function fleet() {
  const numbers = TPCH[exec.scenario.name];
  ask(tpchQuery(numbers[exec.scenario.iterationInTest % numbers.length]), { route: 'fleet', wait: 120 });
}

// Processor seconds of all gateways, and of all workers.
function usage() {
  const found = processes();
  return ROLES.map((role) => found[role].reduce((sum, process) => sum + process.cpu_s, 0));
}

export function watch() {
  let before = usage();
  for (const name of NAMES) {
    sleep(DURATION_S + PAUSE_S);
    const after = usage();
    ROLES.forEach((role, place) => used.add(after[place] - before[place], { class: name, role }));
    before = after;
  }
}

// k6 cannot divide two metrics.
function judge(result, data) {
  const lines = NAMES.map((name) => {
    const answered = result.classes[name].answered;
    const each = ROLES.map((role) => {
      const metric = data.metrics[`class_cpu_s{class:${name},role:${role}}`];
      return metric && answered > 0 ? `${role} ${(metric.values.max / answered).toFixed(4)}` : `${role} unknown`;
    });
    return `processor seconds per ${name} query: ${each.join(', ')}`;
  });
  return { lines, failures: [] };
}

const lasted = Object.fromEntries(NAMES.map((name) => [name, DURATION_S]));
export const handleSummary = summary('capacity', NAMES, { seconds: lasted, judge });
