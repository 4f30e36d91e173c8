//! The queries of DataFusion's own sqllogictest files, answered by Dunlin as by one process.
//!
//! A file's statements run on a plain DataFusion context; the tables that its queries name are copied to
//! Parquet, and both sides answer from the copies. The recorded answers are not used: types and rows change
//! a little on the way to Parquet, and the question is whether Dunlin answers as the engine does.
//!
//! A fixed share of the queries runs by default. `DUNLIN_EXACT=full` runs all of them, and
//! `DUNLIN_SLT_ONLY=joins.slt` all queries of the files with this in their names. The report with every
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
