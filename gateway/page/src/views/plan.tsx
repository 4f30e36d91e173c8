// How a query was planned: a drawing, and the text of EXPLAIN.
import { useMemo, useState } from "preact/hooks";
import type { Plan } from "../api/types";
import { bytes, count } from "../lib/format";
import { readPlan, splitSteps, type Operator, type StageText } from "../lib/plan";
import { Fact } from "../parts/fact";
import { Copy } from "../parts/sql";

export function PlanTab({ plan }: { plan: Plan }) {
  const settings = Object.entries(plan.settings ?? {});
  return (
    <>
      <dl class="facts">
        <Fact name="Route">
          {plan.route} {plan.route_reason && <small>{plan.route_reason}</small>}
        </Fact>
        {plan.input_files !== undefined && <Fact name="Files">{count(plan.input_files)}</Fact>}
        {plan.input_bytes !== undefined && <Fact name="Bytes of the files">{bytes(plan.input_bytes)}</Fact>}
      </dl>
      <PlanText text={plan.distributed_plan} />
      {settings.length > 0 && (
        <details>
          <summary>Settings that travel with the query</summary>
          <div class="scroll" tabIndex={0} role="group" aria-label="Settings">
            <table class="small">
              <tbody>
                {settings.map(([name, value]) => (
                  <tr key={name}>
                    <th scope="row" class="mono">
                      {name}
                    </th>
                    <td class="mono">{value}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </>
  );
}

export function PlanText({ text }: { text: string }) {
  const [isDrawn, setDrawn] = useState(true);
  const stages = useMemo(() => readPlan(text), [text]);
  return (
    <>
      <div class="tools" role="group" aria-label="How the plan is shown">
        <button type="button" aria-pressed={isDrawn} onClick={() => setDrawn(true)}>
          Drawn
        </button>
        <button type="button" aria-pressed={!isDrawn} onClick={() => setDrawn(false)}>
          Text
        </button>
        <Copy text={text} name="Copy" />
      </div>
      {isDrawn && stages.length > 0 ? (
        <ol class="plan" aria-label="Stages, the last one first">
          {stages.map((stage) => (
            <StageOf key={stage.stage} stage={stage} />
          ))}
        </ol>
      ) : (
        <pre class="code" tabIndex={0} aria-label="The plan as text">
          {text}
        </pre>
      )}
    </>
  );
}

function StageOf({ stage }: { stage: StageText }) {
  const [steps, ...notes] = stage.lines;
  return (
    <li class="plan-stage" id={`plan-${stage.stage}`}>
      <h3>
        <strong>{stage.stage}</strong> {stage.name} <span class="quiet">{stage.size}</span>
      </h3>
      {steps && (
        <ul class="plan-steps">
          {splitSteps(steps).map((step, at) => (
            <li key={at}>{step}</li>
          ))}
        </ul>
      )}
      {notes.map((note, at) => (
        <p key={at} class={note.startsWith("about ") ? "plan-out" : "quiet"}>
          {note}
        </p>
      ))}
      {stage.operators.length > 0 && (
        <details>
          <summary>Operators</summary>
          <div class="scroll" tabIndex={0} role="group" aria-label={`Operators of stage ${stage.stage}`}>
            <Tree operators={stage.operators} />
          </div>
        </details>
      )}
    </li>
  );
}

function Tree({ operators }: { operators: Operator[] }) {
  return (
    <ul class="tree">
      {operators.map((operator, at) => (
        <li key={at}>
          <span class="tree-node">
            <strong>{operator.name.replace(/Exec$/, "")}</strong> <span>{operator.detail}</span>
          </span>
          {operator.inputs.length > 0 && <Tree operators={operator.inputs} />}
        </li>
      ))}
    </ul>
  );
}
