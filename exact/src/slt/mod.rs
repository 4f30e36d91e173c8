//! The queries of DataFusion's own sqllogictest files, answered by Dunlin and by one process.
//!
//! The statements of a file run on a plain DataFusion context. The tables that its queries name are copied to
//! Parquet, and both sides read the copies. The recorded answers are not used, because types and rows change a little
//! in the Parquet files. The question is whether Dunlin answers as the engine does.
//!
//! By default a fixed share of the queries runs. `DUNLIN_EXACT=full` runs all of them, and
//! `DUNLIN_SLT_ONLY=joins.slt` runs all queries of the files with this text in their names. The report with every
//! refusal and every query left out is written to the folder of the test's temporary files.
//! `expected.txt` names the queries that are known to fail, each with a reason.

mod judge;
mod keeper;
mod records;
mod run;
mod sql;
mod stand_ins;
mod tally;

pub use run::run;
