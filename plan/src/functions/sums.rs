//! `sum` of whole numbers. The engine's own wraps around beyond 64 bits.
//!
//! ```text
//!  BIGINT ──widened──> the engine's sum of DECIMAL(38, 0): 128 bits ──narrowed──> BIGINT, or an error
//! ```
//! What tasks exchange are sums of 128 bits, so whether the whole sum fits does not depend on how rows are divided among
//! tasks.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray,
};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, FieldRef, Int64Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator,
    Operator, ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};

/// Every sum of 64-bit numbers that can be written down fits.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// So much for each of a trillion rows fits into 64 bits.
const SMALL: u64 = 1 << 22;

/// The function.
pub(super) fn sum() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(AggregateUDF::from(CheckedSum { engine: Sum::new() })));
    Arc::clone(&FUNCTION)
}

/// The engine's sum, but of whole numbers in 128 bits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    engine: Sum,
}

fn is_whole(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64)
}

fn widened(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(WIDE))
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.engine.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_field.data_type().clone();
        if !is_whole(&to) {
            return self.engine.accumulator(args);
        }
        let return_field = widened(&args.return_field);
        let inner = self.engine.accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(Narrowed { inner, to }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_whole(args.return_type()) {
            return self.engine.state_fields(args);
        }
        let return_field = widened(&args.return_field);
        self.engine.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let to = args.return_field.data_type().clone();
        if !is_whole(&to) {
            return self.engine.create_groups_accumulator(args);
        }
        let return_field = widened(&args.return_field);
        let inner =
            self.engine.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(Narrowed { inner, to }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_field.data_type().clone();
        // The engine has distinct sums over moving frames for BIGINT only, and no other.
        if !is_whole(&to) || args.is_distinct {
            return self.engine.create_sliding_accumulator(args);
        }
        let return_field = widened(&args.return_field);
        let inner =
            self.engine.create_sliding_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(Narrowed { inner, to }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.engine.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engine.set_monotonicity(data_type)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        // The engine adds the constant times the number of rows, and that may not fit.
        let is_small = match literal {
            Expr::Literal(value, _) if value.data_type().is_integer() => {
                let value = value.cast_to(&DataType::Int64);
                matches!(value, Ok(ScalarValue::Int64(Some(value))) if value.unsigned_abs() <= SMALL)
            }
            _ => true,
        };
        if !is_small {
            return Ok(None);
        }
        self.engine.simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.engine.value_from_stats(args)
    }
}

/// An accumulator of wide sums whose answers have the type of the numbers.
#[derive(Debug)]
struct Narrowed<A> {
    inner: A,
    to: DataType,
}

impl Accumulator for Narrowed<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&wide(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&narrow(&sum, &self.to)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&wide(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Narrowed<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(&wide(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrow(&self.inner.evaluate(emit_to)?, &self.to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&wide(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

fn wide(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let one = |values: &ArrayRef| -> Result<ArrayRef> {
        let wide: Decimal128Array = match values.data_type() {
            DataType::Int64 => values.as_primitive::<Int64Type>().unary(i128::from),
            DataType::UInt64 => values.as_primitive::<UInt64Type>().unary(i128::from),
            other => return internal_err!("a sum of whole numbers gets {other}"),
        };
        Ok(Arc::new(wide.with_data_type(WIDE)))
    };
    values.iter().map(one).collect()
}

fn narrow(sums: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match to {
        DataType::Int64 => narrow_to::<Int64Type>(sums),
        DataType::UInt64 => narrow_to::<UInt64Type>(sums),
        other => internal_err!("a sum of whole numbers is to be {other}"),
    }
}

fn narrow_to<T>(sums: &ArrayRef) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let fitting = |sum: i128| {
        let overflow =
            |_| ArrowError::ArithmeticOverflow(format!("Overflow happened on: sum = {sum}"));
        T::Native::try_from(sum).map_err(overflow)
    };
    let sums: PrimitiveArray<T> = sums.as_primitive::<Decimal128Type>().try_unary(fitting)?;
    Ok(Arc::new(sums))
}
