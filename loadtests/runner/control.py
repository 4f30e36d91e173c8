"""The control server: the scenarios ask it to stop and start processes, so that faults happen when the load is there."""

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .tools import Failure


class Control:
    """Listens on loopback while k6 runs."""

    def __init__(self, stack, store):
        self.stack, self.store = stack, store
        self.began = time.monotonic()
        self.faults = []
        self.notes = {}
        control = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                control.answer(self)

            def do_POST(self):
                control.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler):
        split = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        action = {
            ("GET", "/processes"): self.processes,
            ("GET", "/objects"): self.objects,
            ("GET", "/busy"): self.busy,
            ("GET", "/requests"): self.requests,
            ("POST", "/stop"): self.stop,
            ("POST", "/start"): self.start,
            ("POST", "/note"): self.note,
        }.get((handler.command, split.path))
        try:
            if action is None:
                raise Failure(f"there is no {handler.command} {split.path}")
            status, body = 200, action(query)
        except (Failure, KeyError, ValueError) as failure:
            status, body = 400, {"error": str(failure)}
        content = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    # --- actions --------------------------------------------------------------------------------------

    def processes(self, _):
        def figures(group):
            return [dict(process.figures() or {}, index=process.index, alive=process.alive()) for process in group]

        return {"gateways": figures(self.stack.gateways), "workers": figures(self.stack.workers)}

    def objects(self, query):
        """How many objects lie below a prefix of the state, and their bytes; `suffix` counts only some of them."""
        sizes = [size for key, size in self.store.keys(f"state/{query['prefix']}") if key.endswith(query.get("suffix", ""))]
        return {"count": len(sizes), "bytes": sum(sizes)}

    def requests(self, query):
        """Requests a second at the store, by API, measured over some seconds."""
        seconds = float(query["seconds"])
        before = self.store.requests()
        time.sleep(seconds)
        after = self.store.requests()
        return {name: (count - before.get(name, 0)) / seconds for name, count in after.items() if count > before.get(name, 0)}

    def busy(self, query):
        return {"cores": self.stack.busy(query["role"], float(query["seconds"]))}

    def stop(self, query):
        process = self.stack.find(query["role"], int(query["index"]))
        began = time.monotonic()
        process.stop(query["how"])
        took = time.monotonic() - began
        self.record("killed" if query["how"] == "kill" else "stopped", process, took)
        return {"seconds": took}

    def start(self, query):
        role, index = query["role"], int(query["index"])
        began = time.monotonic()
        self.stack.start(role, index)
        took = time.monotonic() - began
        self.record("started", self.stack.find(role, index), took)
        return {"seconds": took}

    def note(self, query):
        self.notes[query["name"]] = query["value"]
        return {}

    def record(self, what, process, took):
        at = time.monotonic() - self.began
        self.faults.append({"at_s": round(at, 1), "what": what, "process": str(process), "took_s": round(took, 2)})
