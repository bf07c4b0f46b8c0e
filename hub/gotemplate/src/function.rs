//! What a function of a template is: a Go signature, which the evaluator checks before each call with Go's messages, and what it does.

use std::any::Any;

use crate::{Budget, CallError, List, Map, Text, Uint, Value};

/// A function that templates may call.
pub struct Function {
    /// Its name in templates.
    pub name: &'static str,
    /// The types of its fixed parameters.
    pub parameters: &'static [Type],
    /// The type of any number of further arguments.
    pub variadic: Option<Type>,
    /// What it does. It is called with arguments of the declared types only.
    pub call: fn(&mut Call<'_>, Args<'_>) -> Result<Value, CallError>,
}

/// The Go type of a parameter: what may be given for it, by the rules of `text/template`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: anything, also nil.
    Any,
    /// `string`.
    Text,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `int64`.
    Int64,
    /// `uint32`: a [`crate::Uint`].
    Uint32,
    /// `float64`.
    Float,
    /// `[]interface {}`.
    List,
    /// `[]string`.
    Texts,
    /// `map[string]interface {}`, and what is assignable to it.
    Map,
    /// Another type, by its Go name, such as `time.Time`: an [`crate::Object`] of that type name.
    Named(&'static str),
}

/// The functions that templates may call beside Go's own, found when a template is parsed.
pub trait Functions: Sync {
    /// The function `name`.
    fn find(&self, name: &str) -> Option<&'static Function>;

    /// The method `name` of [`crate::MapType::Values`], as a function that takes the map before the other arguments.
    fn method(&self, _name: &[u8]) -> Option<&'static Function> {
        None
    }
}

/// The arguments of one call. The accessors are for arguments of the declared type, which the evaluator has checked.
#[derive(Clone, Copy)]
pub struct Args<'a>(pub &'a [Value]);

impl<'a> Args<'a> {
    /// The argument at `index`.
    pub fn any(&self, index: usize) -> &'a Value {
        &self.0[index]
    }

    /// The argument at `index`, a [`Type::Text`].
    pub fn text(&self, index: usize) -> &'a Text {
        match &self.0[index] {
            Value::Text(text) => text,
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::Bool`].
    pub fn bool(&self, index: usize) -> bool {
        match &self.0[index] {
            Value::Bool(value) => *value,
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::Int`] or [`Type::Int64`].
    pub fn int(&self, index: usize) -> i64 {
        match &self.0[index] {
            Value::Int(value) | Value::Int64(value) => *value,
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::Uint32`].
    pub fn uint32(&self, index: usize) -> u32 {
        match &self.0[index] {
            Value::Object(object) => object.as_any().downcast_ref::<Uint>().map_or(0, |uint| uint.number as u32),
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::Float`].
    pub fn float(&self, index: usize) -> f64 {
        match &self.0[index] {
            Value::Float(value) => *value,
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::List`] or [`Type::Texts`].
    pub fn list(&self, index: usize) -> &'a List {
        match &self.0[index] {
            Value::List(list) => list,
            other => mismatch(index, other),
        }
    }

    /// The argument at `index`, a [`Type::Map`].
    pub fn map(&self, index: usize) -> &'a Map {
        match &self.0[index] {
            Value::Map(map) => map,
            other => mismatch(index, other),
        }
    }

    /// The arguments from `index` on.
    pub fn rest(&self, index: usize) -> &'a [Value] {
        &self.0[index..]
    }
}

#[expect(clippy::panic, reason = "the evaluator has checked the argument against the declared type; a test calls every function")]
fn mismatch(index: usize, value: &Value) -> ! {
    panic!("argument {index} was declared with another type than {value:?} has")
}

/// What a call may ask of the evaluation it is part of.
pub(crate) trait Evaluation {
    fn execute(&mut self, name: &[u8], dot: Value) -> Result<Text, CallError>;
    fn evaluate(&mut self, source: &Text, dot: Value) -> Result<Text, CallError>;
}

/// The surroundings of one call: the budget, the templates, and what the host has laid down for its functions.
pub struct Call<'a> {
    pub(crate) evaluation: &'a mut (dyn Evaluation + 'a),
    pub(crate) host: &'a dyn Any,
    pub(crate) budget: &'a Budget,
    pub(crate) template: &'a Text,
    pub(crate) number: u64,
}

impl Call<'_> {
    /// What the host gave to the evaluation, for its functions to downcast.
    pub fn host(&self) -> &dyn Any {
        self.host
    }

    /// What the evaluation may use up.
    pub fn budget(&self) -> &Budget {
        self.budget
    }

    /// Takes `steps` from the budget: a function calls it with the number of items or bytes that it is about to go through or make, as soon as
    /// that can be more than a page.
    pub fn spend(&mut self, steps: usize) -> Result<(), CallError> {
        Ok(self.budget.spend(steps)?)
    }

    /// Takes `bytes` from the budget of output: for functions whose result can be much longer than their arguments, before they make it.
    pub fn make(&mut self, bytes: usize) -> Result<(), CallError> {
        Ok(self.budget.write(bytes)?)
    }

    /// What the template `name` prints with `dot`, one level deeper. The error is Go's `template: no template "x" associated with template "y"`,
    /// or [`CallError::Nested`] without prefix.
    pub fn execute(&mut self, name: &[u8], dot: Value) -> Result<Text, CallError> {
        self.evaluation.execute(name, dot)
    }

    /// What the template `source` prints with `dot`, one level deeper. It is parsed under the name of the root of the set of templates; what it
    /// defines is seen by it alone. The error is [`CallError::Unparsed`], or [`CallError::Nested`] without prefix.
    pub fn evaluate(&mut self, source: &Text, dot: Value) -> Result<Text, CallError> {
        self.evaluation.evaluate(source, dot)
    }

    /// The name of the template that contains the call.
    pub fn template(&self) -> &Text {
        self.template
    }

    /// How many calls of functions there were in this execution before this one; two calls never have the same number.
    pub fn number(&self) -> u64 {
        self.number
    }
}
