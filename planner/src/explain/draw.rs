//! The stages as drawings: a box for each stage, an arrow for each exchange, the answer at the top.

use std::fmt::Write as _;

use dunlin_plan::words::count;

use super::operators::cut;
use super::text::{expected, tasks};
use super::{Explained, StageView};

/// The longest line of a box.
const WIDEST: usize = 60;

/// The lines of a stage's box.
fn label(stage: &StageView) -> Vec<String> {
    let mut lines = vec![format!("stage {}: {}", stage.stage, stage.name)];
    lines.extend(stage.steps.iter().map(|step| cut(&step.to_string(), WIDEST)));
    lines.push(tasks(stage));
    lines
}

/// The lines of the arrows from a stage.
fn arrow(stage: &StageView) -> Vec<String> {
    let rows = expected(stage);
    let how = match stage.output.buckets {
        Some(buckets) => {
            let keys = cut(&stage.output.keys.join(", "), WIDEST);
            format!("hash of {keys}, {}", count(buckets, "bucket"))
        }
        None => "partition by partition".to_owned(),
    };
    match rows.as_str() {
        "rows" => vec![how],
        _ => vec![how, rows],
    }
}

/// How a stage reads another one.
fn whole(reader: &StageView, producer: u32) -> bool {
    reader.reads.iter().any(|read| read.stage == producer && read.whole)
}

/// As a digraph in Graphviz's language.
pub(super) fn graphviz(explained: &Explained) -> String {
    let quoted = |lines: &[String]| {
        let escaped: Vec<String> =
            lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect();
        escaped.join("\\n")
    };
    let mut text = String::from(
        "digraph query {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n",
    );
    for stage in &explained.stages {
        let _ = writeln!(text, "  s{} [label=\"{}\"];", stage.stage, quoted(&label(stage)));
    }
    let _ = writeln!(
        text,
        "  answer [shape=ellipse, label=\"answer\\n{}\"];",
        explained.route.as_str()
    );
    for stage in &explained.stages {
        for to in &stage.output.to {
            let reader = explained.stages.iter().find(|other| other.stage == *to);
            let bold = if reader.is_some_and(|reader| whole(reader, stage.stage)) {
                ", style=bold"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "  s{} -> s{to} [label=\"{}\"{bold}];",
                stage.stage,
                quoted(&arrow(stage))
            );
        }
        if stage.output.how == "answer" {
            let _ = writeln!(text, "  s{} -> answer;", stage.stage);
        }
    }
    text.push_str("}\n");
    text
}

/// As a flowchart in Mermaid's language.
pub(super) fn mermaid(explained: &Explained) -> String {
    let quoted = |lines: &[String]| {
        let escaped: Vec<String> = lines
            .iter()
            .map(|line| {
                line.replace('#', "#35;")
                    .replace('&', "#amp;")
                    .replace('"', "#quot;")
                    .replace('<', "#lt;")
                    .replace('>', "#gt;")
            })
            .collect();
        escaped.join("<br/>")
    };
    let mut text = String::from("flowchart BT\n");
    for stage in &explained.stages {
        let _ = writeln!(text, "  s{}[\"{}\"]", stage.stage, quoted(&label(stage)));
    }
    let _ = writeln!(text, "  answer([\"answer, {}\"])", explained.route.as_str());
    for stage in &explained.stages {
        for to in &stage.output.to {
            let reader = explained.stages.iter().find(|other| other.stage == *to);
            let line =
                if reader.is_some_and(|reader| whole(reader, stage.stage)) { "==>" } else { "-->" };
            let _ =
                writeln!(text, "  s{} {line}|\"{}\"| s{to}", stage.stage, quoted(&arrow(stage)));
        }
        if stage.output.how == "answer" {
            let _ = writeln!(text, "  s{} --> answer", stage.stage);
        }
    }
    text
}
