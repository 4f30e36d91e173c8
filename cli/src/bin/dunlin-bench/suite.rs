//! What is asked, over what tables.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use dunlin_cli::{clicks, tpch};

/// Files of each table.
const FILES: usize = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The 22 queries of TPC-H.
    #[default]
    Tpch,
    /// 43 statements of the shape of ClickBench's, over a wide table of a million rows times the scale.
    Clicks,
}

impl Suite {
    /// As the command line names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tpch => "tpch",
            Self::Clicks => "clicks",
        }
    }

    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Tpch => &tpch::TABLES,
            Self::Clicks => &clicks::TABLES,
        }
    }

    /// The numbers of all its queries.
    pub(crate) fn queries(self) -> Vec<usize> {
        match self {
            Self::Tpch => (1..=22).collect(),
            Self::Clicks => (1..=clicks::queries().len()).collect(),
        }
    }

    pub(crate) fn query(self, number: usize) -> Result<String> {
        match self {
            Self::Tpch => tpch::query(number),
            Self::Clicks => {
                let sql = number.checked_sub(1).and_then(|at| clicks::queries().get(at).copied());
                sql.map(str::to_owned).with_context(|| format!("there is no query {number}"))
            }
        }
    }

    /// Writes all tables below a folder.
    pub(crate) fn generate(self, folder: &Path, scale: f64) -> Result<()> {
        match self {
            Self::Tpch => tpch::generate(folder, scale, FILES).map(drop),
            Self::Clicks => clicks::generate(folder, scale, FILES),
        }
    }

    /// `[[tables]]` entries for the tables below a folder.
    pub(crate) fn toml(self, folder: &Path) -> String {
        tpch::entries(self.tables(), &format!("file://{}/", folder.display()))
    }

    /// Small statements, of one stage and of three: how long they take shows the steps of the protocol and nothing else.
    pub(crate) fn small(self) -> [(&'static str, &'static str); 2] {
        let (one, three) = match self {
            Self::Tpch => (
                "select n_name from nation where n_nationkey = 7",
                "select r_name, count(*) as c from region group by r_name order by r_name",
            ),
            Self::Clicks => (
                "select title from hits where counter_id = 62 and watch_id = 0",
                "select sex, count(*) as c from hits where counter_id = 1 group by sex order by sex",
            ),
        };
        [("one stage", one), ("three stages", three)]
    }
}
