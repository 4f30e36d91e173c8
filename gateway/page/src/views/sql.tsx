// The SQL box. A statement is submitted as a query of its own, with an idempotency key: a retry after a gateway has died finds
// the same query, and never runs it twice. EXPLAIN is answered at once and leaves nothing behind.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ask, askJson, isAbort, persist, Problem } from "../api/client";
import { hasEnded, type Explained, type QueryStatus } from "../api/types";
import { bytes, clock, counted, dollars, duration, percent } from "../lib/format";
import { draft, keepDraft, requestOf, Unusable, type Draft } from "../lib/draft";
import { forget, history, remember, type Run } from "../lib/history";
import { firstWord, offsetOf } from "../lib/lex";
import { usePlan, useNow, useQuery } from "../lib/query";
import { to } from "../lib/router";
import { parseExact, Fields } from "../api/exact";
import { shown } from "../lib/rows";
import { Cancel } from "../parts/cancel";
import type { Editor, Tables } from "../parts/editor";
import { Failure, Trouble } from "../parts/problem";
import { Meter, State } from "../parts/state";
import { EstimateTable } from "./cost";
import { PlanText } from "./plan";
import { Answer } from "./result";

type Outcome =
  | { kind: "none" }
  | { kind: "asking"; what: string; stop: AbortController; waits?: string }
  | { kind: "query"; id: string }
  | { kind: "explained"; found: Explained }
  | { kind: "text"; text: string }
  | { kind: "error"; error: unknown };

const TOO_MANY_TABLES = 500;

/** The columns that were read so far. Reading them costs requests, so each table is read once. */
const tables: Tables = new Map();
let tablesRead: Promise<string[]> | undefined;
/** What the box shows when one comes back to it. */
let kept: Outcome = { kind: "none" };

export function SqlView() {
  const [form, setForm] = useState<Draft>(draft);
  const [outcome, setOutcomeNow] = useState<Outcome>(kept.kind === "asking" ? { kind: "none" } : kept);
  const [runs, setRuns] = useState<Run[]>(history);
  const editor = useRef<Editor | null>(null);
  const sentFrom = useRef(0);
  const setOutcome = (next: Outcome) => {
    kept = next;
    setOutcomeNow(next);
  };
  useEffect(() => {
    document.title = "SQL · Dunlin";
  }, []);
  const change = (part: Partial<Draft>) =>
    setForm((now) => {
      const next = { ...now, ...part };
      keepDraft(next);
      return next;
    });

  const submit = async (how: "run" | "explain") => {
    const chosen = editor.current?.chosen() ?? { text: form.sql, from: 0 };
    if (chosen.text.trim() === "" || outcome.kind === "asking") return;
    sentFrom.current = chosen.from;
    editor.current?.point(null);
    const stop = new AbortController();
    const what = how === "explain" ? "Planning…" : "Submitting…";
    setOutcome({ kind: "asking", what, stop });
    const onWait = (error: unknown) =>
      setOutcome({ kind: "asking", what, stop, waits: error instanceof Problem ? error.message : "No gateway answers; trying again." });
    try {
      const body = requestOf(draft(), chosen.text);
      const options = { signal: stop.signal, onWait };
      if (how === "explain") {
        const found = await persist(() => askJson<Explained>("v1/explain", { method: "POST", body, signal: stop.signal }), options);
        setOutcome({ kind: "explained", found });
        return;
      }
      if (["explain", "describe", "desc", "show"].includes(firstWord(chosen.text))) {
        // It is sent once: EXPLAIN ANALYZE runs what it explains.
        const response = await ask("v1/sql", { method: "POST", body, signal: stop.signal });
        if (response.status === 202) {
          const status = (await response.json()) as QueryStatus;
          remember({ sql: chosen.text, at: Date.now(), query: status.query_id });
          setOutcome({ kind: "query", id: status.query_id });
          return;
        }
        const text = await response.text();
        remember({ sql: chosen.text, at: Date.now() });
        setOutcome({ kind: "text", text });
        return;
      }
      // No wait: the id comes at once, and the box follows the query.
      const headers = { "idempotency-key": `page-${crypto.getRandomValues(new Uint32Array(4)).join("-")}` };
      const status = await persist(
        () => askJson<QueryStatus>("v1/queries", { method: "POST", body: { ...body, wait_timeout: "0s" }, headers, signal: stop.signal }),
        options,
      );
      remember({ sql: chosen.text, at: Date.now(), query: status.query_id });
      setOutcome({ kind: "query", id: status.query_id });
    } catch (error) {
      if (isAbort(error)) {
        setOutcome({ kind: "none" });
        return;
      }
      setOutcome({ kind: "error", error });
      if (error instanceof Problem && error.position) {
        editor.current?.point(sentFrom.current + offsetOf(chosen.text, error.position.line, error.position.column));
        editor.current?.focus();
      }
    } finally {
      setRuns(history());
    }
  };
  const latest = useRef(submit);
  latest.current = submit;

  return (
    <>
      <h1>SQL</h1>
      <div class="sql">
        <div class="sql-main">
          <Box
            text={form.sql}
            onChange={(sql) => change({ sql })}
            onRun={() => void latest.current("run")}
            onReady={(ready) => {
              editor.current = ready;
            }}
          />
          <div class="tools">
            <button type="button" class="main" disabled={outcome.kind === "asking"} onClick={() => void submit("run")}>
              Run
            </button>
            <button type="button" disabled={outcome.kind === "asking"} onClick={() => void submit("explain")}>
              Explain and estimate
            </button>
            <span class="quiet keys">
              <kbd>Ctrl</kbd>+<kbd>Enter</kbd> runs the selection, or everything
            </span>
          </div>
          <Settings form={form} change={change} />
          <section aria-label="Outcome" class="outcome">
            <OutcomeOf outcome={outcome} again={() => void submit("run")} />
          </section>
        </div>
        <History
          runs={runs}
          onTake={(run) => {
            editor.current?.replace(run.sql);
            change({ sql: run.sql });
            editor.current?.focus();
          }}
          onForget={() => {
            forget();
            setRuns([]);
          }}
        />
      </div>
    </>
  );
}

