// The rows of a query: some at first, more when they are asked for; large answers part by part.
import { useEffect, useState } from "preact/hooks";
import { address, askJson, isAbort, key, persist } from "../api/client";
import { hasEnded, type Column, type Parts, type QueryStatus } from "../api/types";
import { count, counted } from "../lib/format";
import { fetchRows, type Rows } from "../lib/rows";
import { Chart } from "../parts/chart";
import { Download } from "../parts/download";
import { Grid } from "../parts/grid";
import { Trouble } from "../parts/problem";
import { Copy } from "../parts/sql";

const FIRST = 1_000;
const MORE = 5;
const MOST = 100_000;

export function ResultTab({ status, columns }: { status: QueryStatus; columns: Column[] | null }) {
  if (!hasEnded(status.status)) return <p class="quiet">The rows are here when the query has succeeded.</p>;
  if (status.status !== "SUCCEEDED") return <p class="quiet">There are no rows: the query did not succeed.</p>;
  if (columns === null) return <p class="quiet">Reading the columns…</p>;
  return <Answer query={status.query_id} columns={columns} />;
}

export function Answer({ query, columns }: { query: string; columns: Column[] }) {
  const [parts, setParts] = useState<Parts | null>(null);
  const [part, setPart] = useState(0);
  const [limit, setLimit] = useState(FIRST);
  const [answer, setAnswer] = useState<Rows | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  const [view, setView] = useState<"rows" | "chart">("rows");
  useEffect(() => {
    const stop = new AbortController();
    persist(() => askJson<Parts>(`v1/queries/${query}/parts`, { signal: stop.signal }), { signal: stop.signal }).then(setParts, (thrown: unknown) => {
      if (!isAbort(thrown)) setError(thrown);
    });
    return () => stop.abort();
  }, [query, round]);
  useEffect(() => {
    if (parts === null) return undefined;
    const stop = new AbortController();
    const isOne = parts.parts.length < 2;
    setError(null);
    fetchRows({ query, columns, part: isOne ? null : part, limit, signal: stop.signal }).then(setAnswer, (thrown: unknown) => {
      if (!isAbort(thrown)) setError(thrown);
    });
    return () => stop.abort();
  }, [query, columns, parts, part, limit, round]);
  const curl = `curl -s${key() === null ? "" : ' -H "Authorization: Bearer $DUNLIN_API_KEY"'} -o answer.parquet '${address(`v1/queries/${query}/results?format=parquet`)}'`;
  const here = parts?.parts[part];
  const whole = parts === null ? 0 : parts.parts.length < 2 ? parts.rows : (here?.rows ?? 0);
  return (
    <div class="answer">
      <div class="tools">
        <div class="switch" role="group" aria-label="How the rows are shown">
          <button type="button" aria-pressed={view === "rows"} onClick={() => setView("rows")}>
            Rows
          </button>
          <button type="button" aria-pressed={view === "chart"} onClick={() => setView("chart")}>
            Chart
          </button>
        </div>
        {parts && parts.parts.length > 1 && (
          <label>
            Part
            <select
              value={String(part)}
              onChange={(event) => {
                setPart(Number(event.currentTarget.value));
                setLimit(FIRST);
              }}
            >
              {parts.parts.map((one) => (
                <option key={one.part} value={String(one.part)}>
                  {one.part + 1} of {parts.parts.length}, from row {count(one.row_offset + 1)}
                </option>
              ))}
            </select>
          </label>
        )}
        <Download query={query} size={parts?.bytes} />
      </div>
      {error !== null && <Trouble error={error} again={() => setRound(round + 1)} />}
      {answer === null && error === null && <p class="quiet">Reading the rows…</p>}
      {answer !== null && view === "rows" && (
        <>
          <Grid answer={answer} first={here?.row_offset ?? 0} label="Rows of the answer" />
          <p class="quiet grid-foot">
            <span role="status">
              {counted(answer.rows.length, "row")}
              {answer.isCut && parts ? ` of ${count(whole)}` : ""}
            </span>
            {answer.isCut && limit < MOST && (
              <button type="button" onClick={() => setLimit(Math.min(MOST, limit * MORE))}>
                Show {count(Math.min(MOST, limit * MORE, Math.max(whole, limit)))}
              </button>
            )}
            {answer.isCut && limit >= MOST && <span>The rest is in the download.</span>}
          </p>
        </>
      )}
      {answer !== null && view === "chart" && <Chart answer={answer} />}
      <details>
        <summary>The same from a command line</summary>
        <pre class="code" tabIndex={0} aria-label="Command">
          {curl}
        </pre>
        <Copy text={curl} name="Copy" />
      </details>
    </div>
  );
}
