// One query: what it is, how far it is, and a tab for each question about it.
import { useEffect } from "preact/hooks";
import { hasEnded, type Plan, type QueryStatus } from "../api/types";
import { handOver } from "../lib/draft";
import { bytes, clock, count, counted, dollars, duration, percent } from "../lib/format";
import { useNow, usePlan, useQuery } from "../lib/query";
import { to } from "../lib/router";
import { Cancel } from "../parts/cancel";
import { Fact, Waiting } from "../parts/fact";
import { Failure, Trouble } from "../parts/problem";
import { Copy, Sql } from "../parts/sql";
import { Meter, State } from "../parts/state";
import { Panel, Tabs } from "../parts/tabs";
import { CostTab } from "./cost";
import { PlanTab } from "./plan";
import { ResultTab } from "./result";
import { StagesTab } from "./stages";
import { TasksTab } from "./tasks";

/** Letters of the statement in the head. */
const PREVIEW = 300;

const TABS: [string, string][] = [
  ["stages", "Stages"],
  ["tasks", "Tasks"],
  ["result", "Result"],
  ["cost", "Cost"],
  ["sql", "SQL"],
  ["plan", "Plan"],
];

export function QueryView({ id, tab }: { id: string; tab: string }) {
  const { status, stages, error, again } = useQuery(id);
  const plan = usePlan(id);
  useEffect(() => {
    document.title = `${status ? status.status.toLowerCase() : "query"} · ${id.slice(0, 8)} · Dunlin`;
  }, [id, status?.status]);
  if (status === null) {
    return (
      <>
        <h1>Query</h1>
        <p class="mono">{id}</p>
        {error !== null ? <Trouble error={error} again={again} /> : <p class="quiet">Reading the query…</p>}
      </>
    );
  }
  const isFailed = status.error !== undefined;
  const tabs = isFailed ? ([["error", "Error"], ...TABS.filter(([name]) => name !== "result")] as [string, string][]) : TABS;
  const at = tabs.some(([name]) => name === tab) ? tab : (tabs[0]?.[0] ?? "stages");
  return (
    <>
      <Head status={status} plan={plan.plan} />
      {error !== null && <Trouble error={error} again={again} />}
      <Tabs label="About the query" at={at} tabs={tabs.map(([name, word]) => ({ id: name, name: word, address: to("query", [id, name]) }))} />
      <Panel id={at}>
        {at === "error" && status.error && <Failure error={status.error} />}
        {at === "stages" && <StagesTab status={status} stages={stages} />}
        {at === "tasks" && <TasksTab id={id} status={status} stages={stages} />}
        {at === "result" && <ResultTab status={status} columns={plan.plan?.columns ?? null} />}
        {at === "cost" && <CostTab status={status} plan={plan.plan} />}
        {at === "sql" && (plan.plan ? <SqlTab plan={plan.plan} status={status} /> : <Waiting error={plan.error} again={plan.again} />)}
        {at === "plan" && (plan.plan ? <PlanTab plan={plan.plan} /> : <Waiting error={plan.error} again={plan.again} />)}
      </Panel>
    </>
  );
}

function preview(sql: string): string {
  const line = sql.replace(/\s+/g, " ").trim();
  return line.length > PREVIEW ? `${line.slice(0, PREVIEW)}…` : line;
}

function Head({ status, plan }: { status: QueryStatus; plan: Plan | null }) {
  const isRunning = !hasEnded(status.status);
  const now = useNow(isRunning);
  const { progress } = status;
  const time = status.summary?.wall_ms ?? (isRunning ? Math.max(0, now - status.submitted_ms) : undefined);
  const cost = status.receipt?.cost_usd?.total ?? status.cost_usd;
  const rows = status.summary && status.status === "SUCCEEDED" ? status.summary.rows : undefined;
  return (
    <section class="head" aria-label="The query">
      <div class="heading">
        <h1 aria-label={`Query ${status.query_id}`}>
          <State word={status.status} />
          <span class="mono id">{status.query_id}</span>
        </h1>
        <div class="actions">
          {isRunning && <Cancel id={status.query_id} />}
          {plan && (
            <a class="button" href={to("sql")} onClick={() => handOver(plan, status)}>
              Retry with…
            </a>
          )}
        </div>
      </div>
      {plan && <p class="preview">{preview(plan.sql)}</p>}
      <dl class="facts">
        <Fact name="Phase">{status.phase}</Fact>
        <Fact name="Time">{time === undefined ? "–" : duration(time)}</Fact>
        <Fact name="Tasks">
          {count(progress.tasks_done)} of {count(progress.tasks)}
        </Fact>
        <Fact name="Stages">
          {count(progress.stages_done)} of {count(progress.stages)}
        </Fact>
        <Fact name="Read">{bytes(status.receipt?.bytes_scanned ?? progress.bytes_scanned ?? 0)}</Fact>
        {rows !== undefined && <Fact name="Rows">{count(rows)}</Fact>}
        <Fact name={isRunning ? "Cost so far" : "Cost"}>{cost === undefined ? "no price" : dollars(cost)}</Fact>
        <Fact name="Route">
          {status.route ?? "–"}
          {status.route_reason && <small> {status.route_reason}</small>}
        </Fact>
        <Fact name="Submitted">{clock(status.submitted_ms)}</Fact>
        {status.write && <Fact name="Files">{status.write}</Fact>}
        {Object.entries(status.tags ?? {}).map(([name, value]) => (
          <Fact key={name} name={name}>
            <a href={to("queries", [], { tag: `${name}:${value}` })}>{value}</a>
          </Fact>
        ))}
      </dl>
      {isRunning && (
        <p class="with-meter big">
          <Meter done={progress.tasks_done} whole={progress.tasks} label="Tasks that are done" />
          <span role="status">
            {progress.tasks > 0
              ? `${percent(progress.tasks_done / progress.tasks)} of ${counted(progress.tasks, "task")} known so far; ${count(progress.stages_done)} of ${counted(progress.stages, "stage")} done`
              : status.phase}
          </span>
        </p>
      )}
    </section>
  );
}

function SqlTab({ plan, status }: { plan: Plan; status: QueryStatus }) {
  return (
    <>
      <div class="tools">
        <Copy text={plan.sql} name="Copy SQL" />
        <a class="button" href={to("sql")} onClick={() => handOver(plan, status)}>
          Open in the SQL box
        </a>
      </div>
      <Sql sql={plan.sql} label="The statement" />
      <h2>Columns of the answer</h2>
      <div class="scroll" tabIndex={0} role="group" aria-label="Columns of the answer">
        <table class="small">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Type</th>
              <th scope="col">May be NULL</th>
            </tr>
          </thead>
          <tbody>
            {plan.columns.map((column, at) => (
              <tr key={at}>
                <th scope="row">{column.name}</th>
                <td>{column.type}</td>
                <td>{column.nullable ? "yes" : "no"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
