//! What the parts of a query cost, by region: a dated file of list prices, which a user may replace
//! (`infra/prices/README.md`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The prices that come with this build.
const BUILT_IN: &str = include_str!("../../../infra/prices/aws.json");

/// A price file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// Its date.
    pub version: String,
    /// The currency; all amounts are printed as dollars.
    pub currency: String,
    /// Where the prices were read.
    #[serde(default)]
    pub source: Vec<Source>,
    /// For people.
    #[serde(default)]
    pub note: serde_json::Value,
    /// Prices by region.
    pub regions: BTreeMap<String, Prices>,
}

/// Where prices were read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which prices.
    pub what: String,
    /// Where.
    pub url: String,
    /// When.
    pub read: String,
}

/// The prices of a region.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The store.
    pub s3: StorePrices,
    /// A directory bucket.
    pub s3_express: Option<ExpressPrices>,
    /// Functions.
    pub lambda: FunctionPrices,
    /// Containers.
    pub fargate: ContainerPrices,
    /// A gigabyte to the Internet.
    pub transfer_out_gb: f64,
    /// A terabyte that Athena scans, for comparison.
    pub athena_tb_scanned: f64,
}

/// Prices of a store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorePrices {
    /// A million PUT, COPY, POST or LIST.
    pub put_per_million: f64,
    /// A million GET or HEAD.
    pub get_per_million: f64,
    /// A gigabyte for a month.
    pub storage_gb_month: f64,
}

/// Prices of a directory bucket.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpressPrices {
    /// As in [`StorePrices`].
    pub put_per_million: f64,
    /// As in [`StorePrices`].
    pub get_per_million: f64,
    /// A gigabyte written.
    pub upload_gb: f64,
    /// A gigabyte read.
    pub download_gb: f64,
    /// As in [`StorePrices`].
    pub storage_gb_month: f64,
}

/// Prices of functions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionPrices {
    /// A gigabyte of memory for a second, x86.
    pub gb_second_x86: f64,
    /// The same, arm.
    pub gb_second_arm: f64,
    /// A million calls.
    pub invocations_per_million: f64,
    /// A gigabyte of `/tmp` above 512 MB for a second.
    pub tmp_gb_second: f64,
}

/// Prices of containers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerPrices {
    /// A vCPU for an hour, x86.
    pub vcpu_hour_x86: f64,
    /// A gigabyte for an hour, x86.
    pub gb_hour_x86: f64,
    /// A vCPU for an hour, arm.
    pub vcpu_hour_arm: f64,
    /// A gigabyte for an hour, arm.
    pub gb_hour_arm: f64,
    /// The part of the price that Spot saves.
    pub spot_discount: f64,
}

/// Why there are no prices. A query runs without them and shows no dollars.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The file cannot be read.
    #[error("[prices] file {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is no price file.
    #[error("[prices] file {name}: {source}")]
    Parse {
        /// The file.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl PriceFile {
    /// The file that `path` names, or the prices that come with this build.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: Option<&Path>) -> Result<Self, PriceError> {
        let (name, text) = match path {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let unread = |source| PriceError::Read { path: path.to_owned(), source };
                (path.display().to_string(), read.map_err(unread)?)
            }
            None => ("of this build".to_owned(), BUILT_IN.to_owned()),
        };
        serde_json::from_str(&text).map_err(|source| PriceError::Parse { name, source })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_prices_of_this_build_are_complete_and_plausible() {
        let file = PriceFile::open(None).unwrap();
        assert_eq!((file.currency.as_str(), file.version.len()), ("USD", 10));
        assert!(!file.source.is_empty());
        let home = file.regions.get("us-east-1").unwrap();
        assert_eq!((home.s3.put_per_million, home.s3.get_per_million), (5.0, 0.4));
        for (region, prices) in &file.regions {
            let lambda = &prices.lambda;
            assert!((1.0e-5..4.0e-5).contains(&lambda.gb_second_x86), "{region}");
            assert!(lambda.gb_second_arm < lambda.gb_second_x86, "{region}");
            assert!((4.0..10.0).contains(&prices.s3.put_per_million), "{region}");
            assert!((0.3..1.0).contains(&prices.s3.get_per_million), "{region}");
            assert!((0.02..0.05).contains(&prices.s3.storage_gb_month), "{region}");
            assert!((0.0..1.0).contains(&prices.fargate.spot_discount), "{region}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let missing = PriceFile::open(Some(Path::new("/nowhere/prices.json"))).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/prices.json"), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"version\": 1}").unwrap();
        let wrong = PriceFile::open(Some(file.path())).unwrap_err();
        assert!(wrong.to_string().contains("invalid type"), "{wrong}");
    }
}
