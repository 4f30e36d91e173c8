// The tasks: how evenly each stage's tasks took their time, and when each attempt ran.
import { useEffect, useMemo, useState } from "preact/hooks";
import { askJson, isAbort, persist } from "../api/client";
import { hasEnded, type Profile, type QueryStatus, type Stage, type Task } from "../api/types";
import { bytes, count, counted, duration, micros } from "../lib/format";
import { skew, spread } from "../lib/stats";
import { Waiting } from "../parts/fact";

const REFRESH_MS = 2_000;
const MOST = 300;
const UNEVEN = 2;

interface Run {
  stage: Stage;
  task: Task;
  /** Milliseconds; the begin is null where the gateway does not say when attempts ended. */
  begin: number | null;
  took: number;
}

export function TasksTab({ id, status, stages }: { id: string; status: QueryStatus; stages: Stage[] | null }) {
  const [profile, setProfile] = useState<Profile | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  const isRunning = !hasEnded(status.status);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    setError(null);
    const look = async () => {
      try {
        setProfile(await persist(() => askJson<Profile>(`v1/queries/${id}/profile`, { signal: stop.signal }), { signal: stop.signal }));
        if (isRunning) timer = setTimeout(() => void look(), REFRESH_MS);
      } catch (thrown) {
        if (!isAbort(thrown)) setError(thrown);
      }
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, isRunning, round]);
  if (profile === null) return <Waiting error={error} again={() => setRound(round + 1)} />;
  const known = profile.stages.length > 0 ? profile.stages : (stages ?? []);
  return (
    <>
      <SkewTable stages={known} />
      <Timeline stages={known} />
      <Open stages={known} />
    </>
  );
}

