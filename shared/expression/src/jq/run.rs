//! Evaluation within a budget.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Expr, Key, Order};

/// The steps of one evaluation: an object of 2 KB has 100 values, one of 1.5 MB some 50,000. A step holds 100 bytes at most, so that this is
/// 10 MB and some 10 ms.
const STEPS: u64 = 100_000;

/// An expression that costs more than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression costs more than {STEPS} steps on this object")]
pub struct SpentError;

enum Stop {
    Spent,
    /// It does not fit the value; `?` catches it.
    Misfit,
}

#[derive(Clone)]
struct Node<'v> {
    /// Where it is; `None` for what was computed.
    path: Option<Vec<Key>>,
    value: Cow<'v, Value>,
}

const NULL: Value = Value::Null;

pub(super) fn places(root: &Expr, object: &Value) -> Result<Vec<Vec<Key>>, SpentError> {
    let mut run = Run { left: STEPS };
    let mut found = Vec::new();
    match run.eval(root, &Node { path: Some(Vec::new()), value: Cow::Borrowed(object) }, &mut found) {
        Ok(()) => {}
        Err(Stop::Misfit) => return Ok(Vec::new()),
        Err(Stop::Spent) => return Err(SpentError),
    }
    let mut places: Vec<_> = found.into_iter().filter_map(|node| node.path).collect();
    places.sort();
    places.dedup();
    Ok(places)
}

struct Run {
    left: u64,
}

