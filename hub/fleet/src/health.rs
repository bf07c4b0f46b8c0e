//! What an app says about the health of kinds itself: Flux's `healthCheckExprs`, word for word.

use std::collections::BTreeSet;

use shared_expression::HealthExpressions;
use shared_expression::cel::Expression;
use shared_model::GroupKind;

use crate::problem::ProblemCode;
use crate::table::{At, Fields, Findings};

/// Expressions for a kind, or for all kinds of a group that have none of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheckExpr {
    /// The API group; empty is the core group.
    pub group: String,
    /// The kind; every kind of the group if `None`.
    pub kind: Option<String>,
    /// The expressions.
    pub expressions: HealthExpressions,
}

/// Reads the list. The texts were checked with the table's rule for CEL. A kind that stands twice is a problem, as in Flux.
pub(crate) fn decode_health(items: Vec<At<Fields>>, findings: &mut Findings) -> Vec<HealthCheckExpr> {
    let mut known = BTreeSet::new();
    let mut rules = Vec::new();
    for item in items {
        let mark = item.mark();
        let Some(rule) = decode(item.value) else { continue };
        if known.insert((rule.group.clone(), rule.kind.clone())) {
            rules.push(rule);
            continue;
        }
        let what = rule.kind.as_deref().map_or_else(|| format!("the group \"{}\"", rule.group), str::to_owned);
        findings.error(mark, ProblemCode::FieldConflict, format!("\"healthCheckExprs\" says twice how {what} is"), None);
    }
    rules
}

fn decode(mut fields: Fields) -> Option<HealthCheckExpr> {
    let mut expression = |name| fields.text(name).and_then(|text| Expression::parse(&text.value).ok());
    let current = expression("current")?;
    let (in_progress, failed) = (expression("inProgress"), expression("failed"));
    let kind = fields.text("kind").map(|kind| kind.value);
    let group = GroupKind::of(&fields.text("apiVersion")?.value, "").group;
    Some(HealthCheckExpr { group, kind, expressions: HealthExpressions { current, in_progress, failed } })
}
