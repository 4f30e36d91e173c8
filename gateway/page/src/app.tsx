// The page: a head with the views, the banner, and the view that the address names.
import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort, key, link, locked, meet, Problem, signOut } from "./api/client";
import { EMPTY, keepDraft } from "./lib/draft";
import { isId, place, to } from "./lib/router";
import { useStore } from "./lib/store";
import { Banner } from "./parts/banner";
import { Trouble } from "./parts/problem";
import { FleetView } from "./views/fleet";
import { QueriesView } from "./views/queries";
import { QueryView } from "./views/query";
import { SignIn } from "./views/signin";
import { SqlView } from "./views/sql";

const VIEWS: [string, string][] = [
  ["queries", "Queries"],
  ["sql", "SQL"],
  ["fleet", "Fleet"],
];

/** Forgets the key and all that was read with it. */
function leave() {
  signOut();
  keepDraft(EMPTY);
  location.reload();
}

export function App() {
  const lock = useStore(locked);
  const line = useStore(link);
  const at = useStore(place);
  const main = useRef<HTMLElement>(null);
  const [met, setMet] = useState<"not yet" | "yes" | { error: unknown }>("not yet");
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (lock.isLocked) return;
    meet().then(
      () => setMet("yes"),
      (error: unknown) => {
        if (isAbort(error) || (error instanceof Problem && error.status === 401)) return;
        setMet({ error });
      },
    );
  }, [lock.isLocked, round]);
  useEffect(() => {
    // Somebody answers now.
    const isBack = line.state === "again" || line.state === "another";
    if (isBack && typeof met === "object") setRound((now) => now + 1);
  }, [line.state]);
  const view = at.view === "query" ? `query ${at.path[0] ?? ""}` : at.view;
  const isFirst = useRef(true);
  useEffect(() => {
    // Who reads with a screen reader, or with the keyboard, goes on in the new view.
    if (isFirst.current) isFirst.current = false;
    else main.current?.focus();
  }, [view]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <a class="name" href={to("queries")}>
          <Bird />
          Dunlin
        </a>
        <nav aria-label="Views">
          {(lock.isLocked ? [] : VIEWS).map(([id, name]) => {
            const isHere = at.view === id || (id === "queries" && at.view === "query");
            return (
              <a key={id} href={to(id)} aria-current={isHere ? "page" : undefined}>
                {name}
              </a>
            );
          })}
        </nav>
        {key() !== null && !lock.isLocked && (
          <button type="button" class="plain" onClick={leave}>
            Sign out
          </button>
        )}
      </header>
      <Banner />
      <main id="main" ref={main} tabIndex={-1}>
        {lock.isLocked ? (
          <SignIn why={lock.why} />
        ) : met === "not yet" ? (
          <p class="quiet">Asking the gateway…</p>
        ) : met === "yes" ? (
          <View />
        ) : (
          <Trouble error={met.error} again={() => (setMet("not yet"), setRound(round + 1))} />
        )}
      </main>
    </>
  );
}

function View() {
  const at = useStore(place);
  switch (at.view) {
    case "queries":
      return <QueriesView params={at.params} />;
    case "query":
      // An address comes from anywhere. What is no id does not become part of a request.
      return isId(at.path[0]) ? <QueryView key={at.path[0]} id={at.path[0]} tab={at.path[1] ?? ""} /> : <Nothing />;
    case "sql":
      return <SqlView />;
    case "fleet":
      return <FleetView />;
    default:
      return <Nothing />;
  }
}

function Nothing() {
  return (
    <>
      <h1>There is no such view</h1>
      <p>
        <a href={to("queries")}>All queries</a>
      </p>
    </>
  );
}

function Bird() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <path d="M5 20c5 0 8-9 15-9 4 0 6 2 6 5l-4 1c-1 6-6 8-10 8-4 0-6-1-7-5z" fill="currentColor" />
    </svg>
  );
}
