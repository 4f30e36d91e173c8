//! Statements over tables that a test plays.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::*;
use crate::config::Config;
use crate::{PlanError, Planner, QuerySettings, Route, RouteMode};

const START: i64 = 1_700_000_000_000_000;

/// Ten rows, the newest first: `id` 9 to 0, one each second.
#[derive(Debug)]
struct Played {
    tables: Vec<SnapshotSchema>,
    /// What was asked, by table.
    asked: Mutex<Vec<(String, Wanted)>>,
}

impl Played {
    fn new() -> Arc<Self> {
        let zone = Some("UTC".into());
        let columns = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, zone), false),
            Field::new("status", DataType::Utf8, true),
        ]));
        let table = |name| SnapshotSchema {
            name,
            columns: Arc::clone(&columns),
            greatest_first: Some("at"),
        };
        let tables = vec![table("queries"), table("secrets"), table("endless")];
        Arc::new(Self { tables, asked: Mutex::default() })
    }

    fn last(&self) -> Wanted {
        self.asked.lock().last().unwrap().1.clone()
    }
}

#[async_trait]
impl Snapshots for Played {
    fn tables(&self) -> &[SnapshotSchema] {
        &self.tables
    }

    async fn read(&self, table: &str, wanted: &Wanted) -> Result<Vec<RecordBatch>, SnapshotError> {
        self.asked.lock().push((table.to_owned(), wanted.clone()));
        match table {
            "secrets" => return Err(SnapshotError::Forbidden("not for you".to_owned())),
            "endless" => return Err(SnapshotError::TooMuch("too many rows".to_owned())),
            _ => {}
        }
        let ids: Vec<i64> = (0..10).rev().collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(
                    ids.iter().map(|id| START + id * 1_000_000),
                )
                .with_timezone("UTC"),
            ),
            Arc::new(StringArray::from_iter(
                ids.iter().map(|id| (id % 3 > 0).then(|| format!("s{}", id % 3))),
            )),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.tables[0].columns), columns).unwrap();
        let passes = (0..10).map(|row| {
            self.tables[0].columns.fields().iter().zip(batch.columns()).all(|(field, column)| {
                wanted.admits(field.name(), &ScalarValue::try_from_array(column, row).unwrap())
            })
        });
        let kept = filter_record_batch(&batch, &BooleanArray::from_iter(passes.map(Some))).unwrap();
        Ok(vec![kept.slice(0, wanted.limit().unwrap_or(10).min(kept.num_rows()))])
    }
}

