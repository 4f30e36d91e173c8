//! Functions that have one answer, whatever they are asked.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function with one answer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl Constant {
    /// The function `name`, which answers `value`.
    pub(crate) fn new(name: &'static str, value: ScalarValue) -> Self {
        Self { name, value, signature: Self::any() }
    }

    /// Any arguments, or none.
    pub(crate) fn any() -> Signature {
        let kinds = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Signature::one_of(kinds, Volatility::Stable)
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}
