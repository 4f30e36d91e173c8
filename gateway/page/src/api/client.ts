// Requests to the gateway that served the page. The key is kept for this tab only (sessionStorage), is sent in a header
// only, and never stands in an address.
//
//   view ──> ask ──> fetch ──> answer
//                      ├──> problem (RFC 9457) ──> Problem: code, what was wrong, whether a retry helps
//                      └──> no answer ──────────> Unreachable; `link` says so, and tries until somebody answers
import { Store } from "../lib/store";
import type { GatewayStatus, Position } from "./types";

const KEY = "dunlin.key";

/** The gateway refused, or a query failed. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryable: boolean,
    readonly position: Position | undefined,
    readonly queryId: string | undefined,
    /** Seconds after which a retry may help. */
    readonly retryAfter: number | undefined,
  ) {
    super(detail);
  }
}

/** No gateway answered. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super("the gateway does not answer", { cause });
  }
}

/** Whether somebody answers at the other end. */
export interface Link {
  state: "unknown" | "there" | "lost" | "another" | "again";
  /** Since when nobody answers. */
  lostAt?: number;
  /** When the gateway that answers now was started. */
  startedMs?: number;
}

export const link = new Store<Link>({ state: "unknown" });

/** Whether the gateway wants a key that it was not given. */
export const locked = new Store<{ isLocked: boolean; why: string }>({ isLocked: false, why: "" });

export function key(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function signIn(secret: string): void {
  sessionStorage.setItem(KEY, secret);
}

export function signOut(why = ""): void {
  try {
    sessionStorage.removeItem(KEY);
  } finally {
    locked.set({ isLocked: true, why });
  }
}

/** The address of a path of the API. The page may be served below a prefix. */
export function address(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

export interface Ask {
  method?: "GET" | "POST";
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** An answer with a status below 400; everything else is thrown. */
export async function ask(path: string, { method = "GET", body, headers = {}, signal }: Ask = {}): Promise<Response> {
  const all: Record<string, string> = { accept: "application/json", ...headers };
  const secret = key();
  if (secret) all["authorization"] = `Bearer ${secret}`;
  if (body !== undefined) all["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      headers: all,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
      cache: "no-store",
      credentials: "same-origin",
      referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    lost();
    throw new Unreachable(error);
  }
  if (response.status < 400) {
    if (link.get().state === "unknown") link.set({ state: "there" });
    return response;
  }
  throw await refused(response);
}

async function refused(response: Response): Promise<Error> {
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  let body: Record<string, unknown> = {};
  const isProblem = (response.headers.get("content-type") ?? "").includes("json");
  if (isProblem) {
    try {
      body = (await response.json()) as Record<string, unknown>;
    } catch {
      // The answer broke off; its status says enough.
    }
  }
  // A proxy that finds no gateway behind it answers with a page of its own.
  if (!isProblem && (response.status === 502 || response.status === 503 || response.status === 504)) {
    lost();
    return new Unreachable(new Error(`the proxy answered ${response.status}`));
  }
  const detail = typeof body["detail"] === "string" ? body["detail"] : `the gateway answered ${response.status}`;
  const problem = new Problem(
    response.status,
    typeof body["code"] === "string" ? body["code"] : String(response.status),
    detail,
    body["retryable"] === true,
    body["position"] as Position | undefined,
    body["query_id"] as string | undefined,
    Number.isFinite(after) ? after : undefined,
  );
  if (response.status === 401) {
    signOut(key() === null ? "" : "The gateway does not know this key. It may have been removed.");
  }
  return problem;
}

/** The same, as JSON. Never for rows: their numbers would lose digits. */
export async function askJson<T>(path: string, options: Ask = {}): Promise<T> {
  const response = await ask(path, options);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    lost();
    throw new Unreachable(error);
  }
}

/** Resolves after a time; rejects if the signal aborts before. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    if (signal?.aborted) return aborted();
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
    return undefined;
  });
}

/** Whether the same request may succeed later, and after how many milliseconds to try. */
export function retryDelay(error: unknown, attempt: number): number | null {
  const wait = Math.min(8_000, 500 * 2 ** attempt);
  if (error instanceof Unreachable) return wait;
  if (error instanceof Problem && (error.status === 429 || (error.status === 503 && error.retryable))) {
    return Math.max(wait, (error.retryAfter ?? 0) * 1_000);
  }
  return null;
}

/** Repeats a request that changes nothing, or one with an Idempotency-Key, while a retry may help. */
export async function persist<T>(
  one: () => Promise<T>,
  { tries = 8, signal, onWait }: { tries?: number; signal?: AbortSignal | undefined; onWait?: (error: unknown, ms: number) => void } = {},
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await one();
    } catch (error) {
      const delay = retryDelay(error, attempt);
      if (signal?.aborted || delay === null || attempt + 1 >= tries) throw error;
      onWait?.(error, delay);
      await pause(delay, signal);
    }
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

let isProbing = false;

/** Nobody answered. Tries until somebody does, and then says whether it is the same gateway. */
export function lost(): void {
  const now = link.get();
  if (now.state !== "lost") link.set({ ...now, state: "lost", lostAt: Date.now() });
  if (!isProbing) void probe();
}

async function probe(): Promise<void> {
  isProbing = true;
  try {
    for (let attempt = 0; ; attempt += 1) {
      await pause(Math.min(5_000, 300 * 2 ** attempt));
      try {
        const status = await askJson<GatewayStatus>("v1/status");
        const before = link.get().startedMs;
        const isSame = before === undefined || before === status.started_ms;
        link.set({ state: isSame ? "again" : "another", startedMs: status.started_ms });
        return;
      } catch (error) {
        if (error instanceof Problem) {
          // Somebody answers, if only with a refusal.
          link.set({ ...link.get(), state: "again" });
          return;
        }
      }
    }
  } finally {
    isProbing = false;
  }
}

/** An answer broke off. A load balancer may have found another gateway before anybody missed the first one. */
export async function brokeOff(): Promise<void> {
  const before = link.get();
  if (before.state === "lost" || before.startedMs === undefined) return;
  try {
    const status = await askJson<GatewayStatus>("v1/status");
    if (status.started_ms !== before.startedMs) link.set({ state: "another", startedMs: status.started_ms });
  } catch {
    // Whoever asks next is told.
  }
}

/** Remembers which gateway answers, so that a change can be told. */
export async function meet(): Promise<GatewayStatus> {
  const status = await askJson<GatewayStatus>("v1/status");
  const now = link.get();
  if (now.state !== "lost") link.set({ ...now, state: now.state === "unknown" ? "there" : now.state, startedMs: status.started_ms });
  return status;
}
