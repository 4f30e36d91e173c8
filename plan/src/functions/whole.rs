//! Sums, differences and products of whole numbers that are an error where they do not fit into their type. The engine's
//! own wrap around: `INT '2147483647' + INT '1'` is −2147483648 there.
//!
//! The planner puts these functions in the place of the engine's operators where a result may not fit
//! (`planner/src/sound/overflow.rs`). They have the names of the operators, so no column gets another name. `a + b + c` is one
//! call: what is sent to workers may not be nested deeply.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Datum};
use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// The functions, each with the operator that it stands for.
static FUNCTIONS: LazyLock<[(Operator, Arc<ScalarUDF>); 3]> = LazyLock::new(|| {
    [
        ("checked_add", Operator::Plus),
        ("checked_subtract", Operator::Minus),
        ("checked_multiply", Operator::Multiply),
    ]
    .map(|(name, operator)| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        (operator, Arc::new(ScalarUDF::from(Checked { name, operator, signature })))
    })
});

/// The function that does what an operator does and fails where the result does not fit; `None` for other operators.
#[must_use]
pub fn checked(operator: Operator) -> Option<Arc<ScalarUDF>> {
    let found = FUNCTIONS.iter().find(|(of, _)| *of == operator);
    found.map(|(_, function)| Arc::clone(function))
}

/// True for the names of these functions.
#[must_use]
pub fn is_checked(name: &str) -> bool {
    FUNCTIONS.iter().any(|(_, function)| function.name() == name)
}

/// All of them.
pub(super) fn all_checked() -> impl Iterator<Item = Arc<ScalarUDF>> {
    FUNCTIONS.iter().map(|(_, function)| Arc::clone(function))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(&format!(" {} ", self.operator)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [first, others @ ..] if first.is_integer() && others.iter().all(|it| it == first) => {
                Ok(first.clone())
            }
            _ => self.refused(),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, is_nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        match inputs {
            [first, ..] => Interval::make_unbounded(&first.data_type()),
            [] => self.refused(),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [first, others @ ..] = args.args.as_slice() else { return self.refused() };
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError> = match self.operator
        {
            Operator::Plus => add,
            Operator::Minus => sub,
            _ => mul,
        };
        others.iter().try_fold(first.clone(), |sum, other| apply(&sum, other, kernel))
    }
}

impl Checked {
    fn refused<T>(&self) -> Result<T> {
        plan_err!("{} has whole numbers of one type as its arguments", self.name)
    }
}
