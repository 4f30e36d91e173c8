import { go } from "../lib/router";

export interface Tab {
  id: string;
  name: string;
  address: string;
}

/** Tabs as WAI-ARIA describes them: one stop for Tab, arrows move between them. */
export function Tabs({ tabs, at, label }: { tabs: Tab[]; at: string; label: string }) {
  const move = (event: KeyboardEvent) => {
    const now = tabs.findIndex((tab) => tab.id === at);
    const next =
      event.key === "ArrowRight" ? (now + 1) % tabs.length
      : event.key === "ArrowLeft" ? (now - 1 + tabs.length) % tabs.length
      : event.key === "Home" ? 0
      : event.key === "End" ? tabs.length - 1
      : -1;
    const tab = tabs[next];
    if (!tab) return;
    event.preventDefault();
    go(tab.address, true);
    document.getElementById(`tab-${tab.id}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
      {tabs.map((tab) => (
        <button
          key={tab.id}
          type="button"
          role="tab"
          id={`tab-${tab.id}`}
          aria-selected={tab.id === at}
          aria-controls={tab.id === at ? `panel-${tab.id}` : undefined}
          tabIndex={tab.id === at ? 0 : -1}
          onClick={() => go(tab.address, true)}
        >
          {tab.name}
        </button>
      ))}
    </div>
  );
}

export function Panel({ id, children }: { id: string; children: preact.ComponentChildren }) {
  return (
    <div class="panel" role="tabpanel" id={`panel-${id}`} aria-labelledby={`tab-${id}`}>
      {children}
    </div>
  );
}
