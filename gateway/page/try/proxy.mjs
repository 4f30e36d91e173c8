// What stands before two gateways: it sends requests to the first one that takes connections. Of the requests that a dying
// gateway had, those with headers break off, and the others get 502, as with any load balancer.
//
// With `dist` it serves the page itself, for a gateway that has another one built in: only for work on the page.
import { createServer, request } from "node:http";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const KINDS = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".md": "text/markdown; charset=utf-8" };

export class Proxy {
  constructor(urls, dist) {
    this.urls = [...urls];
    this.dist = dist;
    this.seen = [];
    this.server = createServer((asked, answer) => this.pass(asked, answer));
  }

  async open() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  pass(asked, answer) {
    const path = asked.url.split("?")[0];
    const lastEvent = asked.headers["last-event-id"];
    this.seen.push(`${asked.method} ${asked.url}${lastEvent === undefined ? "" : ` after ${lastEvent}`}`);
    if (this.dist && (path === "/" || path.startsWith("/assets/"))) return this.own(path, answer);
    const target = this.urls[0];
    const onward = request(new URL(asked.url, target), { method: asked.method, headers: asked.headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
      got.on("error", () => answer.destroy());
      got.on("aborted", () => answer.destroy());
    });
    let isLeft = false;
    onward.on("error", () => {
      // The browser went away, and not the gateway.
      if (isLeft) return;
      if (this.urls[0] === target && this.urls.length > 1) this.urls.push(this.urls.shift());
      if (answer.headersSent) return answer.destroy();
      answer.writeHead(502, { "content-type": "text/html" });
      answer.end("<h1>502 Bad Gateway</h1>");
    });
    answer.on("close", () => {
      isLeft = true;
      onward.destroy();
    });
    asked.pipe(onward);
  }

  own(path, answer) {
    const name = path === "/" ? "index.html" : path.slice(1);
    let bytes;
    try {
      bytes = readFileSync(join(this.dist, name));
    } catch {
      answer.writeHead(404);
      return answer.end();
    }
    answer.writeHead(200, {
      "content-type": KINDS[extname(name)] ?? "application/octet-stream",
      "content-encoding": "gzip",
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}-gzip"`,
    });
    return answer.end(gzipSync(bytes, { level: 9 }));
  }
}
