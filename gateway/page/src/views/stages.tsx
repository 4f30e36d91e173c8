// The stages: a drawing with rows and bytes on the edges, and one stage in full.
import { useState } from "preact/hooks";
import { hasEnded, type QueryStatus, type Stage } from "../api/types";
import { bytes, count, counted, micros, percent } from "../lib/format";
import { Fact } from "../parts/fact";
import { Graph } from "../parts/graph";
import { Meter } from "../parts/state";

const WORDS = { waiting: "waits for inputs", open: "open", running: "running", sealed: "done" } as const;
const MARKS = { waiting: "◌", open: "○", running: "▶", sealed: "✓" } as const;

/** The longest task of a stage, as a share of those of all: what more workers cannot shorten. */
export function shares(stages: Stage[]): Map<number, number> {
  const all = stages.reduce((sum, stage) => sum + (stage.totals?.wall_us.max ?? 0), 0);
  return new Map(stages.map((stage) => [stage.stage, all > 0 ? (stage.totals?.wall_us.max ?? 0) / all : 0]));
}

export function StagesTab({ status, stages }: { status: QueryStatus; stages: Stage[] | null }) {
  const [chosen, setChosen] = useState<number | null>(null);
  if (stages === null) return <p class="quiet">Reading the stages…</p>;
  if (stages.length === 0) return <p class="quiet">This query has no stages.</p>;
  const share = shares(stages);
  const of = new Map(stages.map((stage) => [stage.stage, stage]));
  // While a query runs, the stage that runs is the one to see; then the one that took longest.
  const isRunning = !hasEnded(status.status);
  const busy = isRunning ? stages.find((stage) => stage.state === "running")?.stage : undefined;
  const slowest = [...share].sort((a, b) => b[1] - a[1])[0]?.[0];
  const shownStage = of.get(chosen ?? busy ?? slowest ?? stages[0]?.stage ?? 0);
  const isFailed = status.status === "FAILED" || status.status === "CANCELLED";
  return (
    <>
      <Graph
        label="Stages of the query, in the order in which rows pass"
        chosen={shownStage?.stage ?? null}
        onChoose={setChosen}
        boxes={stages.map((stage) => ({
          id: stage.stage,
          inputs: stage.inputs,
          heat: isRunning ? 0 : (share.get(stage.stage) ?? 0),
          content: <Content stage={stage} share={isRunning ? null : (share.get(stage.stage) ?? 0)} isFailed={isFailed} />,
        }))}
        edge={(from) => {
          const totals = of.get(from)?.totals;
          return totals ? { first: counted(totals.rows, "row"), second: bytes(totals.bytes) } : null;
        }}
      />
      <p class="quiet legend">
        {isRunning ? (
          "Rows and bytes stand on the edges of stages that are done."
        ) : (
          <>
            <span class="heat-scale" aria-hidden="true" /> The stronger the colour, the longer the stage's longest task, as a share of the longest tasks of
            all stages.
          </>
        )}{" "}
        Choose a stage to see it in full.
      </p>
      {shownStage && <Detail stage={shownStage} share={isRunning ? null : (share.get(shownStage.stage) ?? 0)} isFailed={isFailed} />}
    </>
  );
}

function word(stage: Stage, isFailed: boolean): string {
  return isFailed && stage.state !== "sealed" ? "not finished" : WORDS[stage.state];
}

function Content({ stage, share, isFailed }: { stage: Stage; share: number | null; isFailed: boolean }) {
  const done = stage.tasks_done ?? 0;
  return (
    <>
      <span class="graph-name">
        <strong>{stage.stage}</strong> {stage.name}
      </span>
      <span>
        <span aria-hidden="true">{isFailed && stage.state !== "sealed" ? "✕" : MARKS[stage.state]}</span> {word(stage, isFailed)}
        {stage.failed ? `, ${count(stage.failed)} failed` : ""}
      </span>
      {stage.tasks !== undefined && stage.tasks > 0 && stage.state !== "sealed" && (
        <Meter done={done} whole={stage.tasks} label={`Tasks of stage ${stage.stage} that are done`} />
      )}
      <span>
        {stage.tasks === undefined ? "tasks not known yet" : stage.state === "sealed" ? counted(stage.tasks, "task") : `${count(done)} of ${counted(stage.tasks, "task")}`}
      </span>
      <span>{stage.totals ? `${micros(stage.totals.wall_us.max)} longest${share === null ? "" : ` · ${percent(share)}`}` : ""}</span>
    </>
  );
}

function Detail({ stage, share, isFailed }: { stage: Stage; share: number | null; isFailed: boolean }) {
  const { totals } = stage;
  return (
    <section class="detail" aria-live="off">
      <h2>
        Stage {stage.stage}: {stage.name}
      </h2>
      {stage.decided && <p>Decided when its inputs were known: {stage.decided}.</p>}
      <dl class="facts">
        <Fact name="State">{word(stage, isFailed)}</Fact>
        <Fact name="Partitions">{count(stage.partitions)}</Fact>
        <Fact name="Tasks">{stage.tasks === undefined ? "not known yet" : `${count(stage.tasks_done ?? 0)} of ${count(stage.tasks)}`}</Fact>
        <Fact name="Attempts">
          {count(stage.attempts ?? 0)}
          {stage.failed ? `, ${count(stage.failed)} failed or given back` : ""}
        </Fact>
        <Fact name="Reads">{stage.inputs.length > 0 ? stage.inputs.map((input) => `stage ${input}`).join(", ") : "files"}</Fact>
        {totals && (
          <>
            {share !== null && <Fact name="Share of time">{percent(share)}</Fact>}
            <Fact name="Task time, least to most">
              {micros(totals.wall_us.min)} · {micros(totals.wall_us.median)} · {micros(totals.wall_us.max)}
            </Fact>
            <Fact name="Compute">{micros(totals.compute_us)}</Fact>
            <Fact name="Scanned">{bytes(totals.bytes_scanned)}</Fact>
            <Fact name="Exchanged in">{bytes(totals.bytes_exchanged)}</Fact>
            <Fact name="Rows out">{count(totals.rows)}</Fact>
            <Fact name="Bytes out">{bytes(totals.bytes)}</Fact>
            <Fact name="Spilled">{bytes(totals.bytes_spilled)}</Fact>
            <Fact name="Peak memory of a task">{bytes(totals.peak_memory_bytes)}</Fact>
            <Fact name="Requests">
              {count(totals.requests.put)} PUT, {count(totals.requests.get)} GET, {count(totals.requests.list)} LIST
            </Fact>
          </>
        )}
      </dl>
    </section>
  );
}
