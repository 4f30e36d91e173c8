//! What a configuration pays: the prices of its region, and how its workers are paid.

use std::path::Path;

use dunlin_manifest::records::{Requests, Spend, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::prices::{PriceError, PriceFile, Prices};

/// `[prices]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PricesConfig {
    /// The region whose prices are paid; the region of the functions or of the state's bucket if it is not set.
    pub region: Option<String>,
    /// Another price file than the one of this build.
    pub file: Option<String>,
    /// The processors of functions and containers: `x86` or `arm`.
    pub architecture: Architecture,
    /// Days for which exchange data is kept.
    pub data_days: f64,
    /// Days for which answers and records are kept.
    pub result_days: f64,
    /// What a worker container is, if there are some.
    pub container: Option<ContainerConfig>,
}

impl Default for PricesConfig {
    fn default() -> Self {
        Self {
            region: None,
            file: None,
            architecture: Architecture::default(),
            // The lifecycle of the Terraform module.
            data_days: 1.0,
            result_days: 2.0,
            container: None,
        }
    }
}

/// The processors that are paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// `x86_64`.
    #[default]
    X86,
    /// `aarch64`.
    Arm,
}

/// `[prices.container]`: a worker container on Fargate.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerConfig {
    /// Its vCPUs.
    pub vcpu: f64,
    /// Its memory.
    pub memory_gb: f64,
    /// Its slots.
    #[serde(default = "one")]
    pub slots: f64,
    /// True if it is paid as Spot.
    #[serde(default)]
    pub spot: bool,
}

fn one() -> f64 {
    1.0
}

/// Bytes of a gigabyte, as AWS counts it.
const GB: f64 = 1_073_741_824.0;
/// Seconds of a month, as AWS counts it.
const MONTH: f64 = 30.0 * 86_400.0;

/// What things cost here. The default has no prices.
#[derive(Clone, Debug, Default)]
pub struct Tariff {
    prices: Option<Prices>,
    config: PricesConfig,
    /// The region, or why there is none.
    region: String,
    version: String,
    /// Megabytes of this gateway, if it is a function.
    gateway_mb: u64,
}

/// Dollars of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// The sum.
    pub total: f64,
    /// Functions and containers.
    pub compute: f64,
    /// Requests to the store.
    pub requests: f64,
    /// Exchange data and answers for as long as they are kept.
    pub storage: f64,
}

/// What is to be paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Requests of workers and gateways.
    pub requests: Requests,
    /// Functions that work.
    pub usage: Usage,
    /// The function that answers, if the gateway is one.
    pub gateway: Usage,
    /// Microseconds of slots. They are paid if no function is.
    pub slot_us: u64,
    /// Bytes of exchange data.
    pub data_bytes: u64,
    /// Bytes of the answer.
    pub result_bytes: u64,
}

impl Tariff {
    /// The tariff of a configuration. `region` is used if it names none.
    ///
    /// # Errors
    /// The price file cannot be used.
    pub fn open(config: &PricesConfig, region: Option<&str>) -> Result<Self, PriceError> {
        let file = PriceFile::open(config.file.as_deref().map(Path::new))?;
        let region = config.region.as_deref().or(region);
        let prices = region.and_then(|region| file.regions.get(region)).cloned();
        Ok(Self {
            prices,
            config: config.clone(),
            region: region.unwrap_or_default().to_owned(),
            version: file.version,
            gateway_mb: 0,
        })
    }

    /// The same for a gateway that is a function of so much memory.
    #[must_use]
    pub fn of_function(self, gateway_mb: u64) -> Self {
        Self { gateway_mb, ..self }
    }

    /// What a gateway that is a function is paid for when it answers for so long; nothing if it is none.
    #[must_use]
    pub fn answering(&self, ms: u64) -> Usage {
        match self.gateway_mb {
            0 => Usage::default(),
            mb => Usage { calls: 1, cold: 0, ms, mb_ms: ms.saturating_mul(mb) },
        }
    }

    /// The prices.
    #[must_use]
    pub fn prices(&self) -> Option<&Prices> {
        self.prices.as_ref()
    }

