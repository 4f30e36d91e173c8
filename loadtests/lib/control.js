// Asks the runner (scripts/loadtest) to stop, kill and start its own processes, and what they use.
import http from 'k6/http';
import { Gauge } from 'k6/metrics';
import { CONTROL } from './env.js';

export const hasControl = CONTROL !== '';

const gatewayRss = new Gauge('gateway_rss_kb');

function call(method, path) {
  if (!hasControl) throw new Error('this scenario stops and starts processes: run it by scripts/loadtest without --url');
  const response = http.request(method, CONTROL + path, null, { tags: { name: `control ${path.split('?')[0]}`, class: 'control' }, timeout: '120s' });
  if (response.status !== 200) throw new Error(`the runner could not do ${path}: ${response.status} ${response.body}`);
  return JSON.parse(response.body);
}

// role: gateway or worker; how: term or kill (SIGKILL). Returns when the process is gone.
export const stop = (role, index, how) => call('POST', `/stop?role=${role}&index=${index}&how=${how}`);

// Starts a process that was stopped; returns when a gateway is ready, or a worker runs.
export const start = (role, index) => call('POST', `/start?role=${role}&index=${index}`);

// { gateways: [{ index, alive, rss_kb, threads, fds, cpu_s }], workers: [...] }
export const processes = () => call('GET', '/processes');

// Objects of the state below a prefix, only those that end with `suffix`: { count, bytes }.
export const objects = (prefix, suffix = '') =>
  call('GET', `/objects?prefix=${encodeURIComponent(prefix)}&suffix=${encodeURIComponent(suffix)}`);

// CPU seconds a second that all processes of a role use, measured over some seconds.
export const busy = (role, over) => call('GET', `/busy?role=${role}&seconds=${over}`).cores;

// Requests a second at the store by API, measured over some seconds.
export const storeRequestRates = (over) => call('GET', `/requests?seconds=${over}`);

// Notes the gateways' resident memory under a name; returns their kilobytes.
export function noteMemory(moment) {
  return processes().gateways.map((gateway) => {
    gatewayRss.add(gateway.rss_kb, { moment, gateway: String(gateway.index) });
    return gateway.rss_kb;
  });
}

// A line in the report. k6 hands no data from a scenario to handleSummary, so it goes through the runner.
export function note(name, value) {
  if (!hasControl) return;
  call('POST', `/note?name=${encodeURIComponent(name)}&value=${encodeURIComponent(value)}`);
}
