//! What a query costs: the prices, what a bill amounts to, and what a query is expected to cost before it runs.
//!
//! ```text
//!   infra/prices/aws.json ─> prices ─┐
//!   [prices] ─────────────> tariff ──┴─> dollars of a bill (after), of an estimate (before), and limits for workers
//! ```

mod estimate;
mod prices;
mod tariff;

pub use estimate::{Estimate, Range};
pub use prices::{
    ContainerPrices, ExpressPrices, FunctionPrices, PriceError, PriceFile, Prices, Source,
    StorePrices,
};
pub use tariff::{Architecture, Bill, ContainerConfig, Cost, PricesConfig, Tariff};
