//! `dunlin query`: a query that is left is found again.

use std::time::Duration;

use dunlin_cli::fleet::{Fleet, Process};

use super::Desk;
use super::terminal::{CTRL_C, Step, sit};
use crate::common::objects::until;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(60);
const COUNT: &str = "select count(*) as n from lineitem";

/// A gateway without workers: a query for the fleet waits.
fn idle() -> (Setup, Fleet) {
    let setup = Setup::folder(&data(SCALE), "");
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
    (setup, fleet)
}

/// The id after `dunlin query attach` in what was said.
fn id(said: &str) -> String {
    let rest = said.split("dunlin query attach ").nth(1).unwrap_or_else(|| panic!("{said}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn ctrl_c_leaves_a_query_that_goes_on_and_is_found_again() {
    let (_setup, mut fleet) = idle();
    let desk = Desk::at(&fleet.url());
    let steps = [
        Step::See(" tasks"),
        Step::Type(CTRL_C),
        Step::See("stopped waiting"),
        Step::See("Ctrl+C again within 2 s"),
        Step::End,
    ];
    let left = sit(&desk, &["sql", "--route", "fleet", COUNT], &[], &steps);
    assert_eq!(left.code, Some(130), "{left:?}");
    let query = id(&left.out);
    let status = desk.run(&["query", "status", &query]).ok();
    assert!(status.contains("status     PENDING"), "{status}");
    assert!(desk.run(&["query", "status", "--json", &query]).ok().contains(&query));
    let said = desk.run(&["query", "results", &query]).failed(1);
    assert!(said.contains("[NOT_READY]"), "{said}");

    fleet.add_worker(2).unwrap();
    let rows = desk.run(&["query", "attach", &query]).ok();
    assert_eq!(desk.run(&["query", "results", &query]).ok(), rows);
    assert_eq!(desk.run(&["sql", COUNT]).ok(), rows);
    let status = desk.run(&["query", "status", &query]).ok();
    assert!(status.contains("status     SUCCEEDED") && status.contains("rows       1"), "{status}");
    let analysis = desk.run(&["query", "analyze", &query]).ok();
    assert!(analysis.starts_with("analyzed_plan:\nstage 0"), "{analysis}");
    let after = desk.run(&["query", "cancel", &query]).ok();
    assert!(after.contains("status     SUCCEEDED"), "{after}");

    // A gateway that cannot list queries says so, and one that can finds the query by the beginning of its id.
    let short = desk.run(&["query", "status", &query[..20]]);
    if short.code == Some(0) {
        assert!(short.out.contains(&query), "{short:?}");
        let listed = desk.run(&["query", "list"]).ok();
        assert!(listed.contains(&query) && listed.contains("SUCCEEDED"), "{listed}");
    } else {
        assert!(short.failed(1).contains("a newer gateway can"));
    }
}

#[test]
fn ctrl_c_twice_cancels_a_query() {
    let (_setup, fleet) = idle();
    let desk = Desk::at(&fleet.url());
    let steps = [
        Step::See(" tasks"),
        Step::Type(CTRL_C),
        Step::See("within 2 s"),
        Step::Type(CTRL_C),
        Step::See("cancelled query"),
        Step::End,
    ];
    let left = sit(&desk, &["sql", "--route", "fleet", COUNT], &[], &steps);
    assert_eq!(left.code, Some(130), "{left:?}");
    let query = id(&left.out);
    let status = desk.run(&["query", "status", &query]).ok();
    assert!(status.contains("status     CANCELLED"), "{status}");
    let said = desk.run(&["query", "attach", &query]).failed(1);
    assert!(said.contains("[CANCELLED]"), "{said}");
}

#[tokio::test]
async fn a_gateway_that_dies_and_comes_back_is_waited_for() {
    let (setup, mut fleet) = idle();
    let desk = Desk::at(&fleet.url());
    let http = fleet.address.to_string();
    let waits = desk.path().join("waits");
    let asking = {
        let desk = Desk::at(&fleet.url());
        let waits = waits.display().to_string();
        let steps = move || {
            let steps =
                [Step::See(" tasks"), Step::Touch(&waits), Step::See("1 row · "), Step::End];
            sit(&desk, &["sql", "--route", "fleet", COUNT], &[], &steps)
        };
        tokio::task::spawn_blocking(steps)
    };
    until("a query that waits", PATIENCE, || waits.exists().then_some(())).await;
    fleet.gateway.kill();
    fleet.add_worker(2).unwrap();
    let config = setup.config.display().to_string();
    let log = setup.path().join("gateway-again.log");
    let arguments = ["gateway", "--config", &config, "--http", &http];
    let _again = Process::start(binary(), &arguments, &log).unwrap();
    let done = asking.await.unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
}
