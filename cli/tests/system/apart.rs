//! Records in one place and data in another: `[state.control]`.

use std::collections::BTreeSet;
use std::path::Path;

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_exact::engines::ENGINE;
use serde_json::json;

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data};

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_data_may_be_apart_and_neither_is_at_the_other_place() {
    let tables = data(0.05);
    let setup = Setup::with(|state| {
        let control = state.with_file_name("control");
        format!(
            "[state]\nlocation = \"file://{}\"\n\n[state.control]\nlocation = \"file://{}\"\n{ENGINE}\n{}",
            state.display(),
            control.display(),
            tpch::tables_toml(&format!("file://{}/", tables.display()))
        )
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let reference = Reference::over(&tables);
    // Sorted rows are many enough to be objects.
    let sorted = "select l_orderkey, l_comment from lineitem order by l_comment, l_orderkey";
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    let answer = api.sql(sorted, &settings).await;
    reference.check("apart", sorted, &answer.batches);
    for number in [3, 9, 18] {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        reference.check_tpch("apart", number, &answer.batches);
    }
    let data: BTreeSet<String> = ["data", "res"].map(str::to_owned).into();
    assert_eq!(names(&setup.state), data);
    let records = names(&setup.state.with_file_name("control"));
    assert!(records.is_disjoint(&data) && records.contains("q"), "{records:?}");
}
