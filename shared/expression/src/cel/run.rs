//! Evaluation within a budget. `&&`, `||` and the loops that stand for them have an answer where one side decides, whatever ails the other.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value;

use super::functions;
use super::value::Val;
use super::{EvalError, Expr, Loop, Operator, STEPS};

pub(super) type Eval<'v> = Result<Val<'v>, EvalError>;

/// What is left of the budget.
pub(super) struct Meter {
    left: u64,
}

impl Meter {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        self.left = self.left.checked_sub(steps as u64).ok_or(EvalError::Spent)?;
        Ok(())
    }
}

pub(super) fn holds(root: &Expr, object: &Value) -> Result<bool, EvalError> {
    let mut run = Run { object, loops: Vec::new(), meter: Meter { left: STEPS } };
    match run.eval(root)? {
        Val::Bool(answer) => Ok(answer),
        other => Err(EvalError::NotBoolean(other.type_name())),
    }
}

struct Run<'v, 'e> {
    object: &'v Value,
    /// The variables of the loops around, the innermost last.
    loops: Vec<(&'e str, Val<'v>)>,
    meter: Meter,
}

impl<'v, 'e> Run<'v, 'e> {
    fn eval(&mut self, expr: &'e Expr) -> Eval<'v> {
        self.meter.spend(1)?;
        match expr {
            Expr::Literal(literal) => Ok(Val::literal(literal)),
            Expr::Variable(name) => self.variable(name),
            Expr::Select { from, field, optional } => {
                let from = self.eval(from)?;
                self.look_up(from, &Val::text(field.as_str()), *optional)
            }
            Expr::Has { from, field } => {
                let from = match self.eval(from)? {
                    Val::Optional(None) => return Ok(Val::Bool(false)),
                    Val::Optional(Some(inner)) => (*inner).clone(),
                    from => from,
                };
                Ok(Val::Bool(from.entry(&Val::text(field.as_str()), &mut self.meter)?.is_some()))
            }
            Expr::Index { from, index, optional } => {
                let from = self.eval(from)?;
                let index = self.eval(index)?;
                self.look_up(from, &index, *optional)
            }
            Expr::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    match (self.eval(item)?, optional) {
                        (Val::Optional(inner), true) => list.extend(inner.map(|inner| (*inner).clone())),
                        (other, true) => return Err(EvalError::NoSuchOverload(format!("? before {}", other.type_name()))),
                        (value, false) => list.push(value),
                    }
                }
                Ok(Val::List(Arc::new(list)))
            }
            Expr::Map(items) => self.map(items),
            Expr::Not(inner) => match self.eval(inner)? {
                Val::Bool(value) => Ok(Val::Bool(!value)),
                other => Err(EvalError::NoSuchOverload(format!("!{}", other.type_name()))),
            },
            Expr::Negate(inner) => match self.eval(inner)? {
                Val::Int(value) => value.checked_neg().map(Val::Int).ok_or_else(overflow),
                Val::Double(value) => Ok(Val::Double(-value)),
                other => Err(EvalError::NoSuchOverload(format!("-{}", other.type_name()))),
            },
            Expr::And(a, b) => self.decide(a, b, false),
            Expr::Or(a, b) => self.decide(a, b, true),
            Expr::If(condition, then, otherwise) => match self.eval(condition)? {
                Val::Bool(true) => self.eval(then),
                Val::Bool(false) => self.eval(otherwise),
                other => Err(EvalError::NoSuchOverload(format!("{} ? _ : _", other.type_name()))),
            },
            Expr::Binary(operator, a, b) => {
                let a = self.eval(a)?;
                let b = self.eval(b)?;
                self.binary(*operator, &a, &b)
            }
            Expr::Call { function, arguments } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.eval(argument)?);
                }
                functions::call(*function, &values, &mut self.meter)
            }
            Expr::Matches(text, pattern) => {
                let text = self.eval(text)?;
                let text = text.as_text().ok_or_else(|| EvalError::NoSuchOverload(format!("{}.matches", text.type_name())))?;
                self.meter.spend(text.len() / 4)?;
                Ok(Val::Bool(pattern.is_match(text)))
            }
            Expr::Loop { kind, over, variable, condition, body } => self.run_loop(*kind, over, variable, condition.as_deref(), body),
            Expr::OptionalMap { flat, over, variable, body } => match self.eval(over)? {
                Val::Optional(None) => Ok(Val::Optional(None)),
                Val::Optional(Some(inner)) => {
                    let answer = self.with(variable, (*inner).clone(), body)?;
                    match (flat, answer) {
                        (true, answer @ Val::Optional(_)) => Ok(answer),
                        (true, other) => Err(EvalError::NoSuchOverload(format!("optFlatMap to {}", other.type_name()))),
                        (false, answer) => Ok(Val::Optional(Some(Arc::new(answer)))),
                    }
                }
                other => Err(EvalError::NoSuchOverload(format!("{}.optMap", other.type_name()))),
            },
        }
    }

    fn variable(&self, name: &str) -> Eval<'v> {
        if let Some((_, value)) = self.loops.iter().rev().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.object.get(name) {
            return Ok(Val::of(value));
        }
        let types = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
        types.into_iter().find(|known| *known == name).map(Val::Type).ok_or_else(|| EvalError::NoSuchAttribute(name.to_owned()))
    }

    fn look_up(&mut self, from: Val<'v>, index: &Val<'v>, optional: bool) -> Eval<'v> {
        let (from, optional_chain) = match from {
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => ((*inner).clone(), true),
            from => (from, false),
        };
        let found = if from.is_list() {
            let position = match index {
                Val::Int(position) => usize::try_from(*position).ok(),
                Val::Uint(position) => usize::try_from(*position).ok(),
                Val::Double(position) if position.fract() == 0.0 && *position >= 0.0 => Some(*position as usize),
                other => return Err(EvalError::NoSuchOverload(format!("list[{}]", other.type_name()))),
            };
            match (&from, position) {
                (Val::Json(list), Some(position)) => list.get(position).map(Val::of),
                (Val::List(list), Some(position)) => list.get(position).cloned(),
                _ => None,
            }
        } else {
            from.entry(index, &mut self.meter)?
        };
        match found {
            found if optional || optional_chain => Ok(Val::Optional(found.map(Arc::new))),
            Some(found) => Ok(found),
            None if from.is_list() => Err(EvalError::Value("index out of bounds".to_owned())),
            None => Err(EvalError::NoSuchKey(functions::plain(index).unwrap_or_else(|| index.type_name().to_owned()))),
        }
    }

    fn map(&mut self, items: &'e [(Expr, Expr, bool)]) -> Eval<'v> {
        let mut map: Vec<(Val<'v>, Val<'v>)> = Vec::with_capacity(items.len());
        for (key, value, optional) in items {
            let key = self.eval(key)?;
            if !matches!(key, Val::Bool(_) | Val::Int(_) | Val::Uint(_) | Val::Text(_)) {
                return Err(EvalError::Value(format!("unsupported key type: {}", key.type_name())));
            }
            let value = match (self.eval(value)?, optional) {
                (Val::Optional(Some(inner)), true) => (*inner).clone(),
                (Val::Optional(None), true) => continue,
                (other, true) => return Err(EvalError::NoSuchOverload(format!("? before {}", other.type_name()))),
                (value, false) => value,
            };
            // Of a key that stands twice the last counts.
            let mut twin = None;
            for (position, (known, _)) in map.iter().enumerate() {
                if known.equals(&key, &mut self.meter)? {
                    twin = Some(position);
                }
            }
            match twin {
                Some(position) => map[position].1 = value,
                None => map.push((key, value)),
            }
        }
        Ok(Val::Map(Arc::new(map)))
    }

    /// `||` if `deciding` is true, else `&&`: one side that decides makes the other irrelevant.
    fn decide(&mut self, a: &'e Expr, b: &'e Expr, deciding: bool) -> Eval<'v> {
        let left = boolean(self.eval(a));
        if matches!(left, Ok(answer) if answer == deciding) || matches!(left, Err(EvalError::Spent)) {
            return left.map(Val::Bool);
        }
        let right = boolean(self.eval(b));
        match (left, right) {
            (_, Ok(right)) if right == deciding => Ok(Val::Bool(deciding)),
            (_, Err(EvalError::Spent)) => Err(EvalError::Spent),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Val::Bool(!deciding)),
        }
    }

    fn with(&mut self, variable: &'e str, value: Val<'v>, body: &'e Expr) -> Eval<'v> {
        self.loops.push((variable, value));
        let answer = self.eval(body);
        self.loops.pop();
        answer
    }

    fn run_loop(&mut self, kind: Loop, over: &'e Expr, variable: &'e str, condition: Option<&'e Expr>, body: &'e Expr) -> Eval<'v> {
        let over = self.eval(over)?;
        self.meter.spend(over.count().unwrap_or(0))?;
        let keys = || over.entries().map(|entries| entries.into_iter().map(|(key, _)| key).collect());
        let Some(items): Option<Vec<Val<'v>>> = over.elements().or_else(keys) else {
            return Err(EvalError::NoSuchOverload(format!("a loop over {}", over.type_name())));
        };
        let mut error = None;
        let mut count = 0_u32;
        let mut list = Vec::new();
        for item in items {
            if let Some(condition) = condition {
                match self.with(variable, item.clone(), condition)? {
                    Val::Bool(true) => {}
                    Val::Bool(false) => continue,
                    other => return Err(EvalError::NoSuchOverload(format!("map where {}", other.type_name()))),
                }
            }
            let answer = self.with(variable, item.clone(), body);
            match kind {
                Loop::All | Loop::Exists => {
                    let deciding = kind == Loop::Exists;
                    match boolean(answer) {
                        Ok(answer) if answer == deciding => return Ok(Val::Bool(deciding)),
                        Ok(_) => {}
                        Err(EvalError::Spent) => return Err(EvalError::Spent),
                        Err(found) => error = error.or(Some(found)),
                    }
                }
                Loop::ExistsOne => count += u32::from(boolean(answer)?),
                Loop::Filter => {
                    if boolean(answer)? {
                        list.push(item);
                    }
                }
                Loop::Map => list.push(answer?),
            }
        }
        match (kind, error) {
            (Loop::All | Loop::Exists, Some(error)) => Err(error),
            (Loop::All, None) => Ok(Val::Bool(true)),
            (Loop::Exists, None) => Ok(Val::Bool(false)),
            (Loop::ExistsOne, _) => Ok(Val::Bool(count == 1)),
            (Loop::Map | Loop::Filter, _) => Ok(Val::List(Arc::new(list))),
        }
    }

    fn binary(&mut self, operator: Operator, a: &Val<'v>, b: &Val<'v>) -> Eval<'v> {
        Ok(Val::Bool(match operator {
            Operator::Equal => a.equals(b, &mut self.meter)?,
            Operator::Unequal => !a.equals(b, &mut self.meter)?,
            Operator::Less => a.order(b)? == Some(Ordering::Less),
            Operator::LessOrEqual => a.order(b)?.is_some_and(Ordering::is_le),
            Operator::Greater => a.order(b)? == Some(Ordering::Greater),
            Operator::GreaterOrEqual => a.order(b)?.is_some_and(Ordering::is_ge),
            Operator::In => match b.elements() {
                Some(elements) => {
                    let mut found = false;
                    for element in &elements {
                        found = found || element.equals(a, &mut self.meter)?;
                    }
                    found
                }
                None => b.entry(a, &mut self.meter)?.is_some(),
            },
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                return functions::calculate(operator, a, b, &mut self.meter);
            }
        }))
    }
}

fn boolean(answer: Eval<'_>) -> Result<bool, EvalError> {
    match answer? {
        Val::Bool(answer) => Ok(answer),
        other => Err(EvalError::NoSuchOverload(format!("{} where true or false is needed", other.type_name()))),
    }
}

pub(super) fn overflow() -> EvalError {
    EvalError::Value("integer overflow".to_owned())
}
