//! Wraps a function so that it refuses to produce more bytes than a limit.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, StructFieldMapping,
};

use super::budget::{MOST_BYTES, constant_fits};
use super::texts::without_negatives;

/// How many bytes a call will produce. `None` if the function itself will report what is wrong with its arguments.
pub(super) type Estimate = fn(&Arc<dyn ScalarUDFImpl>, &ScalarFunctionArgs) -> Result<Option<u64>>;

/// No limit.
#[allow(clippy::unnecessary_wraps)] // as those with one
pub(super) fn none(_: &Arc<dyn ScalarUDFImpl>, _: &ScalarFunctionArgs) -> Result<Option<u64>> {
    Ok(None)
}

/// The engine's function with a limit. Everything except the limit is the function's own.
#[derive(Debug)]
pub(super) struct Bounded {
    function: Arc<dyn ScalarUDFImpl>,
    estimate: Estimate,
}

impl Bounded {
    pub(super) fn new(function: Arc<dyn ScalarUDFImpl>, estimate: Estimate) -> Self {
        Self { function, estimate }
    }

    fn again(&self, function: Arc<dyn ScalarUDFImpl>) -> ScalarUDF {
        ScalarUDF::from(Self::new(function, self.estimate))
    }

    /// If a call is simplified to another of the engine's own functions, that one gets the limit again.
    fn rebound(&self, expr: Expr) -> Result<Expr> {
        let expr = expr.transform_up(|expr| match expr {
            Expr::ScalarFunction(ScalarFunction { func, args })
                if func.name() == self.name() && !func.inner().is::<Self>() =>
            {
                let func = Arc::new(self.again(Arc::clone(func.inner())));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
            }
            other => Ok(Transformed::no(other)),
        });
        expr.map(|expr| expr.data)
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function.as_ref().dyn_eq(other.function.as_ref())
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, mut state: &mut H) {
        self.function.as_ref().dyn_hash(&mut state);
    }
}

// Every method of the trait except the deprecated `display_name` and `is_nullable`, which nothing calls.
impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let function = self.function.with_updated_config(config)?;
        Some(self.again(Arc::clone(function.inner())))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.function.is_strict()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if matches!(self.name(), "lpad" | "rpad") {
            without_negatives(&mut args);
        }
        let Some(bytes) = (self.estimate)(&self.function, &args)? else {
            return self.function.invoke_with_args(args);
        };
        if bytes > MOST_BYTES {
            return exec_err!(
                "{} would make more than {MOST_BYTES} bytes for {} rows; ask for less in one value, or make it where fewer rows are left",
                self.name(),
                args.number_rows
            );
        }
        let constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        if args.args.iter().all(constant) && !constant_fits(bytes) {
            return exec_err!("{} would make a constant of {bytes} bytes", self.name());
        }
        self.function.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.function.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) => {
                Ok(ExprSimplifyResult::Simplified(self.rebound(expr)?))
            }
            original @ ExprSimplifyResult::Original(_) => Ok(original),
        }
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.function.preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.function.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.function.evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.function.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        // Of the values of some functions and operators nothing is known, not even their type, and an order that follows from
        // them cannot be found: `ORDER BY abs(id / 2)`.
        Ok(self.function.output_ordering(inputs).unwrap_or(SortProperties::Unordered))
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn struct_field_mapping(&self, literals: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.function.struct_field_mapping(literals)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.function.placement(args)
    }
}
