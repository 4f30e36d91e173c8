// What all scenarios count. Every sample has the tag `class`; figures and thresholds are by class.
import { Counter, Trend } from 'k6/metrics';
import { SLACK } from './env.js';

// Queries whose answer arrived and was right.
export const answered = new Counter('answered');
// Answers that differ from the baseline's. Must be 0 in every scenario.
export const wrongResults = new Counter('wrong_results');
// Queries that a gateway had accepted (it gave an id) and that did not end, or whose id is unknown. Must be 0.
export const lostQueries = new Counter('lost_queries');
// Queries that a gateway had accepted and that ended FAILED although the statement is right. Must be 0.
export const failedQueries = new Counter('failed_queries');
// Requests that a gateway refused as it may: 429 or 503 with Retry-After.
export const refused = new Counter('refused');
// The same without Retry-After. Must be 0.
export const badRefusals = new Counter('bad_refusals');
// Answers that are errors and no refusals.
export const problems = new Counter('problems');
// Codes of errors and refusals, and of queries that failed later: tag `code`.
export const errors = new Counter('errors');
// Requests without an answer: the connection failed or broke.
export const unreachable = new Counter('unreachable');
// Requests that were given up after all tries.
export const givenUp = new Counter('given_up');
// Milliseconds from the first request of a query to the last byte of its answer.
export const queryMs = new Trend('query_ms', true);
// Milliseconds to the first byte of the rows.
export const firstByteMs = new Trend('first_byte_ms', true);
// Requests to the store (tag `op`) and dollars, from the receipts of the answers.
export const storeRequests = new Counter('store_requests');
export const costUsd = new Counter('cost_usd');
export const pricedQueries = new Counter('priced_queries');
// Attempts above one for each task: tasks that ran again because their worker died or gave them back.
export const repeatedAttempts = new Counter('repeated_attempts');

export const CODES = [
  'SYNTAX_ERROR', 'PLANNING_FAILED', 'ANSWER_TOO_LARGE', 'LIMIT_EXCEEDED', 'INVALID_REQUEST', 'INVALID_SETTING',
  'EXECUTION_FAILED', 'UNAUTHORIZED', 'FORBIDDEN', 'NOT_FOUND', 'METHOD_NOT_ALLOWED', 'NOT_ACCEPTABLE',
  'REQUEST_TIMEOUT', 'NOT_READY', 'INPUT_CHANGED', 'CANCELLED', 'RESULT_EXPIRED', 'BODY_TOO_LARGE', 'SQL_TOO_LARGE',
  'UNSUPPORTED', 'QUERY_TOO_LARGE', 'QUERY_TOO_COMPLEX', 'IDEMPOTENCY_MISMATCH', 'TOO_MANY_REQUESTS',
  'QUOTA_EXCEEDED', 'INTERNAL',
  'EXCHANGE_FAILED', 'OUT_OF_MEMORY', 'DISK_FULL', 'WORKER_LOST', 'SUBMISSION_FAILED', 'STORE_UNAVAILABLE',
  'NO_COMPATIBLE_WORKER', 'GATEWAY_BUSY', 'TIMEOUT', 'WAIT_OVER', 'INLINE_TIME_LIMIT', 'OTHER',
];

const OPERATIONS = ['put', 'get', 'list', 'head', 'delete'];

// Thresholds that every scenario has, those of its classes (`{ short: 2000 }`: p95 in milliseconds of a release build;
// null = measured but not bounded), and its own.
//
// k6 reports a tag only where a threshold names it. `count>=0` holds always: it is there for the report, not as a check.
export function thresholds(classes, own = {}) {
  const all = {
    wrong_results: ['count==0'],
    lost_queries: ['count==0'],
    bad_refusals: ['count==0'],
  };
  for (const code of CODES) all[`errors{code:${code}}`] = ['count>=0'];
  for (const op of OPERATIONS) all[`store_requests{op:${op}}`] = ['count>=0'];
  for (const name of Object.keys(classes)) {
    const most = classes[name];
    // A class without answers proves nothing.
    all[`answered{class:${name}}`] = ['count>0'];
    all[`refused{class:${name}}`] = ['count>=0'];
    all[`query_ms{class:${name}}`] = [most === null ? 'p(95)>=0' : `p(95)<${most * SLACK}`];
  }
  return Object.assign(all, own);
}

// Samples of zero, so that a threshold over something that never happened is evaluated. Call it in setup().
export function observeAll(classes) {
  for (const name of Object.keys(classes)) {
    for (const counter of [answered, wrongResults, lostQueries, failedQueries, refused, badRefusals]) {
      counter.add(0, { class: name });
    }
    for (const counter of [unreachable, givenUp, problems, repeatedAttempts]) counter.add(0, { class: name });
  }
}

// Counts what the receipt of an answer says that the query used.
export function countReceipt(receipt, tags) {
  if (receipt === null) return;
  for (const part of [receipt.requests, receipt.requests_gateway]) {
    for (const op of OPERATIONS) {
      if (part && part[op] > 0) storeRequests.add(part[op], Object.assign({ op }, tags));
    }
  }
  if (receipt.attempts > receipt.tasks) repeatedAttempts.add(receipt.attempts - receipt.tasks, tags);
  if (receipt.cost_usd && typeof receipt.cost_usd.total === 'number') {
    costUsd.add(receipt.cost_usd.total, tags);
    pricedQueries.add(1, tags);
  }
}

export const SUMMARY_STATS = ['count', 'avg', 'min', 'med', 'p(95)', 'p(99)', 'max'];
