//! The shapes of what is sent. A test of the API compares real answers with them.

use dunlin_manifest::records::ErrorCode;
use serde_json::{Value, json};

use crate::options::{MAX_BODY_BYTES, MAX_SQL_BYTES};
use crate::query::asked::{LONGEST_NAME, LONGEST_VALUE, MOST_TAGS};
use crate::query::statement::MAX_PARAMETERS;
use crate::query::status::Status;

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn list(name: &str) -> Value {
    json!({ "type": "array", "items": of(name) })
}

/// All of them.
pub(super) fn schemas() -> Value {
    let mut all = json!({});
    for part in [requests(), news(), statuses(), progress(), answers(), gateway()] {
        if let (Value::Object(all), Value::Object(part)) = (&mut all, part) {
            all.extend(part);
        }
    }
    all
}

fn requests() -> Value {
    let wait = json!({
        "type": ["string", "integer", "null"],
        "minimum": 0,
        "maximum": 600,
        "examples": ["5s"],
        "description": "How long to wait: `0s`, `500ms`, `2m`, or a number of seconds."
    });
    json!({
        "Statement": {
            "type": "object",
            "required": ["sql"],
            "additionalProperties": false,
            "properties": {
                "sql": { "type": "string", "minLength": 1, "maxLength": MAX_SQL_BYTES, "examples": ["select 1 as n"] },
                "parameters": {
                    "type": ["array", "null"],
                    "maxItems": MAX_PARAMETERS,
                    "items": { "type": ["null", "boolean", "number", "string"] },
                    "description": "Values of $1, $2, …"
                },
                "settings": {
                    "type": ["object", "null"],
                    "additionalProperties": false,
                    "properties": {
                        "route": { "enum": ["auto", "inline", "fleet", null] },
                        "pool": { "type": ["string", "null"], "minLength": 1, "maxLength": 64 },
                        "target_partitions": { "type": ["integer", "null"], "minimum": 1, "maximum": 4096 },
                        "task_bytes": { "type": ["integer", "null"], "minimum": 0 }
                    }
                },
                "limits": {
                    "type": ["object", "null"],
                    "additionalProperties": false,
                    "properties": {
                        "max_bytes_scanned": { "type": ["integer", "null"], "minimum": 1 },
                        "max_cost_usd": { "type": ["number", "null"], "exclusiveMinimum": 0 }
                    },
                    "description": "The most that the query may use."
                },
                "wait_timeout": wait,
                "wait": { "type": ["string", "integer", "null"], "minimum": 0, "maximum": 600, "description": "The same as wait_timeout; give one of them." },
                "on_wait_timeout": { "enum": ["continue", "cancel", "CONTINUE", "CANCEL", null] },
                "row_limit": { "type": ["integer", "null"], "minimum": 0, "description": "Rows of the answer, at most." },
                "byte_limit": { "type": ["integer", "null"], "minimum": 0, "description": "Bytes of the answer's rows in memory, at most." },
                "tags": {
                    "type": ["object", "null"],
                    "maxProperties": MOST_TAGS,
                    "propertyNames": { "pattern": "^[A-Za-z0-9_./-]+$", "minLength": 1, "maxLength": LONGEST_NAME },
                    "additionalProperties": { "type": "string", "maxLength": LONGEST_VALUE },
                    "description": "Words by which people find the query."
                },
                "dry_run": { "type": ["boolean", "null"], "description": "Plan the statement, and run nothing." }
            },
            "description": format!("At most {MAX_BODY_BYTES} bytes.")
        }
    })
}