impl Run {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(steps as u64).ok_or(Stop::Spent)?;
        Ok(())
    }

    fn eval<'v>(&mut self, expr: &Expr, input: &Node<'v>, out: &mut Vec<Node<'v>>) -> Result<(), Stop> {
        // A place is copied with its path.
        self.spend(1 + input.path.as_ref().map_or(0, Vec::len) / 4)?;
        match expr {
            Expr::Identity => out.push(input.clone()),
            Expr::Recurse => self.recurse(input, out)?,
            Expr::Field(name) => out.push(field(input, name)?),
            Expr::Index(index) => out.extend(element(input, *index)?),
            Expr::Slice(from, to) => self.slice(input, *from, *to, out)?,
            Expr::Iterate => self.iterate(input, out)?,
            Expr::Literal(value) => out.push(computed(value.clone())),
            Expr::Pipe(a, b) => {
                let (middle, result) = self.outputs(a, input);
                for node in &middle {
                    self.eval(b, node, out)?;
                }
                result?;
            }
            Expr::Comma(a, b) => {
                self.eval(a, input, out)?;
                self.eval(b, input, out)?;
            }
            Expr::Alternative(a, b) => {
                let (found, result) = self.outputs(a, input);
                if let Err(Stop::Spent) = result {
                    return Err(Stop::Spent);
                }
                let before = out.len();
                out.extend(found.into_iter().filter(|node| is_true(&node.value)));
                if out.len() == before {
                    self.eval(b, input, out)?;
                }
            }
            Expr::Or(a, b) => self.logic(a, b, true, input, out)?,
            Expr::And(a, b) => self.logic(a, b, false, input, out)?,
            Expr::Compare(order, a, b) => {
                let (right, result) = self.outputs(b, input);
                result?;
                let (left, result) = self.outputs(a, input);
                for b in &right {
                    for a in &left {
                        let ordering = self.compare(&a.value, &b.value)?;
                        out.push(truth(holds(*order, ordering)));
                    }
                }
                result?;
            }
            Expr::Try(inner) => match self.eval(inner, input, out) {
                Err(Stop::Misfit) => {}
                result => result?,
            },
            Expr::If(condition, then, otherwise) => {
                let (conditions, result) = self.outputs(condition, input);
                for condition in &conditions {
                    self.eval(if is_true(&condition.value) { then } else { otherwise }, input, out)?;
                }
                result?;
            }
            Expr::Select(condition) => {
                let (conditions, result) = self.outputs(condition, input);
                for condition in conditions {
                    if is_true(&condition.value) {
                        out.push(input.clone());
                    }
                }
                result?;
            }
            Expr::First(inner) => {
                let (found, result) = self.outputs(inner, input);
                match found.into_iter().next() {
                    Some(first) => out.push(first),
                    None => result?,
                }
            }
            Expr::Empty => {}
            Expr::Quantified { all, generator, condition } => {
                let (found, result) = self.outputs(generator, input);
                for node in &found {
                    let (conditions, result) = self.outputs(condition, node);
                    if conditions.iter().any(|condition| is_true(&condition.value) != *all) {
                        out.push(truth(!*all));
                        return Ok(());
                    }
                    result?;
                }
                result?;
                out.push(truth(*all));
            }
            Expr::In(values) => {
                let (values, result) = self.outputs(values, input);
                let mut found = false;
                for value in &values {
                    found |= self.compare(&input.value, &value.value)? == Ordering::Equal;
                }
                result?;
                out.push(truth(found));
            }
            Expr::Not => out.push(truth(!is_true(&input.value))),
            Expr::Length => out.push(computed(length(&input.value)?)),
            Expr::Type => out.push(computed(Value::from(type_name(&input.value)))),
            Expr::Keys => out.push(self.keys(&input.value)?),
            Expr::ToText => {
                let text = match &*input.value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                self.spend(text.len() / 8)?;
                out.push(computed(Value::String(text)));
            }
            Expr::LowerCase => {
                let text = input.value.as_str().ok_or(Stop::Misfit)?;
                self.spend(text.len() / 8)?;
                out.push(computed(Value::String(text.to_ascii_lowercase())));
            }
            Expr::Has(key) => self.with_each(key, input, out, |_, value, key| match (value, key) {
                (Value::Object(map), Value::String(key)) => Ok(map.contains_key(key)),
                (Value::Array(list), Value::Number(index)) => Ok(index.as_u64().is_some_and(|index| index < list.len() as u64)),
                _ => Err(Stop::Misfit),
            })?,
            Expr::StartsWith(start) => {
                self.with_each(start, input, out, |_, value, start| texts(value, start).map(|(text, start)| text.starts_with(start)))?;
            }
            Expr::EndsWith(end) => {
                self.with_each(end, input, out, |_, value, end| texts(value, end).map(|(text, end)| text.ends_with(end)))?;
            }
            Expr::Contains(part) => self.with_each(part, input, out, Self::contains)?,
            Expr::Test(pattern) => {
                let text = input.value.as_str().ok_or(Stop::Misfit)?;
                self.spend(text.len())?;
                out.push(truth(pattern.is_match(text)));
            }
        }
        Ok(())
    }

    /// What an expression yields, and how it ended; what came before a misfit counts.
    fn outputs<'v>(&mut self, expr: &Expr, input: &Node<'v>) -> (Vec<Node<'v>>, Result<(), Stop>) {
        let mut found = Vec::new();
        let result = self.eval(expr, input, &mut found);
        (found, result)
    }

    fn logic<'v>(&mut self, a: &Expr, b: &Expr, short: bool, input: &Node<'v>, out: &mut Vec<Node<'v>>) -> Result<(), Stop> {
        let (left, result) = self.outputs(a, input);
        for a in left {
            if is_true(&a.value) == short {
                out.push(truth(short));
                continue;
            }
            let (right, result) = self.outputs(b, input);
            out.extend(right.into_iter().map(|b| truth(is_true(&b.value))));
            result?;
        }
        result
    }

    fn with_each<'v>(
        &mut self,
        argument: &Expr,
        input: &Node<'v>,
        out: &mut Vec<Node<'v>>,
        ask: fn(&mut Self, &Value, &Value) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        let (arguments, result) = self.outputs(argument, input);
        for argument in &arguments {
            let answer = ask(self, &input.value, &argument.value)?;
            out.push(truth(answer));
        }
        result
    }

    fn recurse<'v>(&mut self, input: &Node<'v>, out: &mut Vec<Node<'v>>) -> Result<(), Stop> {
        let mut pending = vec![input.clone()];
        while let Some(node) = pending.pop() {
            self.spend(1 + node.path.as_ref().map_or(0, Vec::len) / 4)?;
            if matches!(&*node.value, Value::Object(_) | Value::Array(_)) {
                let from = pending.len();
                self.iterate(&node, &mut pending)?;
                pending[from..].reverse();
            }
            out.push(node);
        }
        Ok(())
    }

    fn iterate<'v>(&mut self, input: &Node<'v>, out: &mut Vec<Node<'v>>) -> Result<(), Stop> {
        let before = out.len();
        let below = |key: Key| input.path.as_ref().map(|path| path.iter().cloned().chain([key]).collect());
        match &input.value {
            Cow::Borrowed(Value::Array(list)) => out
                .extend(list.iter().enumerate().map(|(index, value)| Node { path: below(Key::Index(index)), value: Cow::Borrowed(value) })),
            Cow::Borrowed(Value::Object(map)) => {
                out.extend(map.iter().map(|(name, value)| Node { path: below(Key::Field(name.clone())), value: Cow::Borrowed(value) }));
            }
            Cow::Owned(Value::Array(list)) => out.extend(list.iter().map(|value| computed(value.clone()))),
            _ => return Err(Stop::Misfit),
        }
        let depth = input.path.as_ref().map_or(0, Vec::len);
        self.spend((out.len() - before) * (1 + depth / 4))
    }

    fn slice<'v>(&mut self, input: &Node<'v>, from: Option<i64>, to: Option<i64>, out: &mut Vec<Node<'v>>) -> Result<(), Stop> {
        let Some(list) = input.value.as_array() else {
            return if input.value.is_null() { Ok(()) } else { Err(Stop::Misfit) };
        };
        let length = list.len();
        let at = |index: i64| {
            usize::try_from(if index < 0 { index.saturating_add_unsigned(length as u64) } else { index }).unwrap_or(0).min(length)
        };
        let (from, to) = (from.map_or(0, at), to.map_or(length, at));
        let mut all = Vec::new();
        self.iterate(input, &mut all)?;
        // jq takes a range for one place; its elements are the same places as far as taking them away goes.
        out.extend(all.into_iter().take(to).skip(from));
        Ok(())
    }

    fn keys<'v>(&mut self, value: &Value) -> Result<Node<'v>, Stop> {
        let keys: Vec<Value> = match value {
            Value::Object(map) => map.keys().map(|key| Value::from(key.as_str())).collect(),
            Value::Array(list) => (0..list.len()).map(Value::from).collect(),
            _ => return Err(Stop::Misfit),
        };
        self.spend(keys.len())?;
        Ok(computed(Value::Array(keys)))
    }

    /// jq's order: null, false, true, numbers, texts, lists, maps.
    fn compare(&mut self, a: &Value, b: &Value) -> Result<Ordering, Stop> {
        self.spend(1)?;
        let rank = |value: &Value| match value {
            Value::Null => 0,
            Value::Bool(false) => 1,
            Value::Bool(true) => 2,
            Value::Number(_) => 3,
            Value::String(_) => 4,
            Value::Array(_) => 5,
            Value::Object(_) => 6,
        };
        Ok(match (a, b) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
            },
            (Value::String(a), Value::String(b)) => {
                self.spend(a.len().min(b.len()) / 64)?;
                a.cmp(b)
            }
            (Value::Array(a), Value::Array(b)) => {
                for (a, b) in a.iter().zip(b) {
                    match self.compare(a, b)? {
                        Ordering::Equal => {}
                        unequal => return Ok(unequal),
                    }
                }
                a.len().cmp(&b.len())
            }
            (Value::Object(a), Value::Object(b)) => {
                self.spend(a.len() + b.len())?;
                match a.keys().cmp(b.keys()) {
                    Ordering::Equal => {}
                    unequal => return Ok(unequal),
                }
                for (a, b) in a.values().zip(b.values()) {
                    match self.compare(a, b)? {
                        Ordering::Equal => {}
                        unequal => return Ok(unequal),
                    }
                }
                Ordering::Equal
            }
            _ => rank(a).cmp(&rank(b)),
        })
    }

    /// jq's `contains`: texts by part, lists and maps by each element of `part`.
    fn contains(&mut self, whole: &Value, part: &Value) -> Result<bool, Stop> {
        self.spend(1)?;
        Ok(match (whole, part) {
            (Value::String(whole), Value::String(part)) => {
                self.spend((whole.len() + part.len()) / 16)?;
                whole.contains(part.as_str())
            }
            (Value::Array(whole), Value::Array(part)) => {
                for part in part {
                    let mut found = false;
                    for whole in whole {
                        found = found || (std::mem::discriminant(whole) == std::mem::discriminant(part) && self.contains(whole, part)?);
                    }
                    if !found {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(whole), Value::Object(part)) => {
                for (name, part) in part {
                    match whole.get(name) {
                        Some(whole) if self.contains(whole, part)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => self.compare(a, b)? == Ordering::Equal,
            _ => return Err(Stop::Misfit),
        })
    }
}

fn field<'v>(input: &Node<'v>, name: &str) -> Result<Node<'v>, Stop> {
    let value = match &input.value {
        Cow::Borrowed(Value::Object(map)) => Cow::Borrowed(map.get(name).unwrap_or(&NULL)),
        Cow::Borrowed(Value::Null) => Cow::Borrowed(&NULL),
        Cow::Owned(Value::Null) => Cow::Owned(NULL),
        _ => return Err(Stop::Misfit),
    };
    Ok(Node { path: input.path.as_ref().map(|path| path.iter().cloned().chain([Key::Field(name.to_owned())]).collect()), value })
}

/// The element at an index; one from the end that is not there is no place.
fn element<'v>(input: &Node<'v>, index: i64) -> Result<Option<Node<'v>>, Stop> {
    let list = match &*input.value {
        Value::Array(list) => list.len(),
        Value::Null => 0,
        _ => return Err(Stop::Misfit),
    };
    let Ok(index) = usize::try_from(if index < 0 { index.saturating_add_unsigned(list as u64) } else { index }) else { return Ok(None) };
    let value = match &input.value {
        Cow::Borrowed(value) => Cow::Borrowed(value.get(index).unwrap_or(&NULL)),
        Cow::Owned(value) => Cow::Owned(value.get(index).cloned().unwrap_or_default()),
    };
    Ok(Some(Node { path: input.path.as_ref().map(|path| path.iter().cloned().chain([Key::Index(index)]).collect()), value }))
}

fn texts<'a>(a: &'a Value, b: &'a Value) -> Result<(&'a str, &'a str), Stop> {
    a.as_str().zip(b.as_str()).ok_or(Stop::Misfit)
}

fn length(value: &Value) -> Result<Value, Stop> {
    Ok(match value {
        Value::Null => Value::from(0),
        Value::Bool(_) => return Err(Stop::Misfit),
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| Value::from(number.abs())),
        Value::String(text) => Value::from(text.chars().count()),
        Value::Array(list) => Value::from(list.len()),
        Value::Object(map) => Value::from(map.len()),
    })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn computed<'v>(value: Value) -> Node<'v> {
    Node { path: None, value: Cow::Owned(value) }
}

fn truth<'v>(answer: bool) -> Node<'v> {
    computed(Value::Bool(answer))
}

fn holds(order: Order, found: Ordering) -> bool {
    match order {
        Order::Equal => found.is_eq(),
        Order::Unequal => found.is_ne(),
        Order::Less => found.is_lt(),
        Order::LessOrEqual => found.is_le(),
        Order::Greater => found.is_gt(),
        Order::GreaterOrEqual => found.is_ge(),
    }
}
