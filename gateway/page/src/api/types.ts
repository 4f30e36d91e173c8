// What the gateway sends, as /openapi.json describes it. A field with `?` may be missing: the gateway leaves it out, or is
// of an earlier version.

export type Word = "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";

export const WORDS: Word[] = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];

export const hasEnded = (word: Word): boolean => word !== "PENDING" && word !== "RUNNING";

export interface Progress {
  stages_done: number;
  stages: number;
  tasks_done: number;
  tasks: number;
  bytes_scanned?: number;
  rows?: number;
}

export interface Requests {
  put: number;
  get: number;
  list: number;
  head: number;
  delete: number;
  hedged: number;
}

export interface Dollars {
  total: number;
  compute: number;
  requests: number;
  storage: number;
}

export interface Receipt {
  route: string;
  rows: number | null;
  stages: number;
  tasks: number;
  attempts?: number;
  bytes_scanned?: number;
  shuffle_bytes?: number;
  result_bytes?: number;
  requests: Requests;
  requests_lost?: Requests;
  requests_gateway?: Requests;
  functions?: { calls: number; cold: number; ms: number; mb_ms: number };
  cost_usd: Dollars | null;
  price: string;
  wall_ms: number;
}

export interface Summary {
  rows: number;
  wall_ms: number;
  tasks: number;
  attempts: number;
  slot?: { compute: number; wait: number; claim: number; commit: number; idle: number };
}

export interface QueryError {
  code: string;
  message: string;
  retryable: boolean;
}

export interface QueryStatus {
  query_id: string;
  status: Word;
  phase: string;
  route?: string;
  route_reason?: string;
  progress: Progress;
  submitted_ms: number;
  tags?: Record<string, string>;
  error?: QueryError;
  summary?: Summary;
  receipt?: Receipt;
  cost_usd?: number;
  write?: "committed" | "cancelled";
  links?: Record<string, string>;
}

export interface Brief {
  query_id: string;
  status: Word;
  phase: string;
  submitted_ms: number;
  sql_preview: string;
  route: string;
  tags?: Record<string, string>;
  error_code?: string;
  rows?: number;
  wall_ms?: number;
  progress?: Progress;
  cost_usd?: number;
  owner?: string;
}

export interface Page {
  queries: Brief[];
  next: string | null;
}

export interface Used {
  rows: number;
  bytes: number;
  bytes_scanned: number;
  bytes_exchanged: number;
  bytes_spilled: number;
  peak_memory_bytes: number;
  compute_us: number;
  requests: Requests;
}

export interface Task extends Used {
  task: number;
  attempt: number;
  worker: string;
  partitions: number[];
  wall_us: number;
  /** When the attempt ended, by its worker's clock. */
  ended_ms?: number;
}

/** A task that has been claimed and whose stage is not sealed yet. */
export interface Claimed {
  task: number;
  attempt: number;
  failed: number[];
  committed: boolean;
}

export type StageState = "waiting" | "open" | "running" | "sealed";

export interface Stage {
  stage: number;
  name: string;
  state: StageState;
  partitions: number;
  inputs: number[];
  tasks?: number;
  tasks_done?: number;
  attempts?: number;
  failed?: number;
  decided?: string;
  totals?: Used & { wall_us: { min: number; median: number; max: number } };
  task_list?: Task[];
  claimed?: Claimed[];
}

export interface Profile extends QueryStatus {
  stages: Stage[];
  critical_path: { stage: number; longest_us: number }[];
}

export interface Column {
  name: string;
  type: string;
  nullable: boolean;
}

export interface Plan {
  query_id: string;
  sql: string;
  route: string;
  route_reason?: string;
  columns: Column[];
  stages: { stage: number; name: string; partitions: number; inputs: number[] }[];
  input_files?: number;
  input_bytes?: number;
  settings?: Record<string, string>;
  distributed_plan: string;
}

export interface Range {
  low: number;
  high: number;
}

export interface Estimate {
  bytes_scanned: number;
  tasks: Range;
  requests: Range;
  cost_usd: Range | null;
  price: string;
  stages: number;
}

export interface Explained {
  route: string;
  route_reason: string;
  stages: number;
  scan_bytes: number;
  estimate: Estimate;
  text?: string;
  distributed_plan: string;
  logical_plan: string;
  physical_plan: string;
  stage_graph?: PlannedStage[];
}

export interface PlannedStage {
  stage: number;
  name: string;
  partitions: number;
  files: number;
  scan_bytes: number;
  expected_rows: number | null;
  expected_bytes: number | null;
  reads: { stage: number; whole: boolean }[];
  tasks: { least: number; most: number; because: string | null };
  notes: string[];
  operators: string[];
}

export interface Parts {
  rows: number;
  bytes: number;
  parts: { part: number; row_offset: number; rows: number; bytes: number }[];
}

export interface GatewayStatus {
  version: string;
  engine: string;
  build: string;
  started_ms: number;
  uptime_ms: number;
  route_mode: string;
  limits: Record<string, number | null>;
  counts: Record<string, number>;
}

export interface Fleet {
  gateways: { url: string }[];
  workers: string[];
}

export interface Position {
  line: number;
  column: number;
}
