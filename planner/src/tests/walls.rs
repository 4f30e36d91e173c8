//! Dependency rules between the crates: what a worker must not link, and which crate may use which.

use crate::tests::metadata::{Metadata, linked_alone};

#[test]
fn a_worker_links_no_planner_and_no_face() {
    let metadata = Metadata::of_workspace();
    let linked = metadata.closure("dunlin-worker");
    assert!(linked.contains("dunlin-plan") && linked.contains("datafusion"), "{linked:?}");
    for never in
        ["dunlin-planner", "dunlin-gateway", "dunlin", "axum", "clap", "toml", "tracing-subscriber"]
    {
        assert!(!linked.contains(never), "dunlin-worker links {never}");
    }
    // Only the object stores send requests, and `dunlin-plan` makes the client of those that statements name.
    for package in linked {
        let asks = metadata.links(package).contains("reqwest");
        let may = ["object_store", "dunlin-plan"].contains(&package);
        assert!(!asks || may, "{package} of dunlin-worker links reqwest");
    }
}

#[test]
fn each_crate_sees_only_what_lies_below_it() {
    let metadata = Metadata::of_workspace();
    for (name, below) in [
        ("dunlin-manifest", &[][..]),
        ("dunlin-shuffle", &["dunlin-manifest"]),
        ("dunlin-plan", &["dunlin-manifest", "dunlin-shuffle"]),
        ("dunlin-config", &["dunlin-manifest", "dunlin-shuffle", "dunlin-plan"]),
        ("dunlin-planner", &["dunlin-manifest", "dunlin-shuffle", "dunlin-plan", "dunlin-config"]),
        ("dunlin-worker", &["dunlin-manifest", "dunlin-shuffle", "dunlin-plan"]),
        ("dunlin-invoke", &["dunlin-manifest", "dunlin-shuffle", "dunlin-plan"]),
        (
            "dunlin-lambda",
            &[
                "dunlin-manifest",
                "dunlin-shuffle",
                "dunlin-plan",
                "dunlin-config",
                "dunlin-worker",
                "dunlin-invoke",
            ],
        ),
        (
            "dunlin-process",
            &[
                "dunlin-manifest",
                "dunlin-shuffle",
                "dunlin-plan",
                "dunlin-config",
                "dunlin-worker",
                "dunlin-invoke",
            ],
        ),
        (
            "dunlin-gateway",
            &[
                "dunlin-manifest",
                "dunlin-shuffle",
                "dunlin-plan",
                "dunlin-config",
                "dunlin-planner",
            ],
        ),
    ] {
        for linked in metadata.closure(name) {
            let ours = linked.starts_with("dunlin") && linked != name;
            assert!(!ours || below.contains(&linked), "{name} must not link {linked}");
        }
    }
    // What runs workers links no planner, no server and no catalog either: its size is its cold start.
    for binary in ["dunlin-lambda", "dunlin-process"] {
        let linked = metadata.closure(binary);
        for never in ["dunlin-planner", "dunlin-gateway", "dunlin", "axum", "opentelemetry"] {
            assert!(!linked.contains(never), "{binary} links {never}");
        }
    }
    assert!(!metadata.closure("dunlin-lambda").contains("clap"), "a function has no command line");
    let protocol = metadata.closure("dunlin-manifest");
    assert!(!protocol.contains("datafusion"), "the protocol knows no engine");
}

#[test]
fn what_runs_workers_links_no_schema_of_the_configuration() {
    // Metadata has the features of the whole workspace, and a binary for workers is built with its own.
    for binary in ["dunlin-process", "dunlin-lambda"] {
        let linked = linked_alone(binary);
        assert!(linked.contains("dunlin-config") && linked.contains("toml"), "{binary}: {linked}");
        assert!(!linked.contains("schemars"), "{binary} links schemars");
    }
    assert!(linked_alone("dunlin-planner").contains("schemars"), "the question finds it");
}