interface BoxOf {
  text: string;
  onChange(text: string): void;
  onRun(): void;
  onReady(editor: Editor | null): void;
}

/** The editor, when it is loaded; before, and if it cannot be loaded, a plain text box. */
function Box({ text, onChange, onRun, onReady }: BoxOf) {
  const host = useRef<HTMLDivElement>(null);
  const [isPlain, setPlain] = useState(false);
  const calls = useRef({ onChange, onRun });
  calls.current = { onChange, onRun };
  const complete = useCallback(async (editor: Editor, sql: string) => {
    const names = await tableNames();
    let isNew = false;
    for (const name of names) {
      if (!tables.has(name)) tables.set(name, []);
    }
    const words = new Set((sql.match(/[\p{L}_][\p{L}\p{N}_]*/gu) ?? []).map((word) => word.toLowerCase()));
    for (const name of names) {
      if (tables.get(name)?.length !== 0 || !words.has(name.toLowerCase())) continue;
      try {
        const table = await askJson<{ columns: { name: string; type: string }[] }>(`v1/tables/${encodeURIComponent(name)}`);
        tables.set(name, table.columns);
        isNew = true;
      } catch {
        // The table cannot be read. Its name completes nevertheless.
      }
    }
    if (isNew) editor.complete(tables);
  }, []);
  useEffect(() => {
    let editor: Editor | null = null;
    let isGone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    import("../parts/editor").then(
      ({ Editor }) => {
        if (isGone || !host.current) return;
        editor = new Editor(host.current, {
          text,
          onRun: () => calls.current.onRun(),
          onChange: (now) => {
            calls.current.onChange(now);
            clearTimeout(timer);
            timer = setTimeout(() => editor && void complete(editor, now), 400);
          },
        });
        onReady(editor);
        const made = editor;
        void complete(made, text).then(() => !isGone && made.complete(tables));
      },
      () => setPlain(true),
    );
    return () => {
      isGone = true;
      clearTimeout(timer);
      editor?.close();
      onReady(null);
    };
  }, []);
  if (isPlain) {
    return <textarea class="editor" aria-label="SQL statement" value={text} onInput={(event) => onChange(event.currentTarget.value)} />;
  }
  return <div class="editor" ref={host} />;
}

async function tableNames(): Promise<string[]> {
  tablesRead ??= askJson<{ tables: { name: string }[] }>("v1/tables").then(
    (found) => found.tables.slice(0, TOO_MANY_TABLES).map((table) => table.name),
    () => {
      tablesRead = undefined;
      return [];
    },
  );
  return tablesRead;
}

function Settings({ form, change }: { form: Draft; change: (part: Partial<Draft>) => void }) {
  const field = (name: keyof Draft, label: string, hint: string) => (
    <label>
      {label}
      <input type="text" placeholder={hint} value={form[name]} onInput={(event) => change({ [name]: event.currentTarget.value })} />
    </label>
  );
  const given = [form.route !== "auto" ? form.route : "", form.partitions && `${form.partitions} partitions`, form.tags, form.parameters && "parameters", (form.maxBytes || form.maxCost) && "limits"]
    .filter(Boolean)
    .join(" · ");
  return (
    <details class="settings">
      <summary>Settings, limits, tags{given && <span class="quiet"> {given}</span>}</summary>
      <div class="tools">
        <label>
          Route
          <select value={form.route} onChange={(event) => change({ route: event.currentTarget.value })}>
            <option value="auto">auto</option>
            <option value="inline">inline</option>
            <option value="fleet">fleet</option>
          </select>
        </label>
        {field("partitions", "Partitions", "as configured")}
        {field("maxBytes", "Most bytes read", "10000000000")}
        {field("maxCost", "Most dollars", "0.05")}
        {field("tags", "Tags", "team:finance, job:nightly")}
        {field("parameters", "Parameters", '["1995-01-01", 5]')}
      </div>
    </details>
  );
}