fn news() -> Value {
    json!({
        "News": {
            "type": "object",
            "required": ["news"],
            "additionalProperties": false,
            "properties": { "news": { "type": "array", "maxItems": 64, "items": of("OneNews") } }
        },
        "OneNews": {
            "type": "object",
            "required": ["query"],
            "additionalProperties": false,
            "properties": {
                "query": { "type": "string", "format": "uuid" },
                "ended": { "type": "boolean" },
                "open": { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": u32::MAX } },
                "running": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                "build": text()
            }
        },
        "Heard": object(&["at", "news"], json!({
            "at": count(),
            "news": list("OneNews"),
            "place": object(&["index", "of"], json!({ "index": count(), "of": count() }))
        }))
    })
}

fn statuses() -> Value {
    let words = Status::ALL.map(Status::as_str);
    json!({
        "Status": { "enum": words },
        "Tags": { "type": "object", "additionalProperties": { "type": "string" } },
        "Progress": object(&["stages_done", "stages", "tasks_done", "tasks"], json!({
            "stages_done": count(), "stages": count(), "tasks_done": count(), "tasks": count(),
            "bytes_scanned": count(), "rows": count()
        })),
        "Requests": object(&["put", "get", "list", "head", "delete", "hedged"], json!({
            "put": count(), "get": count(), "list": count(), "head": count(), "delete": count(), "hedged": count()
        })),
        "ErrorCode": { "enum": ErrorCode::KNOWN.iter().map(ErrorCode::as_str).collect::<Vec<_>>() },
        "QueryError": object(&["code", "message", "retryable"], json!({
            "code": text(), "message": text(), "retryable": { "type": "boolean" }
        })),
        "Problem": object(&["type", "title", "status", "detail", "code", "retryable"], json!({
            "type": { "type": "string", "description": "Where the gateway explains the code." },
            "title": text(),
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What was wrong, where, and what to do." },
            "code": of("ErrorCode"),
            "retryable": { "type": "boolean" },
            "query_id": text(),
            "position": object(&["line", "column"], json!({ "line": count(), "column": count() }))
        })),
        "QueryStatus": object(&["query_id", "status", "phase", "progress", "submitted_ms"], json!({
            "query_id": { "type": "string", "format": "uuid" },
            "status": of("Status"),
            "phase": text(),
            "route": of("Route"),
            "route_reason": text(),
            "pool": text(),
            "progress": of("Progress"),
            "submitted_ms": count(),
            "tags": of("Tags"),
            "error": of("QueryError"),
            "summary": { "type": "object" },
            "receipt": of("Receipt"),
            "cost_usd": { "type": "number", "description": "What it has cost so far, while it runs." },
            "write": { "enum": ["committed", "cancelled"] },
            "links": { "type": "object", "additionalProperties": { "type": "string" } }
        })),
        "Route": { "enum": ["inline", "fleet"] },
        "Receipt": object(&["route", "rows", "stages", "tasks", "requests", "cost_usd", "price", "wall_ms"], json!({
            "route": of("Route"),
            "rows": { "type": ["integer", "null"] },
            "stages": count(), "tasks": count(), "attempts": count(),
            "bytes_scanned": count(), "shuffle_bytes": count(), "result_bytes": count(),
            "requests": of("Requests"), "requests_gateway": of("Requests"),
            "cost_usd": { "type": ["object", "null"] },
            "price": text(), "wall_ms": count()
        })),
        "Brief": object(&["query_id", "status", "phase", "submitted_ms", "sql_preview", "route"], json!({
            "query_id": { "type": "string", "format": "uuid" },
            "status": of("Status"), "phase": text(), "submitted_ms": count(), "sql_preview": text(),
            "route": of("Route"), "tags": of("Tags"), "error_code": text(),
            "rows": count(), "wall_ms": count(), "progress": of("Progress"),
            "cost_usd": { "type": "number", "description": "What its workers cost, once it has ended." },
            "owner": { "type": "string", "description": "Digits that stand for the key that submitted it." }
        })),
        "SubmitAnswer": { "anyOf": [of("QueryStatus"), of("Estimate")] },
        "Page": object(&["queries", "next"], json!({
            "queries": list("Brief"),
            "next": { "type": ["string", "null"], "description": "The cursor of the next page; null after the last one." }
        }))
    })
}

fn progress() -> Value {
    let used = json!({
        "rows": count(), "bytes": count(), "bytes_scanned": count(), "bytes_exchanged": count(),
        "bytes_spilled": count(), "peak_memory_bytes": count(), "compute_us": count(), "requests": of("Requests")
    });
    let mut totals = used.clone();
    totals["wall_us"] = object(
        &["min", "median", "max"],
        json!({ "min": count(), "median": count(), "max": count() }),
    );
    let mut task = used;
    for (name, schema) in [
        ("task", count()),
        ("attempt", count()),
        ("worker", text()),
        ("partitions", json!({ "type": "array", "items": count() })),
        ("wall_us", count()),
        ("ended_ms", count()),
    ] {
        task[name] = schema;
    }
    let stage = json!({
        "stage": count(), "name": text(),
        "state": { "enum": ["waiting", "open", "running", "sealed"] },
        "partitions": count(), "inputs": { "type": "array", "items": count() },
        "tasks": count(), "tasks_done": count(), "attempts": count(), "failed": count(),
        "decided": text(), "totals": object(&["rows", "bytes"], totals), "task_list": list("Task"), "claimed": list("Claimed")
    });
    json!({
        "Claimed": object(&["task", "attempt", "failed", "committed"], json!({
            "task": count(), "attempt": count(), "failed": { "type": "array", "items": count() },
            "committed": { "type": "boolean" }
        })),
        "Task": object(&["task", "attempt", "worker"], task),
        "Stage": object(&["stage", "name", "state", "partitions", "inputs"], stage),
        "Stages": object(&["query_id", "status", "stages"], json!({
            "query_id": { "type": "string", "format": "uuid" }, "status": of("Status"), "stages": list("Stage")
        })),
        "Profile": {
            "allOf": [of("QueryStatus"), object(&["stages", "critical_path"], json!({
                "stages": list("Stage"),
                "critical_path": { "type": "array", "items": object(&["stage", "longest_us"], json!({ "stage": count(), "longest_us": count() })) }
            }))]
        },
        "Plan": object(&["query_id", "sql", "route", "columns", "stages", "distributed_plan"], json!({
            "query_id": { "type": "string", "format": "uuid" },
            "sql": text(), "route": of("Route"), "route_reason": text(),
            "columns": list("Column"),
            "stages": { "type": "array", "items": object(&["stage", "name", "partitions", "inputs"], json!({
                "stage": count(), "name": text(), "partitions": count(), "inputs": { "type": "array", "items": count() }
            })) },
            "input_files": count(), "input_bytes": count(),
            "settings": { "type": "object", "additionalProperties": { "type": "string" } },
            "distributed_plan": text()
        }))
    })
}

fn answers() -> Value {
    json!({
        "SqlAnswer": { "anyOf": [of("Rows"), of("Estimate")], "description": "Rows; with `dry_run` the plan." },
        "Event": object(&["event", "id", "data"], json!({
            "event": { "enum": ["state", "progress", "stage", "end"] },
            "id": { "type": "string", "description": "Sent back in Last-Event-ID." },
            "data": { "type": "string", "description": "JSON." }
        })),
        "Rows": { "type": "array", "items": { "type": "object" }, "description": "One object for each row; its fields in the order of the query." },
        "Estimate": object(&["route", "route_reason", "stages", "scan_bytes", "estimate", "logical_plan", "physical_plan", "distributed_plan"], json!({
            "route": of("Route"), "route_reason": text(), "stages": count(), "scan_bytes": count(),
            "estimate": { "type": "object" },
            "logical_plan": text(), "physical_plan": text(), "distributed_plan": text()
        })),
        "Parts": object(&["rows", "bytes", "parts"], json!({
            "rows": count(), "bytes": count(),
            "parts": { "type": "array", "minItems": 1, "items": object(&["part", "row_offset", "rows", "bytes"], json!({
                "part": count(), "row_offset": count(), "rows": count(), "bytes": count()
            })) }
        })),
        "Links": object(&["schema", "rows", "bytes", "expires_in_s", "parts"], json!({
            "schema": { "type": "string", "description": "The Arrow schema as an IPC stream, in base64." },
            "rows": count(), "bytes": count(), "expires_in_s": count(),
            "parts": { "type": "array", "items": object(&["rows", "bytes"], json!({
                "rows": count(), "bytes": count(), "url": text(), "offset": count(), "inline": text()
            })) }
        }))
    })
}

fn gateway() -> Value {
    let figure = |value: Value| {
        object(&["value", "exact"], json!({ "value": value, "exact": { "type": "boolean" } }))
    };
    json!({
        "Word": object(&["status"], json!({ "status": text() })),
        "TableName": object(&["name", "format"], json!({ "name": text(), "format": text() })),
        "Tables": object(&["tables"], json!({ "tables": list("TableName") })),
        "Column": object(&["name", "type", "nullable"], json!({
            "name": text(), "type": text(), "nullable": { "type": "boolean" },
            "nulls": figure(count()), "distinct": figure(count()), "min": figure(text()), "max": figure(text())
        })),
        "Table": object(&["name", "format", "columns", "scan_bytes"], json!({
            "name": text(), "format": text(), "columns": list("Column"), "scan_bytes": count(), "rows": figure(count())
        })),
        "Gateway": object(&["version", "engine", "build", "started_ms", "uptime_ms", "route_mode", "limits", "counts"], json!({
            "version": text(), "engine": text(), "build": text(), "started_ms": count(), "uptime_ms": count(),
            "route_mode": { "enum": ["auto", "inline", "fleet"] },
            "limits": { "type": "object", "additionalProperties": { "type": ["number", "null"] } },
            "counts": { "type": "object", "additionalProperties": { "type": "integer" } }
        })),
        "Fleet": object(&["gateways", "workers"], json!({
            "gateways": { "type": "array", "items": object(&["url"], json!({ "url": text() })) },
            "workers": { "type": "array", "items": text() }
        })),
        "Document": { "type": "object", "required": ["openapi", "paths"] }
    })
}