    /// The date of the prices, and their region, for people; or why there are none.
    #[must_use]
    pub fn note(&self) -> String {
        match (&self.prices, self.region.as_str()) {
            (Some(_), region) => format!("list prices of {region}, {}", self.version),
            (None, "") => "no price: [prices] region is not set".to_owned(),
            (None, region) => format!("no price for region {region:?}; see [prices] file"),
        }
    }

    /// What a bill amounts to; `None` without prices.
    #[must_use]
    pub fn cost(&self, bill: &Bill) -> Option<Cost> {
        let prices = self.prices.as_ref()?;
        let requests = self.requests(&bill.requests)?;
        let gb_second = self.gb_second()?;
        let called = |usage: &Usage| {
            usage.gb_seconds() * gb_second
                + usage.calls as f64 * prices.lambda.invocations_per_million / 1e6
        };
        let containers = self.slot_second().unwrap_or(0.0) * bill.slot_us as f64 / 1e6;
        // Slots of functions are paid as functions.
        let workers = if bill.usage.is_zero() { containers } else { called(&bill.usage) };
        let compute = workers + called(&bill.gateway);
        let kept = |bytes: u64, days: f64| bytes as f64 / GB * days * 86_400.0 / MONTH;
        let data = kept(bill.data_bytes, self.config.data_days);
        let result = kept(bill.result_bytes, self.config.result_days);
        let storage = (data + result) * prices.s3.storage_gb_month;
        Some(Cost { total: compute + requests + storage, compute, requests, storage })
    }

    /// What workers need to know to keep a limit in dollars; `None` without prices.
    #[must_use]
    pub fn spend(&self, most: f64) -> Option<Spend> {
        let of = |requests: Requests| self.requests(&requests).unwrap_or(0.0);
        let prices = self.prices.as_ref()?;
        Some(Spend {
            most: units(most),
            put: units(of(Requests { put: 1, ..Requests::default() })),
            get: units(of(Requests { get: 1, ..Requests::default() })),
            call: units(prices.lambda.invocations_per_million / 1e6),
            mb_ms: units(self.gb_second()? / 1_024.0 / 1_000.0),
            slot_us: units(self.slot_second().unwrap_or(0.0) / 1e6),
        })
    }

    /// Dollars of a gigabyte of a function for a second; `None` without prices.
    #[must_use]
    pub fn gb_second(&self) -> Option<f64> {
        let lambda = &self.prices.as_ref()?.lambda;
        Some(match self.config.architecture {
            Architecture::X86 => lambda.gb_second_x86,
            Architecture::Arm => lambda.gb_second_arm,
        })
    }

    /// Dollars of requests; `None` without prices.
    #[must_use]
    pub fn requests(&self, requests: &Requests) -> Option<f64> {
        let s3 = &self.prices.as_ref()?.s3;
        let puts = (requests.put + requests.list) as f64 * s3.put_per_million;
        let gets = (requests.get + requests.head) as f64 * s3.get_per_million;
        Some((puts + gets) / 1e6)
    }

    /// Dollars of a second of one slot of a container; `None` if it is not known what a container is.
    #[must_use]
    pub fn slot_second(&self) -> Option<f64> {
        let prices = &self.prices.as_ref()?.fargate;
        let container = self.config.container?;
        let (vcpu, gb) = match self.config.architecture {
            Architecture::X86 => (prices.vcpu_hour_x86, prices.gb_hour_x86),
            Architecture::Arm => (prices.vcpu_hour_arm, prices.gb_hour_arm),
        };
        let hour = container.vcpu * vcpu + container.memory_gb * gb;
        let paid = if container.spot { 1.0 - prices.spot_discount } else { 1.0 };
        Some(hour * paid / container.slots.max(1.0) / 3_600.0)
    }
}

