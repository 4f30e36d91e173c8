// The newest queries. The list is asked for again every few seconds while something runs, less often when nothing does, and
// not while nobody looks. What an ended query has cost does not change, so it is asked for once.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ask, isAbort, retryDelay } from "../api/client";
import { hasEnded, WORDS, type Brief, type Page, type QueryStatus } from "../api/types";
import { bytes, clock, count, counted, dollars, duration, percent, shortId } from "../lib/format";
import { go, to } from "../lib/router";
import { Trouble } from "../parts/problem";
import { Meter, State } from "../parts/state";

const BUSY_MS = 2_000;
const IDLE_MS = 8_000;
const AT_ONCE = 4;

/** What is known of queries beyond the list: those that ended do not change any more. */
const known = new Map<string, { status: QueryStatus; tag: string | null }>();

export function QueriesView({ params }: { params: URLSearchParams }) {
  const status = params.get("status") ?? "";
  const tag = params.get("tag") ?? "";
  const cursor = params.get("cursor") ?? "";
  const [page, setPage] = useState<Page | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [, setRound] = useState(0);
  const [tagText, setTagText] = useState(tag);
  const [now, setNow] = useState(Date.now());
  const [kick, setKick] = useState(0);
  const seen = useRef("");
  useEffect(() => setTagText(tag), [tag]);
  useEffect(() => {
    document.title = "Queries · Dunlin";
    const stop = new AbortController();
    const query = new URLSearchParams({ limit: "50" });
    if (status) query.set("status", status);
    if (tag) query.set("tag", tag);
    if (cursor) query.set("cursor", cursor);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let attempt = 0;
    seen.current = "";
    setPage(null);
    const look = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      let next = IDLE_MS;
      try {
        const response = await ask(`v1/queries?${query.toString()}`, { signal: stop.signal });
        const text = await response.text();
        attempt = 0;
        const found = JSON.parse(text) as Page;
        if (text !== seen.current) setPage(found);
        seen.current = text;
        setError(null);
        setNow(Date.now());
        await more(found.queries, stop.signal, () => setRound((round) => round + 1));
        if (found.queries.some((brief) => !hasEnded(brief.status))) next = BUSY_MS;
      } catch (thrown) {
        if (isAbort(thrown)) return;
        setError(thrown);
        const delay = retryDelay(thrown, attempt);
        attempt += 1;
        if (delay === null) return;
        next = delay;
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), next);
    };
    const shown = () => {
      if (!document.hidden) void look();
    };
    document.addEventListener("visibilitychange", shown);
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [status, tag, cursor, kick]);
  const filter = (change: Record<string, string>) => go(to("queries", [], { status, tag, ...change }));
  const hasOwners = useMemo(() => page?.queries.some((brief) => brief.owner) ?? false, [page]);
  return (
    <>
      <div class="heading">
        <h1>Queries</h1>
        <a class="button main" href={to("sql")}>
          New statement
        </a>
      </div>
      <form
        class="tools"
        onSubmit={(event) => {
          event.preventDefault();
          filter({ tag: tagText.trim() });
        }}
      >
        <label>
          State
          <select value={status} onChange={(event) => filter({ status: event.currentTarget.value })}>
            <option value="">all</option>
            {WORDS.map((word) => (
              <option key={word} value={word}>
                {word.toLowerCase()}
              </option>
            ))}
          </select>
        </label>
        <label>
          Tag
          <input type="text" placeholder="name or name:value" value={tagText} onInput={(event) => setTagText(event.currentTarget.value)} />
        </label>
        <button type="submit">Filter</button>
        {(status || tag || cursor) && <a href={to("queries")}>Show all</a>}
      </form>
      {error !== null && <Trouble error={error} again={() => setKick(kick + 1)} />}
      {page === null && error === null && <p class="quiet">Reading the list…</p>}
      {page !== null && (
        <>
          <table class="list" role="table">
            <caption class="hidden">The newest queries</caption>
            <thead>
              <tr role="row">
                <th scope="col">State</th>
                <th scope="col">Statement</th>
                <th scope="col" class="wide">
                  Progress
                </th>
                <th scope="col" class="right">
                  Time
                </th>
                <th scope="col" class="right wide">
                  Rows
                </th>
                <th scope="col" class="right">
                  Cost
                </th>
                {hasOwners && (
                  <th scope="col" class="wide">
                    Key
                  </th>
                )}
                <th scope="col" class="right wide">
                  Submitted
                </th>
              </tr>
            </thead>
            <tbody>
              {page.queries.map((brief) => (
                <Row key={brief.query_id} brief={brief} now={now} hasOwners={hasOwners} />
              ))}
            </tbody>
          </table>
          {page.queries.length === 0 && (
            <p class="quiet">
              {page.next !== null
                ? "No query on this page fits the filter. Older ones may."
                : status || tag
                  ? "No query fits the filter."
                  : "No query is known. Run a statement, and it stands here."}
            </p>
          )}
          <nav class="pages" aria-label="Pages">
            {cursor && <a href={to("queries", [], { status, tag })}>Newest</a>}
            {page.next !== null && <a href={to("queries", [], { status, tag, cursor: page.next })}>Older queries</a>}
          </nav>
        </>
      )}
    </>
  );
}

