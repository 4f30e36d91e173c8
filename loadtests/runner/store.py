"""A MinIO of the run's own (scripts/minio), and the few S3 requests that the runner makes itself."""

import datetime
import hashlib
import hmac
import http.client
import os
import re
import subprocess
import threading
import urllib.parse
import urllib.request
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor

from .tools import ROOT, Failure

REGION = "us-east-1"
UPLOADS_AT_ONCE = 4
COUNTER = re.compile(r'^minio_api_requests_total\{name="(\w+)",[^}]*type="s3"\} ([0-9.e+]+)$', re.M)
# List prices of S3 Standard in us-east-1, dollars a request. Deletes are free.
DOLLARS = {"get": 0.4e-6, "write": 5e-6, "free": 0.0}
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def price(name):
    """Dollars of one request of an API of S3."""
    if name.startswith(("Get", "Head", "Select")):
        return DOLLARS["get"]
    return DOLLARS["free"] if name.startswith(("Delete", "Abort")) else DOLLARS["write"]


class Store:
    """The server; `stop` deletes its data."""

    def __init__(self, run_file):
        self.run_file = run_file
        self.pid = None
        self.environment = {}

    def _script(self, verb):
        # It listens on loopback only, and its counters hold no secret.
        environment = dict(os.environ, DUNLIN_MINIO_RUN=self.run_file, MINIO_PROMETHEUS_AUTH_TYPE="public")
        return subprocess.run(
            [os.path.join(ROOT, "scripts", "minio"), verb], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )

    def start(self):
        started = self._script("start")
        if started.returncode != 0:
            raise Failure("MinIO did not start; the lines above say why")
        found = dict(re.findall(r"^export DUNLIN_TEST_S3_(\w+)=(.*)$", started.stdout, re.M))
        self.bucket = found["BUCKET"]
        self.endpoint = found["ENDPOINT"]
        self.key, self.secret = found["KEY"], found["SECRET"]
        with open(self.run_file, encoding="utf-8") as file:
            self.pid = int(re.search(r"^pid=(\d+)$", file.read(), re.M).group(1))
        # For gateways and workers; the secret is in no file and on no command line.
        self.environment = {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": REGION,
        }

    def stop(self):
        if os.path.exists(self.run_file):
            self._script("stop")
        self.pid = None

    # --- requests ---------------------------------------------------------------------------------------

    def _request(self, method, key, query="", body=b""):
        host = urllib.parse.urlsplit(self.endpoint).netloc
        path = "/" + urllib.parse.quote(f"{self.bucket}/{key}" if key else self.bucket)
        headers = self._signed(method, host, path, query, hashlib.sha256(body).hexdigest())
        connection = http.client.HTTPConnection(host, timeout=120)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise Failure(f"the store answers {response.status} to {method} {path}: {answer[:300]!r}")
        return answer

    def _signed(self, method, host, path, query, digest):
        """Headers of AWS Signature Version 4."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        day = now[:8]
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = "\n".join([method, path, query, lines, names, digest])
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def requests(self):
        """Requests that the server has counted since its start, by the API's name: the whole truth, also of what no
        receipt counts (planning, polling, idle workers)."""
        with urllib.request.urlopen(f"{self.endpoint}/minio/metrics/v3/api/requests", timeout=10) as response:
            text = response.read().decode()
        return {name: int(float(count)) for name, count in COUNTER.findall(text)}

    def upload(self, folder, prefix):
        """Puts all files below `folder` under `prefix`; returns their bytes."""
        files = []
        for where, _, names in os.walk(folder):
            files += [os.path.join(where, name) for name in names if name.endswith(".parquet")]
        if not files:
            raise Failure(f"{folder} holds no Parquet file; delete it and run this again")
        total = 0
        lock = threading.Lock()

        def put(path):
            nonlocal total
            with open(path, "rb") as file:
                content = file.read()
            self._request("PUT", f"{prefix}/{os.path.relpath(path, folder)}", body=content)
            with lock:
                total += len(content)

        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            list(pool.map(put, sorted(files)))
        return total

    def keys(self, prefix):
        """The keys below a prefix, with their sizes."""
        after = None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if after:
                query["continuation-token"] = after
            text = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote, safe="-_.~")
            page = xml.etree.ElementTree.fromstring(self._request("GET", "", text))
            for entry in page.iter(f"{NAMESPACE}Contents"):
                yield entry.findtext(f"{NAMESPACE}Key"), int(entry.findtext(f"{NAMESPACE}Size"))
            after = page.findtext(f"{NAMESPACE}NextContinuationToken")
            if not after:
                return
