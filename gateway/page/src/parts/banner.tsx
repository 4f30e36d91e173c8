import { link } from "../api/client";
import { clock } from "../lib/format";
import { useStore } from "../lib/store";

/** Says that nobody answers, and later who does. */
export function Banner() {
  const now = useStore(link);
  const text =
    now.state === "lost"
      ? `No gateway has answered since ${clock(now.lostAt ?? Date.now())}. Queries go on without it; the page tries again.`
      : now.state === "another"
        ? `The connection to the gateway broke off. Another gateway answers now${now.startedMs ? `, started ${clock(now.startedMs)}` : ""}. No query is lost.`
        : now.state === "again"
          ? "The gateway answers again. No query is lost."
          : null;
  return (
    <div role="status" aria-live="polite" class="banners">
      {text !== null && (
        <div class={`banner banner-${now.state}`}>
          <p>{text}</p>
          {now.state !== "lost" && (
            <button type="button" onClick={() => link.set({ ...link.get(), state: "there" })}>
              Dismiss
            </button>
          )}
        </div>
      )}
    </div>
  );
}
