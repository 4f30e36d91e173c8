// Follows one query until its end: by events, or, where those do not come through, by long polls.
//
//   GET events ──state, progress, stage──> onNews         the stream ends or is silent ──> again, with Last-Event-ID
//        └── end ──> onStatus, done                        no stream at all, twice ──> GET status?wait with If-None-Match
//
// Whatever gateway answers goes on where the last one stopped.
import { ask, brokeOff, isAbort, pause, Problem, retryDelay, Unreachable } from "./client";
import { EventCutter } from "./sse";
import { hasEnded, type QueryStatus } from "./types";

/** A gateway sends a comment every 15 s. A stream that is silent for so long is dead. */
const SILENCE_MS = 40_000;
/** Streams that fail in a row before long polls are tried. */
const PATIENCE = 2;
const POLL_S = 25;

export interface Follower {
  /** Something is new; `status` is the whole status, where it is known. */
  onNews(news: { status?: QueryStatus; event?: string; data?: unknown }): void;
  signal: AbortSignal;
}

/** Resolves when the query has ended. Throws what no retry helps with. */
export async function follow(query: string, follower: Follower): Promise<void> {
  let lastId: string | undefined;
  let failed = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      if (failed >= PATIENCE) return await poll(query, follower);
      const seen = await stream(query, lastId, follower);
      if (seen.isEnd) return;
      if (seen.lastId !== undefined) lastId = seen.lastId;
      failed = seen.events > 0 ? 0 : failed + 1;
      if (seen.events > 0) attempt = 0;
      await pause(seen.events > 0 ? 250 : 1_000, follower.signal);
    } catch (error) {
      if (isAbort(error) || follower.signal.aborted) throw error;
      const delay = retryDelay(error, attempt);
      if (delay === null) throw error;
      if (!(error instanceof Unreachable)) failed += 1;
      await pause(delay, follower.signal);
    }
  }
}

async function stream(
  query: string,
  lastId: string | undefined,
  { onNews, signal }: Follower,
): Promise<{ isEnd: boolean; lastId: string | undefined; events: number }> {
  const own = new AbortController();
  const stop = () => own.abort();
  signal.addEventListener("abort", stop, { once: true });
  let timer = setTimeout(stop, SILENCE_MS);
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (lastId !== undefined) headers["last-event-id"] = lastId;
  let events = 0;
  let id = lastId;
  try {
    const response = await ask(`v1/queries/${query}/events`, { headers, signal: own.signal });
    if (response.status === 204) {
      // The end was told before. The status has it.
      const status = await whole(query, signal);
      onNews({ status });
      return { isEnd: hasEnded(status.status), lastId: undefined, events: 1 };
    }
    if (!response.body || !(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      return { isEnd: false, lastId: id, events: 0 };
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const cutter = new EventCutter();
    for (;;) {
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return { isEnd: false, lastId: id, events };
      timer = setTimeout(stop, SILENCE_MS);
      for (const event of cutter.push(value)) {
        events += 1;
        id = event.id ?? id;
        const data = JSON.parse(event.data) as unknown;
        if (event.event === "end") {
          onNews({ status: data as QueryStatus });
          return { isEnd: true, lastId: id, events };
        }
        onNews({ event: event.event, data });
      }
    }
  } catch (error) {
    if (signal.aborted || error instanceof Problem || error instanceof Unreachable) throw error;
    // The stream broke off: its gateway may have died. The next one is asked.
    void brokeOff();
    return { isEnd: false, lastId: id, events };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    own.abort();
  }
}

async function whole(query: string, signal: AbortSignal): Promise<QueryStatus> {
  return (await (await ask(`v1/queries/${query}`, { signal })).json()) as QueryStatus;
}

async function poll(query: string, { onNews, signal }: Follower): Promise<void> {
  let tag: string | undefined;
  for (let attempt = 0; ; ) {
    try {
      const headers: Record<string, string> = tag === undefined ? {} : { "if-none-match": tag };
      const response = await ask(`v1/queries/${query}?wait=${tag === undefined ? 0 : POLL_S}s`, { headers, signal });
      attempt = 0;
      if (response.status === 304) continue;
      const status = (await response.json()) as QueryStatus;
      tag = response.headers.get("etag") ?? undefined;
      onNews({ status });
      if (hasEnded(status.status)) return;
      if (tag === undefined) await pause(1_000, signal);
    } catch (error) {
      if (isAbort(error) || signal.aborted) throw error;
      const delay = retryDelay(error, attempt);
      if (delay === null) throw error;
      attempt += 1;
      await pause(delay, signal);
    }
  }
}