function OutcomeOf({ outcome, again }: { outcome: Outcome; again: () => void }) {
  switch (outcome.kind) {
    case "none":
      return null;
    case "asking":
      return (
        <p role="status" class="asking">
          {outcome.what} {outcome.waits ?? ""}{" "}
          <button type="button" onClick={() => outcome.stop.abort()}>
            Stop
          </button>
        </p>
      );
    case "error":
      return outcome.error instanceof Unusable ? (
        <p class="bad" role="alert">
          {outcome.error.message}
        </p>
      ) : (
        <Trouble error={outcome.error} again={outcome.error instanceof Problem && !outcome.error.retryable ? undefined : again} />
      );
    case "text":
      return <TextRows text={outcome.text} />;
    case "explained":
      return <ExplainedOf found={outcome.found} />;
    case "query":
      return <Running key={outcome.id} id={outcome.id} />;
  }
}

/** Rows whose columns are not known before: EXPLAIN, SHOW. */
function TextRows({ text }: { text: string }) {
  const list = parseExact(text);
  if (!Array.isArray(list)) return null;
  const rows = list.filter((row) => row instanceof Fields).map((row) => row.list);
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Answer">
      <table class="small">
        <thead>
          <tr>
            {rows[0]?.map(([name]) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {row.map(([name, value]) => (
                <td key={name} class="mono pre">
                  {shown(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ExplainedOf({ found }: { found: Explained }) {
  return (
    <>
      <h2>
        It would run {found.route === "inline" ? "in the gateway" : "on the fleet"} <span class="quiet">{found.route_reason}</span>
      </h2>
      <EstimateTable found={found} />
      <PlanText text={found.text ?? found.distributed_plan} />
    </>
  );
}

function Running({ id }: { id: string }) {
  const { status, error, again } = useQuery(id);
  const plan = usePlan(id);
  const isRunning = status !== null && !hasEnded(status.status);
  const now = useNow(isRunning);
  if (status === null) return error !== null ? <Trouble error={error} again={again} /> : <p class="quiet">Following the query…</p>;
  const { progress } = status;
  const cost = status.receipt?.cost_usd?.total ?? status.cost_usd;
  const time = status.summary?.wall_ms ?? (isRunning ? now - status.submitted_ms : undefined);
  const facts = [
    time === undefined ? "" : duration(Math.max(0, time)),
    status.route ?? "",
    counted(progress.tasks, "task"),
    progress.bytes_scanned !== undefined || status.receipt ? `${bytes(status.receipt?.bytes_scanned ?? progress.bytes_scanned ?? 0)} read` : "",
    cost === undefined ? "" : dollars(cost),
  ].filter(Boolean);
  return (
    <>
      <p class="run-line">
        <State word={status.status} />
        {isRunning && <Meter done={progress.tasks_done} whole={progress.tasks} label="Tasks that are done" />}
        {isRunning && <span>{progress.tasks > 0 ? percent(progress.tasks_done / progress.tasks) : status.phase}</span>}
        <span role="status" class="hidden">{isRunning ? "" : `The query has ${status.status.toLowerCase() === "cancelled" ? "been cancelled" : status.status.toLowerCase()}.`}</span>
        <span>{facts.join(" · ")}</span>
        <a href={to("query", [id])}>Stages, tasks, cost</a>
        {isRunning && <Cancel id={id} />}
      </p>
      {error !== null && <Trouble error={error} again={again} />}
      {status.error && <Failure error={status.error} />}
      {status.status === "SUCCEEDED" && plan.plan && <Answer query={id} columns={plan.plan.columns} />}
      {status.status === "SUCCEEDED" && !plan.plan && plan.error !== null && <Trouble error={plan.error} again={plan.again} />}
    </>
  );
}

function History({ runs, onTake, onForget }: { runs: Run[]; onTake: (run: Run) => void; onForget: () => void }) {
  const [isOpen, setOpen] = useState(() => window.matchMedia("(min-width: 1100px)").matches);
  return (
    <details class="history" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>History</summary>
      {runs.length === 0 ? (
        <p class="quiet">Statements that you run are kept in this browser.</p>
      ) : (
        <>
          <ul>
            {runs.map((run) => (
              <li key={run.at}>
                <button type="button" class="plain" onClick={() => onTake(run)} title={run.sql.slice(0, 500)}>
                  {run.sql.replace(/\s+/g, " ").slice(0, 120)}
                </button>
                <span class="quiet">
                  {clock(run.at)} {run.query && <a href={to("query", [run.query])}>query</a>}
                </span>
              </li>
            ))}
          </ul>
          <button type="button" onClick={onForget}>
            Forget all
          </button>
        </>
      )}
    </details>
  );
}
