// Queries from their first request to a checked answer.
import { sleep } from 'k6';
import { EXPECTED } from './env.js';
import { difference, fingerprint } from './checksums.js';
import { gatewayAt, hasEnded, pause, results, sql, status, submit, turn } from './client.js';
import {
  answered, countReceipt, errors, failedQueries, firstByteMs, givenUp, lostQueries, queryMs, wrongResults,
} from './metrics.js';

const expected = EXPECTED === '' ? null : JSON.parse(open(EXPECTED));

// A query that a gateway accepted must end within this time after its last sign of life.
const END_WITHIN_S = 300;
const UNREACHABLE_PAUSE_S = 0.5;

export function expectationOf(statement) {
  if (expected === null) throw new Error('DUNLIN_EXPECTED names no file of checksums; make one with baseline.js');
  const found = expected.statements[statement.id];
  if (found === undefined) throw new Error(`the file of checksums has no ${statement.id}; make it again with baseline.js`);
  if (found.fingerprint !== fingerprint(statement)) {
    throw new Error(`the file of checksums is of another text of ${statement.id}; make it again with baseline.js`);
  }
  return found;
}

// Compares the rows of an outcome; counts and returns whether they are right.
export function checkRows(statement, outcome, options) {
  const tags = { class: options.class };
  const wrong = difference(statement, expectationOf(statement), options.format, outcome.body);
  if (wrong === null) {
    answered.add(1, tags);
    countReceipt(outcome.receipt, tags);
    firstByteMs.add(outcome.firstByteMs, tags);
    return true;
  }
  wrongResults.add(1, tags);
  const route = outcome.receipt === null ? 'unknown route' : `route ${outcome.receipt.route}`;
  console.error(`WRONG ${statement.id} as ${options.format}, query ${outcome.id}, ${route}: ${wrong}`);
  return false;
}

function lost(id, why, options) {
  lostQueries.add(1, { class: options.class });
  console.error(`LOST ${options.class} query ${id}: ${why}`);
}

function failed(id, json, options) {
  failedQueries.add(1, { class: options.class });
  const error = json.error || { code: json.status, message: '' };
  errors.add(1, { code: error.code, class: options.class });
  console.error(`FAILED ${options.class} query ${id}: ${error.code} ${error.message}`);
}

// One request to /v1/sql, followed to its end if the answer is 202. After a refusal, and after an error of the server that
// is said to be retryable, it is sent again only for as many seconds as `retryFor` says: give it an Idempotency-Key. Returns the outcome; `right` says whether rows came and were right.
export function ask(statement, options) {
  const all = Object.assign({ format: 'json', gateway: gatewayAt(turn()), class: statement.class }, options);
  const began = Date.now();
  let outcome = sql(statement, all);
  while (mayComeAgain(outcome) && Date.now() - began < 1000 * (all.retryFor || 0)) {
    sleep(pause(outcome));
    outcome = sql(statement, all);
  }
  if (outcome.kind === 'status') outcome = follow(outcome.id, all) || outcome;
  outcome.right = outcome.kind === 'rows' && checkRows(statement, outcome, all);
  if (outcome.right) queryMs.add(Date.now() - began, { class: all.class });
  return outcome;
}

function mayComeAgain(outcome) {
  const isTemporary = outcome.kind === 'error' && outcome.status >= 500 && outcome.json !== null && outcome.json.retryable;
  return outcome.kind === 'refused' || isTemporary;
}

// Waits for the end of an accepted query at any gateway and fetches its rows; null if there are none.
export function follow(id, options) {
  const deadline = Date.now() + 1000 * (options.endWithin || END_WITHIN_S);
  for (let n = turn(); Date.now() < deadline; n++) {
    const seen = status(id, Object.assign({}, options, { gateway: gatewayAt(n), wait: options.pollWait || 20, format: undefined }));
    if (seen.kind === 'status' && hasEnded(seen)) {
      if (seen.json.status === 'SUCCEEDED') return fetchRows(id, n, deadline, options);
      failed(id, seen.json, options);
      return null;
    }
    if (seen.code === 'NOT_FOUND') {
      lost(id, `${seen.gateway} does not know it`, options);
      return null;
    }
    if (seen.kind !== 'status') sleep(seen.kind === 'refused' ? pause(seen) : UNREACHABLE_PAUSE_S);
  }
  lost(id, 'it did not end in time', options);
  return null;
}

function fetchRows(id, first, deadline, options) {
  for (let n = first; Date.now() < deadline; n++) {
    const outcome = results(id, Object.assign({}, options, { gateway: gatewayAt(n), wait: undefined }));
    if (outcome.kind === 'rows') return outcome;
    if (outcome.kind === 'error' && outcome.status < 500) {
      lost(id, `its rows are ${outcome.code}`, options);
      return null;
    }
    sleep(outcome.kind === 'refused' ? pause(outcome) : UNREACHABLE_PAUSE_S);
  }
  lost(id, 'its rows could not be fetched in time', options);
  return null;
}

// Submits with an Idempotency-Key until a gateway accepts; null if none does in time. An error of the client is not
// repeated, because it would come again.
export function submitUntilAccepted(statement, options) {
  const deadline = Date.now() + 1000 * (options.acceptWithin || 60);
  for (let n = turn(); Date.now() < deadline; n++) {
    const outcome = submit(statement, Object.assign({}, options, { gateway: gatewayAt(n), wait: 0, format: undefined }));
    if (outcome.kind === 'status') return outcome;
    if (outcome.kind === 'error' && outcome.status < 500) return null;
    sleep(outcome.kind === 'refused' ? pause(outcome) : UNREACHABLE_PAUSE_S);
  }
  return null;
}

// A patient client: submits with a key, waits at any gateway, fetches, checks. This is what a client must do to
// survive the death of gateways.
export function askPatiently(statement, options) {
  const all = Object.assign({ format: 'json', class: statement.class }, options);
  const began = Date.now();
  const accepted = submitUntilAccepted(statement, all);
  if (accepted === null) {
    givenUp.add(1, { class: all.class });
    return false;
  }
  const outcome = follow(accepted.id, all);
  if (outcome === null || !checkRows(statement, outcome, all)) return false;
  queryMs.add(Date.now() - began, { class: all.class });
  return true;
}
