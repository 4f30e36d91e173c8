// Queries while gateways and workers are killed with SIGKILL and started again. Clients do what docs/http-api.md asks of
// them: they send an Idempotency-Key, and go to another gateway when one does not answer. Every query that a gateway
// has accepted ends, with the right rows.
//
// With --url nobody is killed from here: kill processes or containers yourself meanwhile.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { askPatiently } from './lib/checks.js';
import { pick } from './lib/classes.js';
import { freshKey } from './lib/client.js';
import { hasControl, processes, start, stop } from './lib/control.js';
import { seconds, sized } from './lib/env.js';
import { observeAll, SUMMARY_STATS, thresholds } from './lib/metrics.js';
import { tpchQuery } from './lib/queries.js';
import { summary } from './lib/summary.js';

// victims: all, gateways or workers.
const { clients, duration, pause_s, down_s, victims } = sized({
  small: { clients: 8, duration: '90s', pause_s: 2, down_s: 1, victims: 'all' },
  full: { clients: 30, duration: '30m', pause_s: 4, down_s: 2, victims: 'all' },
});

// On the fleet, and in a gateway of which nobody knows whether it will live. A task of a worker that was killed runs
// again when its lease of 12 s is over, and that one may be killed too.
const CLASSES = { fleet: 60000, inline: 60000 };
const kills = new Counter('kills');

const scenarios = {
  // As many clients as keep the workers busy on any machine: a worker that is killed while it has no task proves little.
  load: { executor: 'constant-vus', vus: clients, duration, exec: 'load', gracefulStop: '6m' },
};
if (hasControl) {
  scenarios.faults = { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '3h', exec: 'faults' };
}

export const options = {
  scenarios,
  thresholds: thresholds(CLASSES, Object.assign(
    { failed_queries: ['count==0'], given_up: ['count==0'] },
    // Faults that nobody notices prove nothing.
    hasControl ? { kills: ['count>=5'] } : {},
    hasControl && victims !== 'workers' ? { unreachable: ['count>0'] } : {},
    hasControl && victims !== 'gateways' ? { repeated_attempts: ['count>0'] } : {},
  )),
  summaryTrendStats: SUMMARY_STATS,
};

export function setup() {
  observeAll(CLASSES);
}

export function load() {
  const n = exec.scenario.iterationInTest;
  const route = n % 4 === 3 ? 'inline' : 'fleet';
  askPatiently(tpchQuery(pick(n).number), { class: route, route, idempotency: freshKey('chaos') });
}

function targets() {
  const { gateways, workers } = processes();
  const found = [];
  for (let n = 0; n < Math.max(gateways.length, workers.length); n++) {
    if (victims !== 'gateways' && n < workers.length) found.push(['worker', n]);
    if (victims !== 'workers' && n < gateways.length) found.push(['gateway', n]);
  }
  return found;
}

// One after the other, so that one gateway is there at any time. The last part of the load has no faults.
export function faults() {
  const all = targets();
  const until = Date.now() + 1000 * (seconds(duration) - 10);
  sleep(pause_s);
  for (let n = 0; Date.now() < until; n++) {
    const [role, index] = all[n % all.length];
    stop(role, index, 'kill');
    kills.add(1);
    sleep(down_s);
    start(role, index);
    sleep(pause_s);
  }
}

export const handleSummary = summary('chaos', Object.keys(CLASSES));
