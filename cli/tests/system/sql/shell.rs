//! The shell, at a terminal.

use super::Desk;
use super::terminal::{CTRL_C, CTRL_D, Step, sit};
use crate::common::{Setup, data};

const SCALE: f64 = 0.05;
/// A new prompt. (While somebody types, the line is drawn again with each key.) What is typed before it may be lost.
const PROMPT: &str = "\n\rdunlin> ";

#[test]
fn a_person_finds_a_way_around() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let desk = Desk::new();
    let steps = [
        Step::See("in this process"),
        Step::See(PROMPT),
        Step::Type("\\?\r"),
        Step::See("\\attach ID"),
        Step::See(PROMPT),
        Step::Type("\\dt\r"),
        Step::See("lineitem"),
        Step::See(PROMPT),
        Step::Type("\\d region\r"),
        Step::See("r_name"),
        Step::See(PROMPT),
        // Several lines, and a table with its numbers to the right.
        Step::Type("select r_name,\r"),
        Step::Type("count(*) as n from region\r"),
        Step::Type("group by 1 order by 1;\r"),
        Step::See(" AFRICA      │ 1"),
        Step::See("5 rows · "),
        Step::See(PROMPT),
        // Tab asks for the names of columns.
        Step::Type("select max(l_quan\t) as m from lineitem;\r"),
        Step::See(" 50.00"),
        Step::See(PROMPT),
        Step::Type("\\timing\r"),
        Step::See("timing is off"),
        Step::See(PROMPT),
        Step::Type("\\x on\r"),
        Step::See("on a line of its own: on"),
        Step::See(PROMPT),
        Step::Type("select 7 as seven;\r"),
        Step::See("─[ row 1 ]─"),
        Step::See(" seven │ 7"),
        Step::See(PROMPT),
        // An error does not end the shell.
        Step::Type("select * from regoin;\r"),
        Step::See("error: "),
        Step::See(PROMPT),
        // Ctrl+C clears what was typed.
        Step::Type("select garbage"),
        Step::Type(CTRL_C),
        Step::See(PROMPT),
        Step::Type("\\x off\r"),
        Step::See(PROMPT),
        Step::Type("\\format csv\r"),
        Step::See("format is csv"),
        Step::See(PROMPT),
        Step::Type("\\o answer.md\r"),
        Step::See(PROMPT),
        Step::Type("\\format markdown\r"),
        Step::See("format is markdown"),
        Step::See(PROMPT),
        Step::Type("select 'to a file' as t;\r"),
        Step::See(PROMPT),
        Step::Type("\\o\r"),
        Step::See(PROMPT),
        Step::Type("select 'to the terminal' as t;\r"),
        Step::See("to the terminal\r"),
        Step::See(PROMPT),
        Step::Type(CTRL_D),
        Step::End,
    ];
    let done = sit(&desk, &["sql", "--config", &config], &[], &steps);
    assert_eq!(done.code, Some(0), "{done:?}");
    let written = std::fs::read_to_string(desk.path().join("answer.md")).unwrap();
    assert_eq!(written, "| t |\n| --- |\n| to a file |\n");
    let history = std::fs::read_to_string(desk.path().join("state/dunlin/history")).unwrap();
    assert!(history.contains("select r_name,\\ncount(*) as n from region"), "{history}");
    assert!(!history.contains("garbage"), "{history}");
    assert_eq!(desk.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_query_can_be_left_in_the_shell_and_come_back_to() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let desk = Desk::new();
    let slow =
        "select count(*) from lineitem a join lineitem b on a.l_linenumber <> b.l_linenumber;\r";
    let steps = [
        Step::See(PROMPT),
        Step::Type(slow),
        Step::See(" tasks"),
        Step::Type(CTRL_C),
        Step::See("come back:  \\attach "),
        Step::See(PROMPT),
        Step::Type("\\timing\r"),
        Step::See("timing is off"),
        Step::See(PROMPT),
        Step::Type(slow),
        Step::See(" tasks"),
        Step::Type(CTRL_C),
        Step::See("within 2 s"),
        Step::Type(CTRL_C),
        Step::See("cancelled query "),
        Step::See(PROMPT),
        Step::Type("exit\r"),
        Step::End,
    ];
    let done = sit(&desk, &["sql", "--config", &config, "--route", "fleet"], &[], &steps);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn what_is_too_wide_goes_to_the_pager_or_is_printed_as_records() {
    let desk = Desk::new();
    let wide = "select repeat('x', 60) as a, repeat('y', 60) as b;\r";
    let steps = [
        Step::See(PROMPT),
        Step::Type("select 1 as narrow;\r"),
        Step::See(" narrow\r\n"),
        Step::See(PROMPT),
        Step::Type(wide),
        Step::See("paged: a"),
        Step::See(PROMPT),
        Step::Type("\\q\r"),
        Step::End,
    ];
    assert_eq!(sit(&desk, &["sql"], &[("PAGER", "sed 's/^/paged:/'")], &steps).code, Some(0));
    let steps = [
        Step::See(PROMPT),
        Step::Type(wide),
        Step::See("─[ row 1 ]─"),
        Step::See(PROMPT),
        Step::Type("\\q\r"),
        Step::End,
    ];
    assert_eq!(sit(&desk, &["sql"], &[], &steps).code, Some(0));
}

#[test]
fn bytes_are_not_sent_to_a_terminal() {
    let desk = Desk::new();
    let steps = [Step::See("arrow is not for a terminal: use --output FILE, or a pipe"), Step::End];
    let done = sit(&desk, &["sql", "--format", "arrow", "select 1"], &[], &steps);
    assert_eq!(done.code, Some(2), "{done:?}");
}
