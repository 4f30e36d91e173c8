// A client of the HTTP API as docs/http-api.md describes it: in turn over the gateways, formats, waits, keys, retries.
//
// Every function returns an outcome:
//   kind      rows (200 with rows), status (a query's status), refused (429 or 503, come again), error (any other
//             problem), unreachable (no whole answer)
//   status, code, body, json, id, receipt, retryAfter, replayed, ms, gateway
import http from 'k6/http';
import exec from 'k6/execution';
import { GATEWAYS, KEYS } from './env.js';
import { FORMATS } from './checksums.js';
import { badRefusals, errors, problems, refused, unreachable } from './metrics.js';

const REFUSALS = ['TOO_MANY_REQUESTS', 'GATEWAY_BUSY'];
const RUN = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;

// The n-th gateway, in turn.
export function gatewayAt(n) {
  return GATEWAYS[((n % GATEWAYS.length) + GATEWAYS.length) % GATEWAYS.length];
}

// Number of this iteration, for gatewayAt; 0 in setup and teardown, which are no iterations.
export function turn() {
  return exec.vu.idInTest === 0 ? 0 : exec.scenario.iterationInTest;
}

// An Idempotency-Key that no other iteration and no other run uses.
export function freshKey(what) {
  return `${what}-${RUN}-${exec.vu.idInTest}-${exec.vu.iterationInInstance}`;
}

function headersOf(options) {
  const headers = {};
  const key = options.apiKey || KEYS.default;
  if (key) headers.Authorization = `Bearer ${key}`;
  if (options.format) headers.Accept = FORMATS[options.format];
  if (options.idempotency) headers['Idempotency-Key'] = options.idempotency;
  if (options.wait !== undefined) headers.Prefer = `wait=${options.wait}`;
  return headers;
}

function paramsOf(name, options) {
  return {
    headers: Object.assign(headersOf(options), options.headers || {}),
    tags: Object.assign({ name, class: options.class || 'none' }, options.tags || {}),
    responseType: options.format === 'arrow' ? 'binary' : 'text',
    // Longer than any wait that a gateway allows for this request.
    timeout: `${(options.wait === undefined ? 60 : options.wait) + 60}s`,
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (_) {
    return null;
  }
}

function textOf(body) {
  if (body === null || typeof body === 'string') return body;
  return String.fromCharCode.apply(null, new Uint8Array(body).subarray(0, 4096));
}

function kindOf(response, code) {
  if (response.status === 0 || (response.status < 400 && response.error_code !== 0)) return 'unreachable';
  if (REFUSALS.includes(code)) return 'refused';
  if (response.status >= 400) return 'error';
  return response.headers['Dunlin-Summary'] === undefined ? 'status' : 'rows';
}

function outcomeOf(response, gateway, options) {
  const isJson = (response.headers['Content-Type'] || '').includes('json');
  const failed = response.status >= 400;
  const wantsJson = failed || response.headers['Dunlin-Summary'] === undefined;
  const json = isJson && wantsJson && response.body !== null ? parsed(textOf(response.body)) : null;
  const code = failed ? (json && json.code) || `HTTP_${response.status}` : '';
  const outcome = {
    kind: kindOf(response, code),
    status: response.status,
    code,
    body: response.body,
    json,
    id: response.headers['Dunlin-Query-Id'] || (json && json.query_id) || '',
    receipt: parsed(response.headers['Dunlin-Summary'] || 'null'),
    retryAfter: response.headers['Retry-After'],
    location: response.headers.Location,
    replayed: response.headers['Idempotent-Replayed'] === 'true',
    ms: response.timings.duration,
    firstByteMs: response.timings.waiting,
    error: response.error,
    gateway,
  };
  count(outcome, options);
  return outcome;
}

function count(outcome, options) {
  const tags = { class: options.class || 'none' };
  if (outcome.kind === 'unreachable') unreachable.add(1, tags);
  if (outcome.kind === 'refused') {
    refused.add(1, tags);
    const isRefusal = outcome.status === 429 || outcome.status === 503;
    if (!isRefusal || !(Number(outcome.retryAfter) >= 0)) badRefusals.add(1, tags);
  }
  if (outcome.kind === 'error') problems.add(1, tags);
  if (outcome.code !== '') errors.add(1, Object.assign({ code: known(outcome.code) }, tags));
}

function known(code) {
  return code.startsWith('HTTP_') ? 'OTHER' : code;
}

function bodyOf(statement, options) {
  const body = { sql: statement.sql };
  if (statement.parameters.length > 0) body.parameters = statement.parameters;
  const settings = Object.assign({}, options.settings || {});
  if (options.route) settings.route = options.route;
  if (Object.keys(settings).length > 0) body.settings = settings;
  if (options.limits) body.limits = options.limits;
  return JSON.stringify(body);
}

export function post(gateway, path, body, options) {
  const params = paramsOf(`POST ${options.template || path}`, options);
  params.headers['Content-Type'] = options.contentType || 'application/json';
  return outcomeOf(http.post(gateway + path, body, params), gateway, options);
}

export function get(gateway, path, options) {
  return outcomeOf(http.get(gateway + path, paramsOf(`GET ${options.template || path}`, options)), gateway, options);
}

// POST /v1/sql
export function sql(statement, options) {
  return post(options.gateway, '/v1/sql', bodyOf(statement, options), options);
}

// POST /v1/queries
export function submit(statement, options) {
  return post(options.gateway, '/v1/queries', bodyOf(statement, options), options);
}

// GET /v1/queries/{id}
export function status(id, options) {
  const wait = options.wait || 0;
  const template = '/v1/queries/{id}';
  return get(options.gateway, `/v1/queries/${id}?wait=${wait}s`, Object.assign({}, options, { template, wait: undefined }));
}

// GET /v1/queries/{id}/results
export function results(id, options) {
  return get(options.gateway, `/v1/queries/${id}/results`, Object.assign({ template: '/v1/queries/{id}/results' }, options));
}

// POST /v1/queries/{id}/cancel
export function cancel(id, options) {
  return post(options.gateway, `/v1/queries/${id}/cancel`, '', Object.assign({ template: '/v1/queries/{id}/cancel' }, options));
}

export function hasEnded(outcome) {
  return outcome.json !== null && ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(outcome.json.status);
}

// Seconds that a refused client must wait, at least and at most.
export function pause(outcome) {
  const asked = Number(outcome.retryAfter);
  return Number.isFinite(asked) ? Math.min(Math.max(asked, 0.2), 10) : 1;
}
