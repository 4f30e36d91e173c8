// What a query has cost, of what that is made, and what was expected.
import { useState } from "preact/hooks";
import { askJson, isAbort, persist } from "../api/client";
import { hasEnded, type Explained, type Plan, type QueryStatus, type Receipt, type Requests } from "../api/types";
import { bytes, count, dollars, micros, percent } from "../lib/format";
import { Fact } from "../parts/fact";
import { Trouble } from "../parts/problem";

export function CostTab({ status, plan }: { status: QueryStatus; plan: Plan | null }) {
  const { receipt } = status;
  if (!hasEnded(status.status) || !receipt) {
    return (
      <>
        <p>
          {status.cost_usd !== undefined
            ? `So far, what has been committed cost ${dollars(status.cost_usd)}.`
            : hasEnded(status.status)
              ? "There is no receipt: the query ended before it used anything that is counted, or its records are deleted."
              : "Nothing is priced yet. The receipt comes when the query has ended."}
        </p>
        {plan && <Compared plan={plan} status={status} receipt={undefined} />}
      </>
    );
  }
  const cost = receipt.cost_usd;
  return (
    <>
      {cost ? (
        <section>
          <h2>
            {dollars(cost.total)} <span class="quiet">by {receipt.price}</span>
          </h2>
          <div class="bars">
            <Share name="Compute" value={cost.compute} whole={cost.total} />
            <Share name="Requests" value={cost.requests} whole={cost.total} />
            <Share name="Storage until deleted" value={cost.storage} whole={cost.total} />
          </div>
        </section>
      ) : (
        <p>There is no price: {receipt.price.replace(/^no price: /, "")}.</p>
      )}
      <div class="columns">
        <RequestTable receipt={receipt} />
        <section>
          <h2>Used</h2>
          <dl class="facts">
            <Fact name="Read from tables">{bytes(receipt.bytes_scanned ?? 0)}</Fact>
            <Fact name="Exchanged">{bytes(receipt.shuffle_bytes ?? 0)}</Fact>
            <Fact name="Answer in the store">{bytes(receipt.result_bytes ?? 0)}</Fact>
            <Fact name="Tasks">{count(receipt.tasks)}</Fact>
            <Fact name="Attempts">{count(receipt.attempts ?? receipt.tasks)}</Fact>
            {receipt.functions && (
              <>
                <Fact name="Calls of functions">
                  {count(receipt.functions.calls)}, {count(receipt.functions.cold)} of them cold
                </Fact>
                <Fact name="GB-seconds">{(receipt.functions.mb_ms / 1_024_000).toFixed(2)}</Fact>
              </>
            )}
          </dl>
        </section>
      </div>
      <Slots status={status} />
      {plan && <Compared plan={plan} status={status} receipt={receipt} />}
    </>
  );
}

function Share({ name, value, whole, text }: { name: string; value: number; whole: number; text?: string }) {
  const share = whole > 0 ? value / whole : 0;
  return (
    <div class="share">
      <span>{name}</span>
      <span class="share-bar" aria-hidden="true">
        <span style={{ width: `${share * 100}%` }} />
      </span>
      <span class="right">{text ?? dollars(value)}</span>
      <span class="right quiet">{percent(share)}</span>
    </div>
  );
}

const KINDS: [keyof Requests, string][] = [
  ["put", "PUT"],
  ["list", "LIST"],
  ["get", "GET"],
  ["head", "HEAD"],
  ["delete", "DELETE"],
  ["hedged", "of these, asked twice"],
];

function RequestTable({ receipt }: { receipt: Receipt }) {
  const sides: [string, Requests | undefined][] = [
    ["Workers", receipt.requests],
    ["Came to nothing", receipt.requests_lost],
    ["This gateway", receipt.requests_gateway],
  ];
  const given = sides.filter((side): side is [string, Requests] => side[1] !== undefined);
  return (
    <section>
      <h2>Requests to the store</h2>
      <table class="small">
        <thead>
          <tr>
            <th scope="col">Kind</th>
            {given.map(([name]) => (
              <th scope="col" class="right" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {KINDS.map(([kind, name]) => (
            <tr key={kind}>
              <th scope="row">{name}</th>
              {given.map(([side, requests]) => (
                <td class="right" key={side}>
                  {count(requests[kind])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Slots({ status }: { status: QueryStatus }) {
  const slot = status.summary?.slot;
  if (!slot) return null;
  const whole = slot.compute + slot.wait + slot.claim + slot.commit + slot.idle;
  if (whole === 0) return null;
  const parts: [string, number][] = [
    ["Computing", slot.compute],
    ["Waiting for rows", slot.wait],
    ["Waiting for claims", slot.claim],
    ["Committing", slot.commit],
    ["Without a task", slot.idle],
  ];
  return (
    <section>
      <h2>Time of the workers' slots</h2>
      <div class="bars">
        {parts.map(([name, us]) => (
          <Share key={name} name={name} value={us} whole={whole} text={micros(us)} />
        ))}
      </div>
    </section>
  );
}

/** The estimate is made again: it is not kept with a query. */
function Compared({ plan, status, receipt }: { plan: Plan; status: QueryStatus; receipt: Receipt | undefined }) {
  const [found, setFound] = useState<Explained | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const ask = async () => {
    setAsking(true);
    setError(null);
    const partitions = Number(plan.settings?.["datafusion.execution.target_partitions"]);
    const settings: Record<string, unknown> = { route: status.route ?? "auto" };
    if (status.route === "fleet" && Number.isInteger(partitions) && partitions > 0) settings["target_partitions"] = partitions;
    try {
      setFound(await persist(() => askJson<Explained>("v1/explain", { method: "POST", body: { sql: plan.sql, settings } }), { tries: 3 }));
    } catch (thrown) {
      if (!isAbort(thrown)) setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  return (
    <section>
      <h2>Expected and actual</h2>
      {found === null ? (
        <>
          <p class="quiet">Plans the statement again, and reads listings and footers for it. Nothing runs.</p>
          <button type="button" disabled={isAsking} onClick={() => void ask()}>
            {isAsking ? "Planning…" : "Compare with the estimate"}
          </button>
        </>
      ) : (
        <EstimateTable found={found} receipt={receipt} />
      )}
      {error !== null && <Trouble error={error} again={() => void ask()} />}
    </section>
  );
}

export function EstimateTable({ found, receipt }: { found: Explained; receipt?: Receipt | undefined }) {
  const { estimate } = found;
  const requests = receipt && receipt.requests.put + receipt.requests.get + receipt.requests.list + receipt.requests.head + receipt.requests.delete;
  const span = (low: number, high: number, show: (value: number) => string) => (low === high ? show(low) : `${show(low)} to ${show(high)}`);
  const rows: [string, string, string | undefined][] = [
    ["Bytes read", bytes(estimate.bytes_scanned), receipt && bytes(receipt.bytes_scanned ?? 0)],
    ["Tasks", span(estimate.tasks.low, estimate.tasks.high, count), receipt && count(receipt.tasks)],
    ["Requests", span(estimate.requests.low, estimate.requests.high, count), requests === undefined ? undefined : count(requests)],
    [
      "Cost",
      estimate.cost_usd ? span(estimate.cost_usd.low, estimate.cost_usd.high, dollars) : estimate.price,
      receipt && (receipt.cost_usd ? dollars(receipt.cost_usd.total) : "no price"),
    ],
  ];
  return (
    <table class="small estimate">
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col" class="right">
            Expected
          </th>
          {receipt && (
            <th scope="col" class="right">
              Actual
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, expected, actual]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="right">{expected}</td>
            {receipt && <td class="right">{actual}</td>}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
