// The fleet, as the API knows it: this gateway, the others, and the workers that recent queries name.
import { useEffect, useState } from "preact/hooks";
import { address, askJson, isAbort, meet, persist, Problem, retryDelay } from "../api/client";
import { hasEnded, type Fleet, type GatewayStatus, type Page, type Profile } from "../api/types";
import { bytes, clock, count, counted, duration, words } from "../lib/format";
import { to } from "../lib/router";
import { Fact } from "../parts/fact";
import { Trouble } from "../parts/problem";

const REFRESH_MS = 5_000;
const LOOKED_AT = 10;

/** Names of limits. One that is not here is shown as the API names it. */
const LIMITS: Record<string, string> = {
  sql_bytes: "SQL text",
  body_bytes: "Body of a request",
  parameters: "Parameters",
  tags: "Tags of a query",
  wait_ms: "Longest wait",
  page: "Queries on a page",
  query_ttl_ms: "Time to live of a query",
  max_bytes_scanned: "Bytes that a query may read",
  max_cost_usd: "Dollars that a query may cost",
  answer_bytes: "Answer that is sent as rows",
  inline_slots: "Inline queries at a time",
  inline_queue: "Inline queries that wait",
  inline_time_ms: "Time of an inline query",
  inline_memory_bytes: "Memory of inline queries",
  planning_at_once: "Statements planned at a time",
  planning_queue: "Statements that wait for it",
  planning_time_ms: "Time to plan a statement",
  connections: "Connections",
  requests: "Requests at a time",
  client_requests: "Requests of one client at a time",
};

interface Seen {
  name: string;
  tasks: number;
  busyMs: number;
  read: number;
  last: number | null;
  query: string;
}