/// Dollars in 10^-15 dollars.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and prices are not negative
fn units(dollars: f64) -> u64 {
    (dollars * 1e15).round() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tariff(config: &PricesConfig) -> Tariff {
        Tariff::open(config, Some("us-east-1")).unwrap()
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < wanted * 1e-9, "{found} and {wanted}");
    }

    #[test]
    fn a_bill_is_what_its_parts_cost() {
        let tariff = tariff(&PricesConfig::default());
        let requests =
            Requests { put: 100, list: 100, get: 1_000, delete: 9, ..Requests::default() };
        let usage = Usage { ms: 1_000, mb_ms: 2_048_000, calls: 10, cold: 0 };
        let bill = Bill { requests, usage, data_bytes: 1 << 30, ..Bill::default() };
        let cost = tariff.cost(&bill).unwrap();
        near(cost.requests, 200.0 * 5e-6 + 1_000.0 * 0.4e-6);
        near(cost.compute, 2.0 * 0.0000166667 + 10.0 * 0.2e-6);
        near(cost.storage, 0.023 / 30.0);
        near(cost.total, cost.requests + cost.compute + cost.storage);
        assert!(tariff.note().contains("us-east-1"), "{}", tariff.note());
    }

    #[test]
    fn a_gateway_that_is_a_function_is_paid_beside_the_workers() {
        let tariff = tariff(&PricesConfig::default());
        assert!(tariff.answering(2_000).is_zero());
        let gateway = tariff.clone().of_function(1_024).answering(2_000);
        assert_eq!((gateway.calls, gateway.mb_ms), (1, 2_048_000));
        let cost = tariff.cost(&Bill { gateway, ..Bill::default() }).unwrap();
        near(cost.compute, 2.0 * 0.0000166667 + 0.2e-6);
        let container = ContainerConfig { vcpu: 1.0, memory_gb: 2.0, slots: 1.0, spot: false };
        let config = PricesConfig { container: Some(container), ..PricesConfig::default() };
        let slots = Bill { slot_us: 1_000_000, ..Bill::default() };
        let both = self::tariff(&config).cost(&Bill { gateway, ..slots }).unwrap();
        near(both.compute, self::tariff(&config).cost(&slots).unwrap().compute + cost.compute);
    }

    #[test]
    fn workers_count_in_the_same_dollars() {
        use dunlin_manifest::records::SealTotals;
        let tariff = tariff(&PricesConfig::default());
        let spend = tariff.spend(0.5).unwrap();
        assert_eq!(spend.most, 500_000_000_000_000);
        let requests = Requests { put: 7, get: 9, list: 1, ..Requests::default() };
        let usage = Usage { calls: 3, cold: 1, ms: 2_000, mb_ms: 3_538_000 };
        let bill = Bill { requests, usage, ..Bill::default() };
        let used = SealTotals { requests, usage, ..SealTotals::default() };
        let cost = tariff.cost(&bill).unwrap();
        let counted = spend.of(&used) as f64 / 1e15;
        assert!((cost.total - counted).abs() < cost.total * 1e-4, "{cost:?} and {counted}");
    }

    #[test]
    fn containers_are_paid_by_the_time_of_their_slots() {
        let container = ContainerConfig { vcpu: 2.0, memory_gb: 8.0, slots: 2.0, spot: false };
        let config = PricesConfig { container: Some(container), ..PricesConfig::default() };
        let bill = Bill { slot_us: 3_600_000_000, ..Bill::default() };
        let cost = tariff(&config).cost(&bill).unwrap();
        near(cost.compute, (2.0 * 0.04048 + 8.0 * 0.004445) / 2.0);
        let spot = ContainerConfig { spot: true, ..container };
        let spot = PricesConfig { container: Some(spot), ..PricesConfig::default() };
        assert!(tariff(&spot).cost(&bill).unwrap().compute < cost.compute / 2.0);
        assert_eq!(tariff(&PricesConfig::default()).cost(&bill).unwrap().compute, 0.0);
    }

    #[test]
    fn without_a_price_there_are_no_dollars_and_the_reason_is_told() {
        let here = PricesConfig { region: Some("mars-1".to_owned()), ..PricesConfig::default() };
        let none = tariff(&here);
        assert_eq!(none.cost(&Bill::default()), None);
        assert!(none.note().contains("mars-1"), "{}", none.note());
        let unset = Tariff::open(&PricesConfig::default(), None).unwrap();
        assert!(unset.note().contains("[prices] region is not set"));
    }
}
