//! Health by what an app says of a kind itself (Flux's `healthCheckExprs`). Its answer replaces the kind's own rule, as in Flux. An expression
//! that has no answer on an object makes its health Unknown, and says why.

use serde_json::Value;
use shared_expression::{HealthExpressions, Judgement};

use crate::{Health, Verdict};

pub(crate) fn assess(expressions: &HealthExpressions, object: &Value) -> Verdict {
    match expressions.judge(object) {
        Ok(Judgement::Current) => Verdict::HEALTHY,
        Ok(Judgement::InProgress) => Verdict::progressing("NotCurrent", "the app's expression for its health is not true yet"),
        Ok(Judgement::Failed) => Verdict::degraded("ExpressionFailed", "the app's expression for its failure is true"),
        Err(error) => {
            Verdict::new(Health::Unknown, "ExpressionHasNoAnswer", format!("the app's expressions for its health have no answer: {error}"))
        }
    }
}
