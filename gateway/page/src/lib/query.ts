// A query as it is now: its status, its stages, its plan.
import { useCallback, useEffect, useState } from "preact/hooks";
import { askJson, isAbort, persist } from "../api/client";
import { follow } from "../api/follow";
import { hasEnded, type Plan, type QueryStatus, type Stage } from "../api/types";

/** While a query runs, its stages are asked for at most so often. */
const STAGES_MS = 1_000;

export interface Followed {
  status: QueryStatus | null;
  stages: Stage[] | null;
  error: unknown;
  again(): void;
}

/** A query as it is now, until it has ended. */
export function useQuery(id: string): Followed {
  const [status, setStatus] = useState<QueryStatus | null>(null);
  const [stages, setStages] = useState<Stage[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!id) return undefined;
    const stop = new AbortController();
    const { signal } = stop;
    setError(null);
    let isLooking = false;
    let isStale = false;
    // Looks at status and stages; news that come meanwhile cause one more look.
    const look = async (ended: QueryStatus | null = null): Promise<void> => {
      if (ended) setStatus(ended);
      isStale = true;
      if (isLooking) return;
      isLooking = true;
      try {
        while (isStale && !signal.aborted) {
          isStale = false;
          const [now, all] = await Promise.all([
            persist(() => askJson<QueryStatus>(`v1/queries/${id}`, { signal }), { signal }),
            persist(() => askJson<{ stages: Stage[] }>(`v1/queries/${id}/stages`, { signal }), { signal }),
          ]);
          setStatus((before) => (before && hasEnded(before.status) && !hasEnded(now.status) ? before : now));
          setStages(all.stages);
          setError(null);
          if (!hasEnded(now.status)) await new Promise((resolve) => setTimeout(resolve, STAGES_MS));
        }
      } catch (thrown) {
        if (!isAbort(thrown) && !signal.aborted) setError(thrown);
      } finally {
        isLooking = false;
      }
    };
    const run = async () => {
      try {
        const first = await persist(() => askJson<QueryStatus>(`v1/queries/${id}`, { signal }), { signal });
        setStatus(first);
        void look();
        if (hasEnded(first.status)) return;
        await follow(id, { signal, onNews: (news) => void look(news.status ?? null) });
        void look();
      } catch (thrown) {
        if (!isAbort(thrown) && !signal.aborted) setError(thrown);
      }
    };
    void run();
    return () => stop.abort();
  }, [id, round]);
  const again = useCallback(() => setRound((now) => now + 1), []);
  return { status, stages, error, again };
}

/** A time that grows while something runs. */
export function useNow(isRunning: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}

export function usePlan(id: string): { plan: Plan | null; error: unknown; again(): void } {
  const [plan, setPlan] = useState<Plan | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    persist(() => askJson<Plan>(`v1/queries/${id}/plan`, { signal: stop.signal }), { signal: stop.signal }).then(setPlan, (thrown: unknown) => {
      if (!isAbort(thrown)) setError(thrown);
    });
    return () => stop.abort();
  }, [id, round]);
  return { plan, error, again: () => setRound(round + 1) };
}
