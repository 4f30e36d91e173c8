// Server-sent events over fetch: `EventSource` sends no Authorization header.

export interface ServerEvent {
  event: string;
  data: string;
  id: string | undefined;
}

/** Cuts text into events, as it comes. Comments and unknown fields are left out. */
export class EventCutter {
  private rest = "";
  private event = "message";
  private data: string[] = [];
  private id: string | undefined;

  push(text: string): ServerEvent[] {
    this.rest += text;
    const found: ServerEvent[] = [];
    for (;;) {
      const end = this.rest.search(/\r\n|\n|\r(?!$)/);
      if (end < 0) return found;
      const line = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + (this.rest.startsWith("\r\n", end) ? 2 : 1));
      const event = this.line(line);
      if (event) found.push(event);
    }
  }

  private line(line: string): ServerEvent | undefined {
    if (line === "") {
      const event = { event: this.event, data: this.data.join("\n"), id: this.id };
      const isEvent = this.data.length > 0;
      this.event = "message";
      this.data = [];
      return isEvent ? event : undefined;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.event = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
    return undefined;
  }
}