function SkewTable({ stages }: { stages: Stage[] }) {
  const most = Math.max(1, ...stages.flatMap((stage) => (stage.task_list ?? []).map((task) => task.wall_us)));
  return (
    <section>
      <h2>Skew</h2>
      <div class="scroll" tabIndex={0} role="group" aria-label="Skew of each stage">
        <table class="small skew">
          <thead>
            <tr>
              <th scope="col">Stage</th>
              <th scope="col" class="right">
                Tasks
              </th>
              <th scope="col" class="right">
                Attempts
              </th>
              <th scope="col" class="right">
                Min
              </th>
              <th scope="col" class="right">
                p25
              </th>
              <th scope="col" class="right">
                p50
              </th>
              <th scope="col" class="right">
                p75
              </th>
              <th scope="col" class="right">
                Max
              </th>
              <th scope="col">Spread</th>
              <th scope="col" class="right">
                Skew by time
              </th>
              <th scope="col" class="right">
                by input
              </th>
            </tr>
          </thead>
          <tbody>
            {stages.map((stage) => {
              const list = stage.task_list ?? [];
              const walls = list.map((task) => task.wall_us);
              const five = spread(walls);
              const byTime = skew(walls);
              const byInput = skew(list.map((task) => task.bytes_scanned + task.bytes_exchanged));
              return (
                <tr key={stage.stage}>
                  <th scope="row" class="stage-name">
                    {stage.stage} <span class="quiet">{stage.name}</span>
                  </th>
                  <td class="right">{stage.tasks === undefined ? "?" : count(stage.tasks)}</td>
                  <td class="right">
                    {count(stage.attempts ?? 0)}
                    {stage.failed ? <strong class="bad"> {count(stage.failed)} failed</strong> : null}
                  </td>
                  {five ? (
                    [five.min, five.p25, five.p50, five.p75, five.max].map((value, at) => (
                      <td key={at} class="right">
                        {micros(value)}
                      </td>
                    ))
                  ) : (
                    <td colSpan={5} class="quiet">
                      {stage.state === "sealed" ? (stage.decided ?? "no tasks") : `${stage.state}; ${count(stage.tasks_done ?? 0)} done`}
                    </td>
                  )}
                  <td>
                    {five && (
                      <svg class="spread" viewBox="0 0 120 12" width="120" height="12" aria-hidden="true">
                        <line x1={(five.min / most) * 118 + 1} x2={(five.max / most) * 118 + 1} y1="6" y2="6" class="spread-line" />
                        <rect
                          x={(five.p25 / most) * 118 + 1}
                          width={Math.max(2, ((five.p75 - five.p25) / most) * 118)}
                          y="2"
                          height="8"
                          class="spread-box"
                        />
                        <line x1={(five.p50 / most) * 118 + 1} x2={(five.p50 / most) * 118 + 1} y1="0" y2="12" class="spread-middle" />
                      </svg>
                    )}
                  </td>
                  <Skew value={byTime} />
                  <Skew value={byInput} />
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p class="quiet">Skew is the largest divided by the mean: 1.0 is even. A stage of one task has none.</p>
    </section>
  );
}

function Skew({ value }: { value: number | null }) {
  if (value === null) return <td class="right quiet">–</td>;
  return (
    <td class="right">
      {value >= UNEVEN ? <strong class="warn">{value.toFixed(1)} uneven</strong> : value.toFixed(1)}
    </td>
  );
}

function runsOf(stages: Stage[]): Run[] {
  return stages.flatMap((stage) =>
    (stage.task_list ?? []).map((task) => {
      const took = task.wall_us / 1000;
      return { stage, task, took, begin: task.ended_ms ? task.ended_ms - took : null };
    }),
  );
}

type Order = "time" | "longest" | "worker";

function Timeline({ stages }: { stages: Stage[] }) {
  const [order, setOrder] = useState<Order>("time");
  const runs = useMemo(() => runsOf(stages), [stages]);
  const isPlaced = runs.length > 0 && runs.every((run) => run.begin !== null);
  const sorted = useMemo(() => {
    const byTime = (a: Run, b: Run) => a.stage.stage - b.stage.stage || (a.begin ?? 0) - (b.begin ?? 0) || a.task.task - b.task.task;
    const orders: Record<Order, (a: Run, b: Run) => number> = {
      time: byTime,
      longest: (a, b) => b.took - a.took,
      worker: (a, b) => a.task.worker.localeCompare(b.task.worker) || byTime(a, b),
    };
    return [...runs].sort(orders[order]);
  }, [runs, order]);
  if (runs.length === 0) return null;
  const begin = isPlaced ? Math.min(...runs.map((run) => run.begin ?? 0)) : 0;
  const end = Math.max(...runs.map((run) => (isPlaced ? (run.begin ?? 0) + run.took : run.took)));
  const whole = Math.max(0.001, end - begin);
  return (
    <section>
      <div class="heading">
        <h2>Timeline</h2>
        <div class="tools">
          <label>
            Order
            <select value={order} onChange={(event) => setOrder(event.currentTarget.value as Order)}>
              <option value="time">by stage</option>
              <option value="longest">longest first</option>
              <option value="worker">by worker</option>
            </select>
          </label>
        </div>
      </div>
      <p class="quiet">
        {isPlaced
          ? `From claim to commit, by the workers' clocks; ${duration(whole)} from left to right. The attempt that won is shown.`
          : "The gateway does not say when attempts ended: bars show how long each took, and not when."}
      </p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Tasks over time">
        <table class="small timeline">
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col" class="timeline-track">
                {isPlaced ? <Axis whole={whole} /> : "Time taken"}
              </th>
              <th scope="col" class="right">
                Took
              </th>
              <th scope="col">Attempt</th>
              <th scope="col">Worker</th>
              <th scope="col" class="right">
                Read
              </th>
              <th scope="col" class="right">
                Rows out
              </th>
              <th scope="col" class="right">
                Memory
              </th>
              <th scope="col" class="right">
                Spilled
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, MOST).map((run) => {
              const { task, stage } = run;
              const left = isPlaced ? ((run.begin ?? 0) - begin) / whole : 0;
              return (
                <tr key={`${stage.stage}.${task.task}`}>
                  <th scope="row">
                    {stage.stage}.{task.task}
                  </th>
                  <td class="timeline-track">
                    <span
                      class={`timeline-bar ${task.attempt > 0 ? "timeline-again" : ""} timeline-${stage.stage % 2}`}
                      style={{ marginLeft: `${left * 100}%`, width: `${Math.max(0.3, (run.took / whole) * 100)}%` }}
                    />
                  </td>
                  <td class="right">{duration(run.took)}</td>
                  <td>{task.attempt === 0 ? "first" : <strong class="warn">no. {task.attempt + 1}</strong>}</td>
                  <td class="mono">{task.worker}</td>
                  <td class="right">{bytes(task.bytes_scanned + task.bytes_exchanged)}</td>
                  <td class="right">{count(task.rows)}</td>
                  <td class="right">{bytes(task.peak_memory_bytes)}</td>
                  <td class="right">{bytes(task.bytes_spilled)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {sorted.length > MOST && (
        <p class="quiet">
          {count(MOST)} of {counted(sorted.length, "task")} are shown. Choose "longest first" to see those that matter most.
        </p>
      )}
    </section>
  );
}

function Axis({ whole }: { whole: number }) {
  return (
    <span class="axis">
      {[0, 0.25, 0.5, 0.75, 1].map((at) => (
        <span key={at} style={{ left: `${at * 100}%` }}>
          {at === 0 ? "0" : duration(whole * at)}
        </span>
      ))}
    </span>
  );
}

/** Tasks of stages that are not done. */
function Open({ stages }: { stages: Stage[] }) {
  const open = stages.filter((stage) => stage.state === "running" || stage.state === "open");
  if (open.length === 0) return null;
  return (
    <section>
      <h2>Under way</h2>
      <ul class="plain-list">
        {open.map((stage) => (
          <li key={stage.stage}>
            Stage {stage.stage}: {count(stage.tasks_done ?? 0)} of {counted(stage.tasks ?? 0, "task")} committed, {counted(stage.attempts ?? 0, "attempt")} claimed
            {stage.failed ? `, ${count(stage.failed)} failed or given back` : ""}.
            {(stage.claimed ?? [])
              .filter((claim) => !claim.committed)
              .slice(0, 50)
              .map((claim) => (
                <span key={claim.task} class="chip">
                  ▶ {stage.stage}.{claim.task}
                  {claim.attempt > 0 ? ` attempt ${claim.attempt + 1}` : ""}
                  {claim.failed.length > 0 ? `, ${claim.failed.length} failed` : ""}
                </span>
              ))}
          </li>
        ))}
      </ul>
    </section>
  );
}
