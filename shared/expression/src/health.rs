//! The health of a kind in Flux's words: three expressions, of which one is needed (`healthCheckExprs`).

use serde_json::Value;

use crate::cel::{EvalError, Expression};

/// Expressions that say how objects of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthExpressions {
    /// True when it is healthy.
    pub current: Expression,
    /// True while it is on its way.
    pub in_progress: Option<Expression>,
    /// True when it has failed.
    pub failed: Option<Expression>,
}

/// What they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Healthy.
    Current,
    /// On its way: its controller has not seen the newest spec, an expression says so, or none is true.
    InProgress,
    /// Failed.
    Failed,
}

impl HealthExpressions {
    /// What they say of `object`, in Flux's order: in progress, failed, current. What its controller has not seen is in progress before any of
    /// them is asked.
    ///
    /// # Errors
    /// If one that is asked has no answer; Flux says Unknown then.
    pub fn judge(&self, object: &Value) -> Result<Judgement, EvalError> {
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
        if number("/status/observedGeneration").zip(number("/metadata/generation")).is_some_and(|(seen, now)| seen != now) {
            return Ok(Judgement::InProgress);
        }
        let in_order = [
            (self.in_progress.as_ref(), Judgement::InProgress),
            (self.failed.as_ref(), Judgement::Failed),
            (Some(&self.current), Judgement::Current),
        ];
        for (expression, judgement) in in_order {
            if let Some(expression) = expression
                && expression.holds(object)?
            {
                return Ok(judgement);
            }
        }
        Ok(Judgement::InProgress)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_is_in_progress_then_failed_then_current_and_nothing_is_in_progress() {
        let read = |text: &str| Expression::parse(text).expect("is one");
        let all = HealthExpressions {
            current: read("data.current"),
            in_progress: Some(read("data.inProgress")),
            failed: Some(read("data.failed")),
        };
        let object = |current: bool, in_progress: bool, failed: bool| json!({"data": {"current": current, "inProgress": in_progress, "failed": failed}});
        use Judgement::{Current, Failed, InProgress};
        for (object, judgement) in [
            (object(true, true, true), Ok(InProgress)),
            (object(true, false, true), Ok(Failed)),
            (object(true, false, false), Ok(Current)),
            (object(false, false, false), Ok(InProgress)),
            (json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Ok(InProgress)),
            (json!({"metadata": {"generation": 2}, "status": {"observedGeneration": "1"}, "data": {"inProgress": true}}), Ok(InProgress)),
            (json!({"data": {"inProgress": false}}), Err(EvalError::NoSuchKey("failed".to_owned()))),
        ] {
            assert_eq!(all.judge(&object), judgement, "{object}");
        }
        let one = HealthExpressions { current: read("data.current"), in_progress: None, failed: None };
        assert_eq!(one.judge(&object(true, true, true)), Ok(Current));
        assert_eq!(one.judge(&json!({"data": {"current": "yes"}})), Err(EvalError::NotBoolean("string")));
    }
}
