// The text of a plan, stage by stage, as EXPLAIN writes it:
//
//   stage 2: aggregate, join, scan lineitem; 4 tasks; 4 partitions
//     scan lineitem (8 files, …) where …; inner join …; aggregate …      steps
//     about 1,459 rows out, by hash of …: stage 3 aggregates them        what leaves it
//     no tasks if stage 1 has no rows                                    notes
//       RepartitionExec: …                                               operators, deeper by two spaces
//         AggregateExec: …

export interface Operator {
  name: string;
  detail: string;
  inputs: Operator[];
}

export interface StageText {
  stage: number;
  name: string;
  /** What follows the name: tasks, partitions. */
  size: string;
  lines: string[];
  operators: Operator[];
}

export function readPlan(text: string): StageText[] {
  const stages: StageText[] = [];
  let operators: string[] = [];
  const close = () => {
    const last = stages.at(-1);
    if (last) last.operators = tree(operators);
    operators = [];
  };
  for (const line of text.split("\n")) {
    const head = /^stage (\d+): ([^;]*)(?:; (.*))?$/.exec(line);
    if (head) {
      close();
      stages.push({ stage: Number(head[1]), name: head[2] ?? "", size: head[3] ?? "", lines: [], operators: [] });
    } else if (line.startsWith("    ")) {
      if (line.trim() !== "") operators.push(line.slice(4));
    } else if (line.startsWith("  ") && line.trim() !== "") {
      stages.at(-1)?.lines.push(line.trim());
    }
  }
  close();
  return stages;
}

/** Lines with two spaces for each level. */
export function tree(lines: string[]): Operator[] {
  const roots: Operator[] = [];
  const open: Operator[] = [];
  for (const line of lines) {
    const depth = Math.floor((line.length - line.trimStart().length) / 2);
    const [name = "", ...rest] = line.trim().split(": ");
    const operator = { name, detail: rest.join(": "), inputs: [] };
    open.length = Math.min(open.length, depth);
    const above = open.at(-1);
    (above ? above.inputs : roots).push(operator);
    open.push(operator);
  }
  return roots;
}

/** The steps of a stage: cut at semicolons, but not inside of parentheses or texts. */
export function splitSteps(line: string): string[] {
  const steps: string[] = [];
  let [depth, from, isText] = [0, 0, false];
  for (let at = 0; at < line.length; at += 1) {
    const letter = line[at];
    if (letter === "'") isText = !isText;
    else if (isText) continue;
    else if (letter === "(" || letter === "[") depth += 1;
    else if (letter === ")" || letter === "]") depth = Math.max(0, depth - 1);
    else if (letter === ";" && depth === 0 && line[at + 1] === " ") {
      steps.push(line.slice(from, at));
      from = at + 2;
    }
  }
  return [...steps, line.slice(from)];
}