struct Scene {
    /// Without the tables.
    bare: Planner,
    planner: Planner,
    played: Arc<Played>,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.csv"), "id,name\n1,one\n2,two\n9,nine\n").unwrap();
        let at = folder.path().display();
        let config = Config::parse(&format!(
            "[state]\nlocation = \"{at}/state\"\n[[tables]]\nname = \"t\"\nlocation = \"{at}/t.csv\"\nformat = \"csv\"\n"
        ))
        .unwrap();
        let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let played = Played::new();
        let bare = Planner::open(&config, &stores).unwrap();
        let planner = bare.seeing(Arc::clone(&played) as Arc<_>);
        Self { bare, planner, played, _folder: folder }
    }

    /// The rows of a statement, from a plan that can also travel.
    async fn rows(&self, sql: &str) -> Result<String, PlanError> {
        self.rows_by(sql, RouteMode::Fleet).await
    }

    /// The rows of a statement by a route.
    async fn rows_by(&self, sql: &str, mode: RouteMode) -> Result<String, PlanError> {
        let parsed = self.planner.parse(sql)?;
        let settings = QuerySettings { route: Some(mode), ..QuerySettings::default() };
        let planned = self.planner.plan(&parsed, &[], &settings).await?;
        assert_eq!(planned.route == Route::Fleet, mode == RouteMode::Fleet);
        let plan = self.planner.inline_plan(&planned, &Arc::default(), 100 << 20)?;
        let rows: Vec<RecordBatch> =
            plan.run()?.try_collect().await.map_err(PlanError::from_execution)?;
        let text = pretty_format_batches(&rows).unwrap().to_string();
        let cells = text.lines().skip(3).filter(|line| line.starts_with('|'));
        Ok(cells.map(|line| line.replace([' ', '|'], "")).collect::<Vec<_>>().join(" "))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_limits_reach_the_one_who_reads() {
    let scene = Scene::new();
    let at = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    assert_eq!(scene.rows("select id from system.queries where id = 3").await.unwrap(), "3");
    assert_eq!(
        scene.played.last().values("id"),
        Some(vec![&ScalarValue::Int64(Some(3))]),
        "{:?}",
        scene.played.last()
    );
    let one_of = "select id from system.queries where status in ('s1', 's2') and id > 4 limit 2";
    assert_eq!(scene.rows(one_of).await.unwrap(), "8 7");
    assert_eq!(scene.played.last().limit(), Some(2));
    let since = "select id from system.queries where at >= '2023-11-14T22:13:27Z' order by id";
    assert_eq!(scene.rows(since).await.unwrap(), "7 8 9");
    assert_eq!(scene.played.last().range("at"), (Some(&at(START + 7_000_000)), None));
    // Other conditions are looked at afterwards.
    let other = "select id from system.queries where id % 4 = 1 and status is not null limit 1";
    assert_eq!(scene.rows(other).await.unwrap(), "5");
    assert_eq!(scene.played.last(), Wanted::all(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_from_now_bounds_what_is_read() {
    let scene = Scene::new();
    let recent = "select count(*) from system.queries where at > now() - interval '1 hour'";
    assert_eq!(scene.rows(recent).await.unwrap(), "0");
    assert!(scene.played.last().range("at").0.is_some(), "{:?}", scene.played.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_rows_are_read_alone_where_nothing_else_decides() {
    let scene = Scene::new();
    for (sql, rows, limit) in [
        ("select id from system.queries order by at desc limit 3", "9 8 7", Some(3)),
        ("select id + 0 as n from system.queries q order by q.at desc limit 2", "9 8", Some(2)),
        (
            "select id from system.queries where status = 's1' order by at desc limit 2",
            "7 4",
            Some(2),
        ),
        ("select id from system.queries order by at limit 2", "0 1", None),
        ("select id from system.queries order by id desc limit 2", "9 8", None),
        ("select id from system.queries where id % 2 = 0 order by at desc limit 2", "8 6", None),
        ("select id from system.queries order by status desc, at desc limit 1", "9", None),
    ] {
        assert_eq!(scene.rows(sql).await.unwrap(), rows, "{sql}");
        assert_eq!(scene.played.last().limit(), limit, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_join_with_tables_and_themselves() {
    let scene = Scene::new();
    let joined = "select name, status from system.queries join t using (id) order by 1";
    assert_eq!(scene.rows(joined).await.unwrap(), "nine ones1 twos2");
    let twice =
        "select count(*) from system.queries a join datafusion.system.queries b on a.id < b.id";
    assert_eq!(scene.rows(twice).await.unwrap(), "45");
    let grouped =
        "select coalesce(status, 'none') as s, count(*) from system.queries group by 1 order by 1";
    assert_eq!(scene.rows(grouped).await.unwrap(), "none4 s13 s23");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_name_what_is_near_and_refusals_are_told_by_kind() {
    let scene = Scene::new();
    for (sql, text) in [
        ("select statsu from system.queries", "did you mean status?"),
        ("select * from system.querys", "did you mean system.queries?"),
        ("select * from system.nothing", "system has queries, secrets, endless"),
        ("select * from queries", "did you mean system.queries?"),
    ] {
        let error = scene.rows(sql).await.unwrap_err().to_string();
        assert!(error.contains(text), "{sql}: {error}");
    }
    let secret = scene.rows("select * from system.secrets").await.unwrap_err();
    assert!(matches!(&secret, PlanError::Forbidden { message } if message == "not for you"));
    let endless = scene.rows("select * from system.endless").await.unwrap_err();
    assert!(matches!(&endless, PlanError::TooComplex(_)) && endless.to_string() == "too many rows");
    // Whoever gives a planner no such tables has none.
    let parsed = scene.bare.parse("select * from system.queries").unwrap();
    let error = scene.bare.plan(&parsed, &[], &QuerySettings::default()).await.unwrap_err();
    assert!(error.to_string().contains("system"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_lists_them_and_describing_reads_no_rows() {
    let scene = Scene::new();
    let listed = "select table_schema, table_name from information_schema.tables where table_schema in ('public', 'system') order by 2";
    assert_eq!(
        scene.rows_by(listed, RouteMode::Inline).await.unwrap(),
        "systemendless systemqueries systemsecrets publict"
    );
    let parsed = scene.planner.parse("select * from system.queries where id = $1").unwrap();
    let described = scene.planner.describe(&parsed).await.unwrap();
    assert_eq!(described.parameters, [Some(DataType::Int64)]);
    assert_eq!(described.schema.field(1).name(), "at");
    assert!(scene.played.asked.lock().is_empty());
}
