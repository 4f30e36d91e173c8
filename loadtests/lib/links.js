// Answers as presigned links (GET /v1/queries/{id}/links): each part is a whole Arrow IPC stream, in an object of the
// store or in the JSON itself.
import encoding from 'k6/encoding';
import http from 'k6/http';
import { readStream } from './arrow.js';
import { differenceOfRows } from './checksums.js';
import { expectationOf } from './checks.js';
import { get } from './client.js';
import { answered, wrongResults } from './metrics.js';

export function getLinks(id, options) {
  return get(options.gateway, `/v1/queries/${id}/links`, Object.assign({}, options, { template: '/v1/queries/{id}/links' }));
}

// The rows of one part. Throws if the store does not give it.
function rowsOfPart(part, options) {
  if (part.inline !== undefined) return readStream(encoding.b64decode(part.inline, 'std')).rows;
  const response = http.get(part.url, {
    headers: { Range: `bytes=${part.offset}-${part.offset + part.bytes - 1}` },
    responseType: 'binary',
    // Without it every link would be a time series of its own.
    tags: { name: 'GET link', class: options.class },
  });
  if (response.status !== 206) throw new Error(`a link answers ${response.status} ${response.error}`);
  return readStream(response.body).rows;
}

// Fetches all parts and compares the rows; counts and returns what is wrong, or null.
export function checkLinks(statement, outcome, options) {
  let wrong;
  try {
    const rows = outcome.json.parts.reduce((all, part) => all.concat(rowsOfPart(part, options)), []);
    wrong = differenceOfRows(statement, expectationOf(statement), rows);
  } catch (error) {
    wrong = error.message;
  }
  (wrong === null ? answered : wrongResults).add(1, { class: options.class });
  if (wrong !== null) console.error(`WRONG ${statement.id} by links, query ${outcome.json && outcome.json.query_id}: ${wrong}`);
  return wrong;
}
