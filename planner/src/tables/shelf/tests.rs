#![allow(clippy::unwrap_used)]

use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;

use super::*;
use crate::tables::config::TableConfig;
use crate::tables::recorded::RecordedStore;
use crate::tables::table::{Shared, Table};

/// The columns of a table at `s3://b/t/`, as a process finds them that has seen `table` before.
async fn columns(table: &Arc<Table>, store: &Arc<RecordedStore>) -> String {
    let context = SessionContext::new();
    let url = url::Url::parse("s3://b").unwrap();
    context.register_object_store(&url, Arc::clone(store) as Arc<dyn ObjectStore>);
    let schema = table.open(&context.state()).await.unwrap().schema();
    let column = |field: &datafusion::arrow::datatypes::FieldRef| {
        format!("{} {}", field.name(), field.data_type())
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// A process that has seen nothing, over a state.
fn process(state: &Arc<InMemory>, more: &str) -> Arc<Table> {
    let text = format!("name = \"t\"\nlocation = \"s3://b/t/\"\n{more}");
    let config: TableConfig = toml::from_str(&text).unwrap();
    let store = Some(Arc::clone(state) as Arc<dyn ObjectStore>);
    let shelf = Arc::new(Shelf { store, prefix: Path::from("state"), engine: "x".to_owned() });
    Arc::new(Table::new(config, Vec::new(), &Shared { commits: Arc::default(), shelf }))
}

async fn store(files: impl IntoIterator<Item = (String, &str)>) -> Arc<RecordedStore> {
    let store = RecordedStore::with([]).await;
    for (name, text) in files {
        store.add(&name, text).await;
    }
    store
}

#[tokio::test]
async fn the_next_process_reads_no_first_rows_of_text_files() {
    let json = (0..10).map(|n| (format!("t/{n}.json"), "{\"a\":1,\"b\":{\"c\":[\"x\"]}}\n"));
    let csv = (0..40).map(|n| (format!("t/{n:02}.csv"), "a,b\n1,2024-01-01\n"));
    for (store, format, files) in
        [(store(json).await, "format = \"json\"", 10), (store(csv).await, "format = \"csv\"", 40)]
    {
        let state = Arc::new(InMemory::new());
        let found = columns(&process(&state, format), &store).await;
        assert_eq!(store.read().len(), files, "{found}");
        assert_eq!(columns(&process(&state, format), &store).await, found);
        assert_eq!(store.read(), Vec::<String>::new(), "{found}");
        // With another way of reading, nothing of it is known.
        let other = format!("{format}\n[csv]\ndelimiter = \";\"\n[json]\nsample_rows = 7");
        columns(&process(&state, &other), &store).await;
        assert_eq!(store.read().len(), files);
    }
}

#[tokio::test]
async fn of_a_changed_file_nothing_is_known() {
    let files = (0..10).map(|n| (format!("t/{n}.json"), "{\"a\":1}\n"));
    let (store, state) = (store(files).await, Arc::new(InMemory::new()));
    let format = "format = \"json\"";
    assert_eq!(columns(&process(&state, format), &store).await, "a Int64");
    store.read();
    store.add("t/3.json", "{\"a\":1.5,\"z\":true}\n").await;
    assert_eq!(columns(&process(&state, format), &store).await, "a Float64, z Boolean");
    assert_eq!(store.read().len(), 10, "they are one group");
}

/// The types of CSV files come from the first ones. Of the others, the header is looked at. A file may become one of the
/// first, and then its header says too little.
#[tokio::test]
async fn types_do_not_depend_on_what_a_process_has_seen_before() {
    let text = |n: usize| if n == 16 { "a\n1\nx\n" } else { "a\n1\n2\n" };
    let store = store((0..20).map(|n| (format!("t/{n:02}.csv"), text(n)))).await;
    let (state, format) = (Arc::new(InMemory::new()), "format = \"csv\"");
    let old = process(&state, format);
    assert_eq!(columns(&old, &store).await, "a Int64");
    store.remove("t/00.csv").await;
    store.read();
    assert_eq!(columns(&old, &store).await, "a Utf8");
    assert_eq!(store.read(), ["t/16.csv"]);
    assert_eq!(columns(&process(&state, format), &store).await, "a Utf8");
    assert_eq!(columns(&process(&Arc::default(), format), &store).await, "a Utf8");
}

#[tokio::test]
async fn a_small_table_of_text_is_not_kept() {
    let files = (1..LEAST_OTHERS).map(|n| (format!("t/{n}.csv"), "a\n1\n"));
    let (store, state) = (store(files).await, Arc::new(InMemory::new()));
    columns(&process(&state, "format = \"csv\""), &store).await;
    let kept = state.list(None).collect::<Vec<_>>().await;
    assert!(kept.is_empty(), "{kept:?}");
}
