//! Tables over real files, as statements see them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use dunlin_plan::stores::Stores;

use crate::config::Config;
use crate::{PlanError, Planner, QuerySettings};

struct Scene {
    folder: tempfile::TempDir,
    planner: Planner,
}

impl Scene {
    /// A planner over `tables`, in which `@` stands for a new folder that holds `files`.
    fn new(files: &[(&str, &str)], tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(folder.path(), name, text);
        }
        let state = "[state]\nlocation = \"@/state\"\n[files]\nenabled = true\nlocal = true\n";
        let text = format!("{state}{tables}").replace('@', folder.path().to_str().unwrap());
        let config = Config::parse(&text).unwrap();
        let stores: Stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let planner = Planner::open(&config, &stores).unwrap();
        Self { folder, planner }
    }

    /// The columns of a statement's answer with their types.
    async fn columns(&self, sql: &str) -> Result<String, PlanError> {
        let sql = sql.replace('@', self.folder.path().to_str().unwrap());
        let parsed = self.planner.parse(&sql)?;
        let planned = self.planner.plan(&parsed, &[], &QuerySettings::default()).await?;
        let column = |field: &datafusion::arrow::datatypes::FieldRef| {
            format!("{} {}", field.name(), field.data_type())
        };
        Ok(planned.schema.fields().iter().map(column).collect::<Vec<_>>().join(", "))
    }

    async fn refused(&self, sql: &str) -> String {
        self.columns(sql).await.unwrap_err().to_string()
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const TWO: &str = "[[tables]]\nname = \"Here\"\nlocation = \"@/here/\"\nformat = \"csv\"\n[[tables]]\nname = \"gone\"\nlocation = \"@/nowhere/\"\n";

#[tokio::test]
async fn only_tables_that_a_statement_names_are_read() {
    let scene = Scene::new(&[("here/a.csv", "a,b\n1,x\n")], TWO);
    assert_eq!(scene.columns("select * from here").await.unwrap(), "a Int64, b Utf8");
    let text = scene.refused("select * from gone").await;
    assert!(text.contains("gone") && text.contains("no parquet file"), "{text}");
    // A catalog lists what can be read.
    let names = "select table_name from information_schema.tables where table_schema = 'public'";
    assert!(scene.columns(names).await.is_ok());
}

#[tokio::test]
async fn new_files_and_columns_are_seen_at_once() {
    let scene = Scene::new(&[("here/a.csv", "a,b\n1,x\n")], TWO);
    assert_eq!(scene.columns("select * from here").await.unwrap(), "a Int64, b Utf8");
    write(scene.folder.path(), "here/a.csv", "a,b,c\n1.5,x,2024-01-01\n");
    assert_eq!(scene.columns("select * from here").await.unwrap(), "a Float64, b Utf8, c Date32");
    write(scene.folder.path(), "here/b.csv", "a,b,c\nten,x,2024-01-01\n");
    assert_eq!(scene.columns("select * from here").await.unwrap(), "a Utf8, b Utf8, c Date32");
    std::fs::remove_file(scene.folder.path().join("here/b.csv")).unwrap();
    assert_eq!(scene.columns("select * from here").await.unwrap(), "a Float64, b Utf8, c Date32");
}

#[tokio::test]
async fn files_that_do_not_fit_together_are_named() {
    let files = [
        ("t/a.csv", "a,b\n1,2\n"),
        ("t/b.csv", "b,a\n1,2\n"),
        ("u/a.csv", "a\n1\n"),
        ("u/b.csv.gz", "no gzip"),
        ("v/a.json", "{\"a\":1}\n"),
        ("v/b.json", "{\"a\":\"x\"}\n"),
        ("w/y=1/a.csv", "a\n1\n"),
        ("w/a.csv", "a\n1\n"),
    ];
    let tables = ["t", "u", "v", "w"].map(|name| {
        let more = match name {
            "v" => "format = \"json\"",
            "w" => "format = \"csv\"\npartitions = [\"y INT\"]",
            _ => "format = \"csv\"",
        };
        format!("[[tables]]\nname = \"{name}\"\nlocation = \"@/{name}/\"\n{more}\n")
    });
    let scene = Scene::new(&files, &tables.concat());
    for (table, says) in [
        ("t", vec!["b.csv", "b, a", "a, b", "same order"]),
        ("u", vec!["different ways"]),
        ("v", vec!["column a", "v/a.json", "v/b.json", "Int64", "Utf8"]),
        ("w", vec!["w/a.csv", "y="]),
    ] {
        let text = scene.refused(&format!("select * from {table}")).await;
        assert!(says.iter().all(|it| text.contains(it)), "{table}: {text}");
    }
}

#[tokio::test]
async fn places_are_files_folders_and_patterns() {
    let files = [
        ("d/a.csv", "a\n1\n"),
        ("d/sub/b.csv", "b\n1\n"),
        ("d/_tmp/c.csv", "c\n1\n"),
        ("d/.hidden.csv", "d\n1\n"),
        ("d/empty.csv", ""),
        ("d/other.txt", "e\n1\n"),
        ("state/q.csv", "f\n1\n"),
    ];
    let scene = Scene::new(&files, "");
    for (place, columns) in [
        ("@/d/a.csv", Some("a Int64")),
        ("@/d/sub/*.csv", Some("b Int64")),
        ("@/d/*.csv", Some("a Int64")),
        ("@/d/*/b.csv", Some("b Int64")),
        ("@/d/**/b.csv", Some("b Int64")),
        ("@/d/[x-z].csv", None),
        ("@/d/other.txt", None),
        ("@/d/**/c.csv", None),
        ("@/state/q.csv", None),
        ("@/state/*.csv", None),
        ("file:///nowhere/a.csv", None),
    ] {
        let found = scene.columns(&format!("select * from '{place}'")).await.ok();
        assert_eq!(found.as_deref(), columns, "{place}");
    }
    // A folder that holds other columns than its folders is refused, and not read by chance.
    assert!(scene.refused("select * from '@/d/**/*.csv'").await.contains("same columns"));
}

#[tokio::test]
async fn declared_columns_win() {
    let table = |more: &str| format!("[[tables]]\nname = \"t\"\nlocation = \"@/t/a.csv\"\n{more}");
    let files = [("t/a.csv", "id,at\n1,31/01/2024\n")];
    let scene = Scene::new(
        &files,
        &table(
            "columns = [\"ID decimal(10,2)\", \"at DATE\"]\n[tables.csv]\ndate_format = \"%d/%m/%Y\"",
        ),
    );
    assert_eq!(scene.columns("select * from t").await.unwrap(), "ID Decimal128(10, 2), at Date32");
    let scene = Scene::new(&files, &table("columns = [\"at TEXT\", \"id INT\"]"));
    assert!(scene.refused("select * from t").await.contains("declared"));
    let scene = Scene::new(&files, &table("columns = [\"id\"]"));
    assert!(scene.refused("select * from t").await.contains("no type"));
    let scene = Scene::new(&[], &table("columns = [\"id INT\"]"));
    assert_eq!(scene.columns("select * from t").await.unwrap(), "id Int32");
}

#[tokio::test]
async fn a_statement_is_described_before_its_parameters_are_known() {
    let scene = Scene::new(&[("here/a.csv", "a,b\n1,x\n")], TWO);
    let described = async |sql: &str| {
        let described = scene.planner.describe(&scene.planner.parse(sql).unwrap()).await.unwrap();
        let columns = described.schema.fields().iter();
        let columns: Vec<_> =
            columns.map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        let parameters = described.parameters.iter();
        let parameters: Vec<_> = parameters
            .map(|kind| kind.as_ref().map_or("?".to_owned(), ToString::to_string))
            .collect();
        (columns.join(", "), parameters.join(", "))
    };
    let told = |columns: &str, parameters: &str| (columns.to_owned(), parameters.to_owned());
    assert_eq!(described("select b, a from here").await, told("b Utf8, a Int64", ""));
    assert_eq!(
        described("select a + 1 as c from here where a > $2 and b = $1").await,
        told("c Int64", "Utf8, Int64")
    );
    // A number that is left out is a parameter, too.
    assert_eq!(described("select a from here where a = $3").await.1, "?, ?, Int64");
    // The types of a union are those of all its branches.
    assert_eq!(described("select 1 as n union all select 2.5").await.0, "n Float64");
    assert_eq!(described("explain select a from here").await.0, "plan_type Utf8, plan Utf8");
    let written = described("copy (select a from here where b = $1) to 'x.csv'").await;
    assert_eq!(written, told("rows Int64, files Int64, bytes Int64, location Utf8", "Utf8"));
    for sql in ["select nothing from here", "select a from gone", "select $0", "select $1001"] {
        let parsed = scene.planner.parse(sql).unwrap();
        assert!(scene.planner.describe(&parsed).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn times_of_text_files_have_room_for_parts_of_a_second() {
    let files = [
        ("s.csv", "at\n2024-01-01 00:00:00\n9999-12-31 00:00:00\n"),
        ("n.csv", "at\n2024-01-01 00:00:00.123456789\n"),
        ("tabs/a.tsv", "a\tb\n1\tx\n"),
        ("a.json", "[\n {\n  \"id\": 1,\n  \"name\": \"a, [b]\"\n },\n {\"id\": 2}\n]\n"),
    ];
    let tables = "[[tables]]\nname = \"a\"\nlocation = \"@/a.json\"\nformat = \"json\"\n[tables.json]\narray = true\n\
                  [[tables]]\nname = \"t\"\nlocation = \"@/tabs/\"\nformat = \"csv\"\n";
    let scene = Scene::new(&files, tables);
    let columns = |sql| scene.columns(sql);
    assert_eq!(columns("select * from '@/s.csv'").await.unwrap(), "at Timestamp(µs)");
    assert_eq!(columns("select * from '@/n.csv'").await.unwrap(), "at Timestamp(ns)");
    assert_eq!(columns("select * from t").await.unwrap(), "a Int64, b Utf8");
    assert_eq!(columns("select * from a").await.unwrap(), "id Int64, name Utf8");
}