function Row({ brief, now, hasOwners }: { brief: Brief; now: number; hasOwners: boolean }) {
  const more = known.get(brief.query_id)?.status;
  // The list and the status come at different times. The one that knows an end is later.
  const status = more && hasEnded(more.status) ? more.status : brief.status;
  const progress = more?.progress ?? brief.progress;
  const cost = brief.cost_usd ?? more?.receipt?.cost_usd?.total ?? more?.cost_usd;
  const time = brief.wall_ms ?? more?.summary?.wall_ms ?? (hasEnded(status) ? undefined : Math.max(0, now - brief.submitted_ms));
  const tags = Object.entries(brief.tags ?? {});
  return (
    <tr role="row">
      <td role="cell">
        <State word={status} />
      </td>
      <td class="statement" role="cell">
        <a href={to("query", [brief.query_id])} aria-label={`Query ${brief.query_id}: ${brief.sql_preview}`}>
          {brief.sql_preview || "(no text)"}
        </a>
        <span class="below">
          <span title={brief.query_id}>{shortId(brief.query_id)}</span>
          <span>{brief.route}</span>
          {brief.error_code && <strong class="bad">{brief.error_code}</strong>}
          {tags.map(([name, value]) => (
            <a key={name} class="tag" href={to("queries", [], { tag: `${name}:${value}` })}>
              {name}: {value}
            </a>
          ))}
          <span class="narrow">{clock(brief.submitted_ms)}</span>
        </span>
      </td>
      <td class="wide" role="cell">
        {hasEnded(status) ? (
          progress && status === "SUCCEEDED" ? <span class="quiet">{counted(progress.tasks, "task")}</span> : null
        ) : progress ? (
          <span class="with-meter">
            <Meter done={progress.tasks_done} whole={progress.tasks} label="Tasks that are done" />
            <span>{progress.tasks > 0 ? percent(progress.tasks_done / progress.tasks) : brief.phase}</span>
          </span>
        ) : (
          brief.phase
        )}
      </td>
      <td class="right" role="cell">{time === undefined ? "" : duration(time)}</td>
      <td class="right wide" role="cell">
        {brief.rows !== undefined ? (
          count(brief.rows)
        ) : progress?.bytes_scanned !== undefined && !hasEnded(status) ? (
          <span class="quiet">{bytes(progress.bytes_scanned)} read</span>
        ) : null}
      </td>
      <td class="right" role="cell">{cost === undefined ? <span class="quiet">–</span> : dollars(cost)}</td>
      {hasOwners && <td class="wide mono" role="cell">{brief.owner ? brief.owner.slice(0, 8) : "none"}</td>}
      <td class="right wide" role="cell">{clock(brief.submitted_ms)}</td>
    </tr>
  );
}

/** Asks for the statuses that the list does not tell enough of, some at a time. */
async function more(briefs: Brief[], signal: AbortSignal, onNew: () => void): Promise<void> {
  const wanted = briefs.filter((brief) => {
    const have = known.get(brief.query_id);
    if (have && hasEnded(have.status.status)) return false;
    return !hasEnded(brief.status) || brief.cost_usd === undefined;
  });
  const one = async (): Promise<void> => {
    for (let brief = wanted.shift(); brief && !signal.aborted; brief = wanted.shift()) {
      const have = known.get(brief.query_id);
      const headers: Record<string, string> = have?.tag ? { "if-none-match": have.tag } : {};
      try {
        const response = await ask(`v1/queries/${brief.query_id}`, { headers, signal });
        if (response.status === 304) continue;
        known.set(brief.query_id, { status: (await response.json()) as QueryStatus, tag: response.headers.get("etag") });
        onNew();
      } catch (error) {
        if (isAbort(error)) throw error;
        // The list says enough without it; the next look asks again.
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