export function FleetView() {
  const [gateway, setGateway] = useState<GatewayStatus | null>(null);
  const [ready, setReady] = useState<{ isReady: boolean; note: string }>({ isReady: true, note: "" });
  const [fleet, setFleet] = useState<Fleet | "unknown" | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    document.title = "Fleet · Dunlin";
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let attempt = 0;
    const look = async () => {
      let next = REFRESH_MS;
      try {
        if (!document.hidden) {
          setGateway(await meet());
          setReady(await readiness(stop.signal));
          setFleet(await others(stop.signal));
          setError(null);
          attempt = 0;
        }
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
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [round]);
  return (
    <>
      <h1>Fleet</h1>
      {error !== null && <Trouble error={error} again={() => setRound(round + 1)} />}
      {gateway && (
        <>
          <section>
            <h2>
              The gateway that answers{" "}
              <span class={ready.isReady ? "good" : "bad"}>
                <span aria-hidden="true">{ready.isReady ? "✓" : "✕"}</span> {ready.isReady ? "ready" : "not ready"}
              </span>
            </h2>
            {ready.note && <p class="warn">{ready.note}</p>}
            <dl class="facts">
              <Fact name="Version">{gateway.version}</Fact>
              <Fact name="Engine">{gateway.engine}</Fact>
              <Fact name="Build">
                <span class="mono">{gateway.build}</span>
              </Fact>
              <Fact name="Started">{clock(gateway.started_ms)}</Fact>
              <Fact name="Up">{duration(gateway.uptime_ms)}</Fact>
              <Fact name="Route mode">{gateway.route_mode}</Fact>
            </dl>
          </section>
          <section>
            <h2>To do now</h2>
            <p class="quiet">Queries and tasks are those of the whole store, as this gateway last swept it. The rest is this gateway's own.</p>
            <dl class="facts tiles">
              {Object.entries(gateway.counts).map(([name, value]) => (
                <Fact key={name} name={words(name)}>
                  {count(value)}
                </Fact>
              ))}
            </dl>
          </section>
          <Others fleet={fleet} />
          <Workers />
          <section>
            <h2>Limits</h2>
            <dl class="facts tiles">
              {Object.entries(gateway.limits).map(([name, value]) => (
                <Fact key={name} name={LIMITS[name] ?? words(name)}>
                  {limit(name, value)}
                </Fact>
              ))}
            </dl>
          </section>
        </>
      )}
      <p class="quiet foot">
        <a href={address("docs")}>The API</a> <a href={address("assets/licenses.md")}>Licences of what this page contains</a>
      </p>
      {gateway === null && error === null && <p class="quiet">Asking the gateway…</p>}
    </>
  );
}

function limit(name: string, value: number | null): string {
  if (value === null) return "none";
  if (name.endsWith("_ms")) return duration(value);
  if (name.includes("bytes")) return bytes(value);
  if (name.endsWith("_usd")) return `$${value}`;
  return count(value);
}

async function readiness(signal: AbortSignal): Promise<{ isReady: boolean; note: string }> {
  try {
    const body = await askJson<{ status: string; note?: string }>("v1/ready", { signal });
    return { isReady: true, note: body.note ?? "" };
  } catch (error) {
    if (error instanceof Problem) return { isReady: false, note: error.message };
    throw error;
  }
}

async function others(signal: AbortSignal): Promise<Fleet | "unknown"> {
  try {
    return await askJson<Fleet>("v1/fleet", { signal });
  } catch (error) {
    // A gateway of an earlier version does not tell, and neither does one whose key may not ask.
    if (error instanceof Problem && error.status !== 401) return "unknown";
    throw error;
  }
}

function Others({ fleet }: { fleet: Fleet | "unknown" | null }) {
  if (fleet === null) return null;
  if (fleet === "unknown") {
    return (
      <section>
        <h2>Gateways</h2>
        <p class="quiet">This gateway does not tell which others there are.</p>
      </section>
    );
  }
  return (
    <div class="columns">
      <section>
        <h2>Gateways that workers can reach</h2>
        {fleet.gateways.length === 0 ? (
          <p class="quiet">None has written its address into the store. Workers find work by reading the bell.</p>
        ) : (
          <ul class="plain-list">
            {fleet.gateways.map((gateway) => (
              <li key={gateway.url} class="mono">
                {gateway.url}
              </li>
            ))}
          </ul>
        )}
      </section>
      <section>
        <h2>Workers that wait for news here</h2>
        {fleet.workers.length === 0 ? (
          <p class="quiet">None. Workers that are busy, or listen at another gateway, are not here.</p>
        ) : (
          <ul class="plain-list">
            {fleet.workers.map((name) => (
              <li key={name} class="mono">
                {name}
              </li>
            ))}
          </ul>
        )}
      </section>
    </div>
  );
}

/** Workers leave their names with what they commit. So the newest queries tell which there were. */
function Workers() {
  const [seen, setSeen] = useState<{ workers: Seen[]; queries: number } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    persist(() => workers(stop.signal), { signal: stop.signal }).then(setSeen, (thrown: unknown) => {
      if (!isAbort(thrown)) setError(thrown);
    });
    return () => stop.abort();
  }, [round]);
  return (
    <section>
      <div class="heading">
        <h2>Workers in the newest queries</h2>
        <button type="button" onClick={() => setRound(round + 1)}>
          Look again
        </button>
      </div>
      {error !== null && <Trouble error={error} again={() => setRound(round + 1)} />}
      {seen === null && error === null && <p class="quiet">Reading the newest queries…</p>}
      {seen && seen.workers.length === 0 && <p class="quiet">The newest queries name no worker.</p>}
      {seen && seen.workers.length > 0 && (
        <>
          <p class="quiet">
            From the commits in the {counted(seen.queries, "newest query").replace(/querys$/, "queries")} that you may see. A worker that has committed nothing there is not
            shown.
          </p>
          <div class="scroll" tabIndex={0} role="group" aria-label="Workers">
            <table class="small">
              <thead>
                <tr>
                  <th scope="col">Worker</th>
                  <th scope="col" class="right">
                    Tasks
                  </th>
                  <th scope="col" class="right">
                    Time in tasks
                  </th>
                  <th scope="col" class="right">
                    Read
                  </th>
                  <th scope="col" class="right">
                    Last commit
                  </th>
                  <th scope="col">Last query</th>
                </tr>
              </thead>
              <tbody>
                {seen.workers.map((worker) => (
                  <tr key={worker.name}>
                    <th scope="row" class="mono whole">
                      {worker.name}
                    </th>
                    <td class="right">{count(worker.tasks)}</td>
                    <td class="right">{duration(worker.busyMs)}</td>
                    <td class="right">{bytes(worker.read)}</td>
                    <td class="right">{worker.last === null ? "–" : clock(worker.last)}</td>
                    <td>
                      <a href={to("query", [worker.query, "tasks"])}>{worker.query.slice(0, 18)}…</a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}

async function workers(signal: AbortSignal): Promise<{ workers: Seen[]; queries: number }> {
  const page = await askJson<Page>("v1/queries?limit=40", { signal });
  const chosen = page.queries.filter((brief) => brief.route === "fleet" && (hasEnded(brief.status) || brief.status === "RUNNING")).slice(0, LOOKED_AT);
  const found = new Map<string, Seen>();
  for (const brief of chosen) {
    let profile: Profile;
    try {
      profile = await askJson<Profile>(`v1/queries/${brief.query_id}/profile`, { signal });
    } catch (error) {
      // Its records may be deleted by now.
      if (error instanceof Problem && error.status !== 401) continue;
      throw error;
    }
    for (const task of profile.stages.flatMap((stage) => stage.task_list ?? [])) {
      const seen = found.get(task.worker) ?? { name: task.worker, tasks: 0, busyMs: 0, read: 0, last: null, query: brief.query_id };
      seen.tasks += 1;
      seen.busyMs += task.wall_us / 1000;
      seen.read += task.bytes_scanned + task.bytes_exchanged;
      if (task.ended_ms) seen.last = Math.max(seen.last ?? 0, task.ended_ms);
      found.set(task.worker, seen);
    }
  }
  const list = [...found.values()].sort((a, b) => b.tasks - a.tasks || a.name.localeCompare(b.name));
  return { workers: list, queries: chosen.length };
}
