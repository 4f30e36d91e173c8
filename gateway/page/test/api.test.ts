import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ask, link, locked, persist, Problem, retryDelay, Unreachable } from "../src/api/client";
import { follow } from "../src/api/follow";
import { EventCutter } from "../src/api/sse";

const stored = new Map<string, string>();

/** What the gateways answer, one after the other; a function of the request makes an answer. */
let answers: ((url: string, init: RequestInit) => Response | Error)[] = [];
/** The gateway that the page meets when it asks who is there. */
let gateways: (number | null)[] = [];
let asked: { url: string; headers: Headers; method: string }[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  stored.clear();
  answers = [];
  gateways = [];
  asked = [];
  link.set({ state: "there", startedMs: 1 });
  locked.set({ isLocked: false, why: "" });
  vi.stubGlobal("document", { baseURI: "http://gateway.example/" });
  vi.stubGlobal("sessionStorage", {
    getItem: (name: string) => stored.get(name) ?? null,
    setItem: (name: string, value: string) => stored.set(name, value),
    removeItem: (name: string) => stored.delete(name),
  });
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    if (url.endsWith("v1/status")) {
      const started_ms = gateways.length > 0 ? gateways.shift() : 1;
      if (started_ms === null) throw new TypeError("connection refused");
      return json({ started_ms });
    }
    asked.push({ url, headers: new Headers(init.headers), method: init.method ?? "GET" });
    const answer = (answers.shift() ?? (() => new TypeError("connection refused")))(url, init);
    if (answer instanceof Error) throw answer;
    return answer;
  });
});

afterEach(async () => {
  // The page asks until somebody is there.
  await vi.advanceTimersByTimeAsync(60_000);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
const problem = (status: number, code: string, headers: Record<string, string> = {}, retryable = false) =>
  new Response(JSON.stringify({ code, detail: `it is ${code}`, retryable, position: { line: 2, column: 3 } }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
const status = (word: string) => ({ query_id: "q", status: word, phase: "", progress: {}, submitted_ms: 0 });
const events = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });

/** Runs everything, timers too, until a promise is settled. */
async function run<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  promise.then(
    () => (isSettled = true),
    () => (isSettled = true),
  );
  for (let round = 0; round < 2_000 && !isSettled; round += 1) await vi.advanceTimersByTimeAsync(100);
  return promise;
}

describe("requests", () => {
  test("the key is in a header and in no address", async () => {
    stored.set("dunlin.key", "secret");
    answers = [() => json({})];
    await ask("v1/tables");
    expect(asked[0]?.headers.get("authorization")).toBe("Bearer secret");
    expect(asked[0]?.url).toBe("http://gateway.example/v1/tables");
  });

  test("a problem is told with code, position and when to try again", async () => {
    answers = [() => problem(429, "TOO_MANY_REQUESTS", { "retry-after": "3" })];
    const error = await ask("v1/sql").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "TOO_MANY_REQUESTS", status: 429, retryAfter: 3, position: { line: 2, column: 3 } });
    expect(retryDelay(error, 0)).toBe(3_000);
  });

  test("an unknown key locks the page and is forgotten", async () => {
    stored.set("dunlin.key", "old");
    answers = [() => problem(401, "UNAUTHORIZED")];
    await expect(ask("v1/tables")).rejects.toThrow(Problem);
    expect(locked.get().isLocked).toBe(true);
    expect(stored.has("dunlin.key")).toBe(false);
  });

  test("a refusal is not repeated; a dead gateway is, and so is a full one", async () => {
    answers = [() => problem(403, "FORBIDDEN")];
    await expect(run(persist(() => ask("v1/sql")))).rejects.toThrow("FORBIDDEN");
    expect(asked).toHaveLength(1);
    answers = [() => problem(503, "GATEWAY_BUSY", { "retry-after": "1" }, true), () => json({ ok: true })];
    await expect(run(persist(() => ask("v1/sql")))).resolves.toMatchObject({ status: 200 });
  });

  test("the page of a proxy without a gateway is no answer", async () => {
    answers = [() => new Response("<h1>502</h1>", { status: 502, headers: { "content-type": "text/html" } })];
    await expect(ask("v1/tables")).rejects.toThrow(Unreachable);
    expect(link.get().state).toBe("lost");
  });

  test("who answers after a silence is told apart by when it was started", async () => {
    answers = [() => new TypeError("reset")];
    gateways = [null, null, 2];
    await expect(ask("v1/tables")).rejects.toThrow(Unreachable);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(link.get()).toMatchObject({ state: "another", startedMs: 2 });
    answers = [() => new TypeError("reset")];
    gateways = [2];
    await expect(ask("v1/tables")).rejects.toThrow(Unreachable);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(link.get()).toMatchObject({ state: "again" });
  });
});

