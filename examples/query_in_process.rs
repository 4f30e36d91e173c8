//! Plans a query and runs it in this process: a program that uses Dunlin as a library, without any server.
//!
//! ```sh
//! cargo run --example query_in_process
//! ```

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use dunlin_manifest::meter::Meter;
use dunlin_planner::config::Config;
use dunlin_planner::{Planner, QuerySettings, RouteMode};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;

const SQL: &str = "select country, count(*) as orders, sum(price) as total \
                   from orders where price > $1 group by country order by country";

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write_orders(&folder.path().join("orders"))?;
    let config = Config::parse(&format!(
        "[state]\nlocation = \"memory://\"\n\n\
         [[tables]]\nname = \"orders\"\nlocation = \"file://{}/orders/\"\n",
        folder.path().display()
    ))?;
    let stores = config.open_stores(&tokio::runtime::Handle::current())?;
    let planner = Planner::open(&config, &stores)?;

    let settings = QuerySettings { route: Some(RouteMode::Inline), ..QuerySettings::default() };
    let planned = planner.plan(&planner.parse(SQL)?, &[5.0.into()], &settings).await?;
    println!("{SQL}\n\nruns in this process: {}", planned.route_reason);

    // Counts the requests and bytes that the scan makes.
    let meter = Arc::new(Meter::default());
    let rows = planner.inline_plan(&planned, &meter, 256 << 20)?.run()?;
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    println!("{}\nread {} bytes", pretty_format_batches(&batches)?, meter.take().bytes_read);
    Ok(())
}

/// One Parquet file of six orders.
fn write_orders(folder: &Path) -> Result<()> {
    let countries: ArrayRef = Arc::new(StringArray::from(vec!["NO", "SE", "NO", "FI", "SE", "NO"]));
    let prices: ArrayRef = Arc::new(Float64Array::from(vec![12.5, 8.0, 3.0, 20.0, 7.5, 30.0]));
    let orders = RecordBatch::try_from_iter([("country", countries), ("price", prices)])?;
    std::fs::create_dir_all(folder)?;
    let file = File::create(folder.join("part-0.parquet"))?;
    let mut writer = ArrowWriter::try_new(file, orders.schema(), None)?;
    writer.write(&orders)?;
    writer.close()?;
    Ok(())
}
