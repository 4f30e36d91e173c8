// Addresses of the page. They stand behind a #, so that the gateway serves one document for all of them, and no address of
// the API is taken:  #/queries?status=FAILED   #/query/<id>/tasks   #/sql   #/fleet
import { Store } from "./store";

export interface Place {
  view: string;
  path: string[];
  params: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { view: view || "queries", path: rest, params: new URLSearchParams(query) };
}

export const place = new Store<Place>(placeOf(typeof location === "undefined" ? "" : location.hash));

if (typeof window !== "undefined") {
  window.addEventListener("hashchange", () => place.set(placeOf(location.hash)));
}

/** Whether a part of an address is the id of a query. */
export const isId = (text: string | undefined): text is string => text !== undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

export function to(view: string, path: string[] = [], params: Record<string, string> = {}): string {
  const given = Object.entries(params).filter(([, value]) => value !== "");
  const query = new URLSearchParams(given).toString();
  return `#/${[view, ...path].map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

export function go(address: string, isReplaced = false): void {
  if (isReplaced) {
    history.replaceState(null, "", address);
    place.set(placeOf(location.hash));
  } else {
    location.hash = address;
  }
}
