// What the runner (scripts/loadtest) tells a scenario, by environment variables. Each has a default, so that k6 can also
// be started by hand; README.md lists them.

const DEFAULT_URL = 'http://127.0.0.1:8090';

// The gateways. Requests go to them in turn.
export const GATEWAYS = (__ENV.DUNLIN_URLS || DEFAULT_URL)
  .split(',')
  .map((url) => url.trim().replace(/\/+$/, ''))
  .filter((url) => url !== '');

export const SIZE = __ENV.DUNLIN_SIZE || 'small';
if (SIZE !== 'small' && SIZE !== 'full') throw new Error(`DUNLIN_SIZE is ${SIZE}; it must be small or full`);

// Folder of the reports.
export const OUT = __ENV.DUNLIN_OUT || '.';

// Address of the runner's control server, which stops and starts processes; '' where there is none.
export const CONTROL = __ENV.DUNLIN_CONTROL || '';

// File of expected checksums, written by baseline.js.
export const EXPECTED = __ENV.DUNLIN_EXPECTED || '';

// API keys by the name of who uses them, as JSON. `default` is sent by everybody who has no other.
export const KEYS = JSON.parse(__ENV.DUNLIN_KEYS || '{}');

// Thresholds of latency are multiplied by this: a dev build is slower than a release build.
export const SLACK = Number(__ENV.DUNLIN_SLACK || '1');

// Presigned links name the store's own address, which a client outside of its network may not reach.
export const LINKS = (__ENV.DUNLIN_LINKS || 'yes') === 'yes';

export const SCALE = __ENV.DUNLIN_SCALE || 'unknown';

// The value of this size, as changed by --set NAME=VALUE of the runner (DUNLIN_SET_NAME here).
export function sized(values) {
  const chosen = Object.assign({}, values[SIZE]);
  for (const name of Object.keys(chosen)) {
    const set = __ENV[`DUNLIN_SET_${name.toUpperCase()}`];
    if (set !== undefined && set !== '') {
      chosen[name] = typeof chosen[name] === 'number' ? Number(set) : set;
      if (Number.isNaN(chosen[name])) throw new Error(`${name} must be a number, not ${set}`);
    }
  }
  return chosen;
}

export function seconds(duration) {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(duration);
  if (!found) throw new Error(`${duration} is no duration; write 500ms, 30s, 5m or 2h`);
  return Number(found[1]) * { ms: 0.001, s: 1, m: 60, h: 3600 }[found[2]];
}