describe("events", () => {
  test("they are whole, however the text is cut", () => {
    const text = "retry: 1000\n\n: a comment\n\nevent: state\r\nid: a.1\r\ndata: {\"x\":1}\r\n\r\nid: b\ndata: one\ndata: two\n\n";
    for (let size = 1; size < text.length; size += 1) {
      const cutter = new EventCutter();
      const found = [];
      for (let at = 0; at < text.length; at += size) found.push(...cutter.push(text.slice(at, at + size)));
      expect(found).toEqual([
        { event: "state", id: "a.1", data: '{"x":1}' },
        { event: "message", id: "b", data: "one\ntwo" },
      ]);
    }
  });

  test("a stream that ends is taken up with the last id, at whoever answers", async () => {
    const heard: unknown[] = [];
    answers = [
      () => events('event: progress\nid: p1\ndata: {"tasks":3}\n\n'),
      () => new TypeError("refused"),
      () => events(`event: end\nid: e\ndata: ${JSON.stringify(status("SUCCEEDED"))}\n\n`),
    ];
    const stop = new AbortController();
    await run(follow("q", { signal: stop.signal, onNews: (news) => heard.push(news.event ?? news.status?.status) }));
    expect(heard).toEqual(["progress", "SUCCEEDED"]);
    const streams = asked.filter(({ url }) => url.endsWith("/events"));
    expect(streams.map(({ headers }) => headers.get("last-event-id"))).toEqual([null, "p1", "p1"]);
  });

  test("a stream that breaks off leads to a look at who answers now", async () => {
    const broken = new ReadableStream({
      start: (stream) => stream.enqueue(new TextEncoder().encode('event: progress\nid: p1\ndata: {}\n\n')),
      pull: (stream) => stream.error(new TypeError("network error")),
    });
    gateways = [2];
    answers = [
      () => new Response(broken, { headers: { "content-type": "text/event-stream" } }),
      () => events(`event: end\nid: e\ndata: ${JSON.stringify(status("SUCCEEDED"))}\n\n`),
    ];
    await run(follow("q", { signal: new AbortController().signal, onNews: () => {} }));
    expect(link.get()).toMatchObject({ state: "another", startedMs: 2 });
    expect(asked.at(-1)?.headers.get("last-event-id")).toBe("p1");
  });

  test("where no stream comes through, long polls follow with the tag of what is known", async () => {
    const heard: unknown[] = [];
    answers = [
      () => new Response("", { headers: { "content-type": "text/plain" } }),
      () => new Response("", { headers: { "content-type": "text/plain" } }),
      () => json(status("RUNNING"), 200, { etag: 'W/"r"' }),
      () => new Response(null, { status: 304 }),
      () => json(status("FAILED"), 200, { etag: 'W/"f"' }),
    ];
    const stop = new AbortController();
    await run(follow("q", { signal: stop.signal, onNews: (news) => heard.push(news.status?.status) }));
    expect(heard).toEqual(["RUNNING", "FAILED"]);
    const polls = asked.slice(2);
    expect(polls.map(({ url }) => url.split("?")[1])).toEqual(["wait=0s", "wait=25s", "wait=25s"]);
    expect(polls.map(({ headers }) => headers.get("if-none-match"))).toEqual([null, 'W/"r"', 'W/"r"']);
  });

  test("a client that was told the end reads the status", async () => {
    answers = [() => new Response(null, { status: 204 }), () => json(status("CANCELLED"))];
    const heard: unknown[] = [];
    await run(follow("q", { signal: new AbortController().signal, onNews: (news) => heard.push(news.status?.status) }));
    expect(heard).toEqual(["CANCELLED"]);
  });

  test("a query that is not there is no reason to go on", async () => {
    answers = [() => problem(404, "NOT_FOUND")];
    await expect(run(follow("q", { signal: new AbortController().signal, onNews: () => {} }))).rejects.toThrow("NOT_FOUND");
    expect(asked).toHaveLength(1);
  });
});
