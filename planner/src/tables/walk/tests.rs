#![allow(clippy::unwrap_used)]

use super::*;
use crate::tables::recorded::RecordedStore;

async fn found(
    store: &Arc<RecordedStore>,
    address: &str,
    choice: Option<Choice<'_>>,
) -> (Vec<String>, Vec<String>) {
    let of = Arc::clone(store) as Arc<dyn ObjectStore>;
    let files = walk(&of, address, &Path::from("t"), choice).await.unwrap();
    let mut names: Vec<String> = files.iter().map(|file| file.location.to_string()).collect();
    names.sort_unstable();
    (names, store.listed())
}

#[tokio::test]
async fn folders_of_which_nothing_is_wanted_are_not_listed() {
    let names = ["t/x", "t/a/1", "t/a/b/2", "t/b/3", "t/c/d/4", "t/c/e/5"].map(str::to_owned);
    let store = RecordedStore::with(names).await;
    let choice = |folder: &Path| match folder.as_ref() {
        "t/b" | "t/c/d" => Below::Nothing,
        "t/c" => Below::Folders,
        _ => Below::Whole,
    };
    for address in ["s3://b", "file:///"] {
        let (files, listed) = found(&store, address, Some(&choice)).await;
        assert_eq!(files, ["t/a/1", "t/a/b/2", "t/c/e/5", "t/x"]);
        assert_eq!(listed, ["t/", "t/a", "t/c/", "t/c/e"]);
    }
}

#[tokio::test]
async fn a_deep_tree_is_not_opened_folder_by_folder() {
    let names = (0..1000).map(|n| format!("t/{n}/{n}/x"));
    let store = RecordedStore::with(names).await;
    let (files, listed) = found(&store, "s3://b", Some(&|_: &Path| Below::Folders)).await;
    assert_eq!(files.len(), 1000);
    let opened = listed.iter().filter(|it| it.ends_with('/')).count();
    assert_eq!(opened, MOST_OPENED);
}

#[tokio::test]
async fn a_small_table_with_folders_takes_one_request_where_names_are_in_order() {
    let store = RecordedStore::with((0..500).map(|n| format!("t/{}/{n}", n % 50))).await;
    let (files, listed) = found(&store, "s3://b", None).await;
    assert_eq!((files.len(), listed), (500, vec!["t".to_owned()]));
    let (files, listed) = found(&store, "file:///", None).await;
    assert_eq!((files.len(), listed.len()), (500, 51));
}
