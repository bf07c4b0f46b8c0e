//! What an app says about the health of kinds that the agent does not know.

use shared_expression::HealthExpressions;
use shared_model::GroupKind;

/// Expressions for a kind, or for all kinds of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRule {
    /// The API group.
    pub group: String,
    /// The kind; every kind of the group if `None`.
    pub kind: Option<String>,
    /// How its objects are.
    pub expressions: HealthExpressions,
}

/// The rule among `rules` for `kind`: one that names it goes before one for its group.
pub fn health_rule<'a>(rules: &'a [HealthRule], kind: &GroupKind) -> Option<&'a HealthRule> {
    let of_group = || rules.iter().filter(|rule| rule.group == kind.group);
    of_group().find(|rule| rule.kind.as_deref() == Some(kind.kind.as_str())).or_else(|| of_group().find(|rule| rule.kind.is_none()))
}
