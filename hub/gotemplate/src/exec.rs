//! Executes trees: Go's rules for values, arguments and scopes, with Go's messages, within the budget.

use std::any::Any;
use std::rc::Rc;

use crate::builtin::{Builtin, not_callable, zero_of};
use crate::function::Evaluation;
use crate::templates::{Execution, Layer, MissingKey, Templates, find};
use crate::tree::{Branch, Callee, Command, Ideal, Invocation, Mark, Node, Operand, Pipe, Range, Source, Span, Term, Tree, Variable};
use crate::value::value_at;
use crate::{
    Args, Budget, Call, CallError, Exceeded, ExecError, Function, List, ListType, Map, MapType, Place, Reason, Text, Type, Uint, Value,
    fmt, is_true, type_name,
};

/// Steps for entering a template, and for a call of a function of the host: each is about as long as so many nodes.
const TEMPLATE_STEPS: usize = 8;
/// See [`TEMPLATE_STEPS`].
const CALL_STEPS: usize = 4;

/// Steps for each byte of a text that is evaluated: it is parsed.
const PARSE_STEPS: usize = 4;
/// What parsing takes however short the text is, as bytes.
const FIXED_PARSE_BYTES: usize = 16;

/// A value and whether Go sees it as an `interface {}` that holds it. That makes no difference to what it is, but to what nil does, and to what
/// messages say.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) value: Value,
    pub(crate) interface: bool,
}

impl Held {
    fn concrete(value: Value) -> Self {
        Self { value, interface: false }
    }
}

/// What ended the execution of a template. The place is added where the template was entered.
enum Trouble {
    Message(String),
    Call { function: String, error: CallError },
    Exceeded(Exceeded),
    Located(ExecError),
}

type Stop = Box<Trouble>;

impl From<Exceeded> for Stop {
    fn from(exceeded: Exceeded) -> Self {
        Box::new(Trouble::Exceeded(exceeded))
    }
}

fn message<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Box::new(Trouble::Message(text.into())))
}

/// How the execution goes on after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One execution.
pub(crate) struct Machine<'e> {
    templates: &'e Templates,
    host: &'e dyn Any,
    budget: &'e Budget,
    missing_key: MissingKey,
    layer: Option<Rc<Layer>>,
    out: Vec<u8>,
    /// The variables of all templates that are being executed, the innermost last.
    slots: Vec<Held>,
    /// The node that Go would name in a message now.
    at: Mark,
    calls: u64,
}

/// The template that is being executed.
struct Frame<'f> {
    tree: &'f Tree,
    source: &'f Source,
    /// Where its variables begin.
    base: usize,
}

impl Frame<'_> {
    fn print(&self, operand: &Operand) -> String {
        let mut out = Vec::new();
        operand.print(self.source, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn slice(&self, span: Span) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.source.slice(span))
    }
}

impl<'e> Machine<'e> {
    /// An execution that prints at the end of `out`.
    pub(crate) fn new(templates: &'e Templates, execution: Execution<'e>, out: Vec<u8>) -> Self {
        let Execution { host, budget, missing_key } = execution;
        Self { templates, host, budget, missing_key, layer: None, out, slots: Vec::new(), at: Mark::default(), calls: 0 }
    }

    /// The whole of an execution.
    pub(crate) fn start(&mut self, name: &[u8], dot: Value) -> Result<(), ExecError> {
        let Some(found) = find(self.templates, None, name) else {
            return Err(ExecError::new(Text::default(), None, Reason::Message(self.not_associated(name))));
        };
        self.run(found.tree(), dot).map_err(|stop| unplaced(*stop))
    }

    /// What was printed.
    pub(crate) fn into_output(self) -> Vec<u8> {
        self.out
    }

    fn not_associated(&self, name: &[u8]) -> String {
        format!("no template {} associated with template {}", fmt::quote(name), fmt::quote(self.templates.root()))
    }

    /// Executes one template. What ends it comes back with its place, but for that it could not begin.
    fn run(&mut self, tree: &Tree, dot: Value) -> Result<(), Stop> {
        self.budget.spend(TEMPLATE_STEPS)?;
        self.budget.enter()?;
        let base = self.slots.len();
        let caller_at = std::mem::take(&mut self.at);
        let dot = Held::concrete(dot);
        self.slots.push(dot.clone());
        self.slots.resize_with(base + tree.variables, Held::default);
        let frame = Frame { tree, source: &tree.source, base };
        let result = stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || self.list(&frame, tree.nodes, &dot));
        let at = std::mem::replace(&mut self.at, caller_at);
        self.slots.truncate(base);
        self.budget.leave();
        match result {
            Ok(_) => Ok(()),
            Err(stop) => Err(Box::new(Trouble::Located(locate(tree, at, *stop)))),
        }
    }

    fn list(&mut self, frame: &Frame<'_>, nodes: Range, dot: &Held) -> Result<Flow, Stop> {
        for node in nodes.of(&frame.source.nodes) {
            self.budget.spend(1)?;
            match node {
                Node::Text(span) => {
                    let text = frame.source.slice(*span);
                    self.budget.write(text.len())?;
                    self.out.extend_from_slice(text);
                }
                Node::Action(pipe) => {
                    let mut value = Value::Nil;
                    self.pipeline(frame, pipe, dot, &mut value)?;
                    if pipe.variables.is_empty() {
                        self.at = pipe.action();
                        self.print(&value)?;
                    }
                }
                Node::If(branch) => {
                    let flow = self.condition(frame, &frame.source.branches[*branch as usize], dot, false)?;
                    if flow != Flow::Next {
                        return Ok(flow);
                    }
                }
                Node::With(branch) => {
                    let flow = self.condition(frame, &frame.source.branches[*branch as usize], dot, true)?;
                    if flow != Flow::Next {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => {
                    let branch = &frame.source.branches[*branch as usize];
                    let flow = if branch.deep {
                        stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || self.range(frame, branch, dot))?
                    } else {
                        self.range(frame, branch, dot)?
                    };
                    if flow != Flow::Next {
                        return Ok(flow);
                    }
                }
                Node::Template(invocation) => self.template(frame, invocation, dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Result<(), Stop> {
        let before = self.out.len();
        match value {
            Value::Text(text) => self.out.extend_from_slice(text),
            Value::Nil => self.out.extend_from_slice(b"<no value>"),
            Value::Object(object) if object.kind() == "struct" => self.out.extend_from_slice(&object.show()),
            other => fmt::append(&mut self.out, other, fmt::LONGEST.min(self.budget.output_left()))?,
        }
        self.budget.write(self.out.len() - before)?;
        Ok(())
    }

    fn condition(&mut self, frame: &Frame<'_>, branch: &Branch, dot: &Held, with: bool) -> Result<Flow, Stop> {
        let mut value = Value::Nil;
        self.pipeline(frame, &branch.pipe, dot, &mut value)?;
        let truth = is_true(&value);
        let nodes = match (branch.otherwise, truth) {
            (_, true) => branch.body,
            (Some(otherwise), false) => otherwise,
            (None, false) => return Ok(Flow::Next),
        };
        let own;
        let dot = if with && truth {
            own = Held::concrete(value);
            &own
        } else {
            dot
        };
        if branch.deep {
            stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || self.list(frame, nodes, dot))
        } else {
            self.list(frame, nodes, dot)
        }
    }

    fn range(&mut self, frame: &Frame<'_>, branch: &Branch, dot: &Held) -> Result<Flow, Stop> {
        let mut value = Value::Nil;
        self.pipeline(frame, &branch.pipe, dot, &mut value)?;
        let value = match value {
            Value::Object(object) if !matches!(object.kind(), "struct" | "string" | "bool" | "func") => match object.plain() {
                plain @ (Value::List(_) | Value::Map(_) | Value::Int(_) | Value::Int64(_)) => plain,
                _ => Value::Object(object),
            },
            value => value,
        };
        let flow = match &value {
            Value::Int(count) | Value::Int64(count) => {
                if branch.pipe.variables.of(&frame.source.variables).len() > 1 {
                    return message(format!("can't use {count} to iterate over more than one variable"));
                }
                let make = if matches!(value, Value::Int(_)) { Value::Int } else { Value::Int64 };
                self.each(frame, branch, (0..*count).map(|number| (Value::Nil, Held::concrete(make(number)))))?
            }
            Value::List(list) => {
                let interface = list.kind() == ListType::Any;
                let items = list.items().iter().enumerate();
                self.each(frame, branch, items.map(|(index, item)| (Value::Int(index as i64), Held { value: item.clone(), interface })))?
            }
            Value::Map(map) => {
                let interface = map.kind() != MapType::Text;
                // The body may change the map; Go goes through what was there before.
                self.budget.spend(map.len())?;
                let entries: Vec<_> = map.entries().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                self.each(frame, branch, entries.into_iter().map(|(key, value)| (Value::Text(key), Held { value, interface })))?
            }
            Value::Nil => None,
            other => {
                let shown = fmt::sprint(other).map_or_else(|error| error.to_string(), |text| text.to_string());
                return message(format!("range can't iterate over {shown}"));
            }
        };
        match (flow, branch.otherwise) {
            // Go ends this range by a `break` in here, though its parser takes it for one of the range around.
            (None, Some(otherwise)) => match self.list(frame, otherwise, dot)? {
                Flow::Continue => Ok(Flow::Continue),
                Flow::Next | Flow::Break => Ok(Flow::Next),
            },
            _ => Ok(Flow::Next),
        }
    }

    /// Executes the body for each of `items`; `None` if there is none.
    fn each(&mut self, frame: &Frame<'_>, branch: &Branch, items: impl Iterator<Item = (Value, Held)>) -> Result<Option<()>, Stop> {
        let mut any = None;
        for (index, item) in items {
            any = Some(());
            self.budget.spend(1)?;
            match branch.pipe.variables.of(&frame.source.variables) {
                [] => {}
                [variable] => self.set(frame, variable, item.clone())?,
                [first, second, ..] => {
                    self.set(frame, first, Held::concrete(index))?;
                    self.set(frame, second, item.clone())?;
                }
            }
            if self.list(frame, branch.body, &item)? == Flow::Break {
                break;
            }
        }
        Ok(any)
    }

    fn set(&mut self, frame: &Frame<'_>, variable: &Variable, held: Held) -> Result<(), Stop> {
        match variable.slot {
            Some(slot) => {
                self.slots[frame.base + slot as usize] = held;
                Ok(())
            }
            None => message(format!("undefined variable: {}", frame.slice(variable.name))),
        }
    }

    fn template(&mut self, frame: &Frame<'_>, invocation: &Invocation, dot: &Held) -> Result<(), Stop> {
        self.at = invocation.mark;
        let name = &frame.source.texts[invocation.name as usize];
        let Some(found) = find(self.templates, self.layer.as_deref(), name) else {
            return message(format!("template {} not defined", fmt::quote(name)));
        };
        let mut argument = Value::Nil;
        if let Some(pipe) = invocation.pipe {
            self.pipeline(frame, &frame.source.pipes[pipe as usize], dot, &mut argument)?;
        }
        self.run(found.tree(), argument)
    }

    // The values go to where they are wanted, instead of being handed from one function to the next in a `Result`: that is much of the time.

    fn pipeline(&mut self, frame: &Frame<'_>, pipe: &Pipe, dot: &Held, out: &mut Value) -> Result<(), Stop> {
        if pipe.deep {
            return stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || self.commands(frame, pipe, dot, out));
        }
        self.commands(frame, pipe, dot, out)
    }

    fn commands(&mut self, frame: &Frame<'_>, pipe: &Pipe, dot: &Held, out: &mut Value) -> Result<(), Stop> {
        self.at = pipe.mark;
        if let [first, others @ ..] = pipe.commands.of(&frame.source.commands) {
            self.command(frame, first, dot, None, out)?;
            for command in others {
                let last = std::mem::take(out);
                self.command(frame, command, dot, Some(last), out)?;
            }
        }
        for variable in pipe.variables.of(&frame.source.variables) {
            self.set(frame, variable, Held::concrete(out.clone()))?;
        }
        Ok(())
    }

    /// The value of a command; `last` is that of the command before it, its last argument.
    fn command(&mut self, frame: &Frame<'_>, command: &Command, dot: &Held, last: Option<Value>, out: &mut Value) -> Result<(), Stop> {
        self.budget.spend(1)?;
        let Command { mark, word, arguments } = command;
        let arguments = arguments.of(&frame.source.operands);
        if let Term::Function { callee, .. } = &word.term {
            self.at = word.mark;
            return self.call(frame, frame.source.callees[*callee as usize], arguments, dot, last, *mark, out);
        }
        if arguments.is_empty() && last.is_none() {
            return match &word.term {
                Term::Nil => {
                    self.at = word.mark;
                    message("nil is not a command")
                }
                Term::Pipe(pipe) => self.pipeline(frame, &frame.source.pipes[*pipe as usize], dot, out),
                _ => self.operand(frame, word, dot, out).map(|_| ()),
            };
        }
        *out = self.method(frame, word, arguments, dot, last)?;
        Ok(())
    }

    /// A command with arguments whose first word is no function: a method, or wrong.
    fn method(&mut self, frame: &Frame<'_>, word: &Operand, arguments: &[Operand], dot: &Held, last: Option<Value>) -> Result<Value, Stop> {
        if !matches!(word.term, Term::Pipe(_)) {
            self.at = word.mark;
        }
        let (receiver, fields) = match &word.term {
            Term::Field(fields) => (dot.clone(), fields),
            Term::Variable { variable, fields } if !fields.is_empty() => (self.variable(frame, *variable)?.clone(), fields),
            Term::Chain { base, fields } => (self.held(frame, &frame.source.bases[*base as usize], dot)?, fields),
            _ => return message(format!("can't give argument to non-function {}", frame.print(word))),
        };
        let Some((name, way)) = fields.of(&frame.source.fields).split_last() else { return message("BUG: a field without a name") };
        let name = frame.source.slice(*name);
        let mut value = receiver.value.clone();
        let interface = self.follow(frame, &receiver, way, &mut value)?;
        let receiver = Held { value, interface };
        let Value::Object(object) = &receiver.value else {
            if let Value::Map(map) = &receiver.value {
                if map.kind() == MapType::Values
                    && let Some(method) = self.templates.method(name)
                {
                    let mut out = Value::Nil;
                    let call = Invoked { frame, arguments, dot, mark: word.mark };
                    self.call_method(&call, method, &receiver.value, last, &mut out)?;
                    return Ok(out);
                }
                return message(format!("{} is not a method but has arguments", String::from_utf8_lossy(name)));
            }
            return Ok(field(&receiver, name, self.missing_key)?.value);
        };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        let name_text = String::from_utf8_lossy(name);
        let parameters = object.parameters(&name_text);
        let is_counted = parameters.len() == arguments.len() + usize::from(last.is_some());
        let wanted = |index: usize| if is_counted { parameters[index] } else { Type::Any };
        for (index, argument) in arguments.iter().enumerate() {
            let mut value = Value::Nil;
            self.argument(frame, argument, wanted(index), dot, &mut value)?;
            values.push(value);
        }
        if let Some(mut last) = last {
            validate(&mut last, false, wanted(arguments.len()))?;
            values.push(last);
        }
        match object.method(&name_text, &values) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                self.at = word.mark;
                Err(Box::new(Trouble::Call { function: name_text.into_owned(), error }))
            }
            None if object.field(&name_text).is_some() => message(format!("{name_text} has arguments but cannot be invoked as function")),
            None => Ok(field(&receiver, name, self.missing_key)?.value),
        }
    }

    /// What the fields `names` lead to from `start`, and whether Go sees it as an interface.
    #[inline]
    fn follow(&mut self, frame: &Frame<'_>, start: &Held, names: &[Span], out: &mut Value) -> Result<bool, Stop> {
        let Some((first, rest)) = names.split_first() else {
            *out = start.value.clone();
            return Ok(start.interface);
        };
        let mut interface = self.step(frame, &start.value, start.interface, frame.source.slice(*first), out)?;
        for name in rest {
            let receiver = std::mem::take(out);
            interface = self.step(frame, &receiver, interface, frame.source.slice(*name), out)?;
        }
        Ok(interface)
    }

    /// One of many steps: nearly all are to an entry of a map.
    #[inline]
    fn step(&mut self, frame: &Frame<'_>, receiver: &Value, interface: bool, name: &[u8], out: &mut Value) -> Result<bool, Stop> {
        if let Value::Map(map) = receiver {
            if map.kind() == MapType::Values
                && let Some(method) = self.templates.method(name)
            {
                let call = Invoked { frame, arguments: &[], dot: &Held::default(), mark: self.at };
                self.call_method(&call, method, receiver, None, out)?;
                return Ok(matches!(out, Value::Nil));
            }
            match value_at(&map.entries(), name) {
                Some(value) => *out = value.clone(),
                None if self.missing_key == MissingKey::Zero => *out = zero_of(map.kind()),
                None => return message(format!("map has no entry for key {}", fmt::quote(name))),
            }
            return Ok(map.kind() != MapType::Text);
        }
        let held = field(&Held { value: receiver.clone(), interface }, name, self.missing_key)?;
        *out = held.value;
        Ok(held.interface)
    }

    /// The value of a method that is a function of its receiver.
    fn call_method(
        &mut self,
        call: &Invoked<'_>,
        method: &'static Function,
        receiver: &Value,
        last: Option<Value>,
        out: &mut Value,
    ) -> Result<(), Stop> {
        let (wanted, given) = (method.parameters.len() - 1, call.arguments.len() + usize::from(last.is_some()));
        if wanted != given {
            return message(format!("wrong number of args for {}: want {wanted} got {given}", method.name));
        }
        let mut values = vec![Value::Nil; given + 1];
        values[0] = receiver.clone();
        for ((value, argument), wanted) in values[1..].iter_mut().zip(call.arguments).zip(&method.parameters[1..]) {
            self.argument(call.frame, argument, *wanted, call.dot, value)?;
        }
        if let Some(last) = last {
            values[given] = last;
            validate(&mut values[given], false, method.parameters[given])?;
        }
        self.invoke(call, method, &values, out)
    }

    fn variable(&self, frame: &Frame<'_>, variable: u32) -> Result<&Held, Stop> {
        let variable = &frame.source.variables[variable as usize];
        match variable.slot {
            Some(slot) => Ok(&self.slots[frame.base + slot as usize]),
            None => message(format!("undefined variable: {}", frame.slice(variable.name))),
        }
    }

    fn held(&mut self, frame: &Frame<'_>, operand: &Operand, dot: &Held) -> Result<Held, Stop> {
        let mut held = Held::default();
        held.interface = self.operand(frame, operand, dot, &mut held.value)?;
        Ok(held)
    }

    /// The value of a word that stands for itself, and whether Go sees it as an interface.
    fn operand(&mut self, frame: &Frame<'_>, operand: &Operand, dot: &Held, out: &mut Value) -> Result<bool, Stop> {
        self.at = operand.mark;
        match &operand.term {
            Term::Field(fields) => return self.follow(frame, dot, fields.of(&frame.source.fields), out),
            Term::Variable { variable, fields } => {
                let names = fields.of(&frame.source.fields);
                let held = self.variable(frame, *variable)?;
                if names.is_empty() {
                    *out = held.value.clone();
                    return Ok(held.interface);
                }
                let held = held.clone();
                return self.follow(frame, &held, names, out);
            }
            Term::Dot => {
                *out = dot.value.clone();
                return Ok(dot.interface);
            }
            Term::Text { value, .. } => *out = Value::Text(frame.source.texts[*value as usize].clone()),
            Term::Pipe(pipe) => self.pipeline(frame, &frame.source.pipes[*pipe as usize], dot, out)?,
            Term::Bool(truth) => *out = Value::Bool(*truth),
            Term::Number(number) => {
                let number = &frame.source.numbers[*number as usize];
                *out = match number.ideal {
                    Ideal::Int(number) => Value::Int(number),
                    Ideal::Float(number) => Value::Float(number),
                    Ideal::Overflow => return message(format!("{} overflows int", frame.slice(number.span))),
                    Ideal::Complex => return message(format!("{}: complex constants are not supported", frame.slice(number.span))),
                };
            }
            Term::Function { callee, .. } => {
                self.call(frame, frame.source.callees[*callee as usize], &[], dot, None, operand.mark, out)?;
                // Only what returns an interface can return nil.
                return Ok(matches!(out, Value::Nil));
            }
            Term::Chain { base, fields } => {
                let held = self.held(frame, &frame.source.bases[*base as usize], dot)?;
                return self.follow(frame, &held, fields.of(&frame.source.fields), out);
            }
            Term::Nil => *out = Value::Nil,
        }
        Ok(false)
    }

    /// The value of an argument for a parameter of the type `wanted`.
    fn argument(&mut self, frame: &Frame<'_>, operand: &Operand, wanted: Type, dot: &Held, out: &mut Value) -> Result<(), Stop> {
        let expected = match (&operand.term, wanted) {
            (Term::Nil, _) => {
                self.at = operand.mark;
                let Some(value) = zero(wanted) else { return message(format!("cannot assign nil to {}", name_of(wanted))) };
                *out = value;
                return Ok(());
            }
            (Term::Text { value, .. }, Type::Text | Type::Any) => {
                self.at = operand.mark;
                *out = Value::Text(frame.source.texts[*value as usize].clone());
                return Ok(());
            }
            (Term::Bool(truth), Type::Bool) => {
                *out = Value::Bool(*truth);
                return Ok(());
            }
            (Term::Number(number), Type::Int | Type::Int64 | Type::Float) => {
                self.at = operand.mark;
                let number = &frame.source.numbers[*number as usize];
                *out = match (wanted, number.int, number.float) {
                    (Type::Int, Some(number), _) => Value::Int(number),
                    (Type::Int64, Some(number), _) => Value::Int64(number),
                    (Type::Float, _, Some(number)) => Value::Float(number),
                    (Type::Float, ..) => return message(format!("expected float; found {}", frame.print(operand))),
                    _ => return message(format!("expected integer; found {}", frame.print(operand))),
                };
                return Ok(());
            }
            (Term::Number(number), Type::Uint32) => {
                self.at = operand.mark;
                let number = frame.source.numbers[*number as usize].int.and_then(|number| u64::try_from(number).ok());
                let Some(number) = number else { return message(format!("expected unsigned integer; found {}", frame.print(operand))) };
                // Go cuts off what does not fit.
                *out = Uint::value("uint32", number & u64::from(u32::MAX));
                return Ok(());
            }
            (Term::Bool(_) | Term::Number(_) | Term::Text { .. }, _) => match wanted {
                Type::Any => return self.operand(frame, operand, dot, out).map(|_| ()),
                Type::Text => "string",
                Type::Bool => "bool",
                Type::Int | Type::Int64 => "integer",
                Type::Uint32 => "unsigned integer",
                Type::Float => "float",
                Type::List | Type::Texts | Type::Map | Type::Named(_) => {
                    self.at = operand.mark;
                    return message(format!("can't handle {} for arg of type {}", frame.print(operand), name_of(wanted)));
                }
            },
            _ => {
                let interface = self.operand(frame, operand, dot, out)?;
                return validate(out, interface, wanted);
            }
        };
        self.at = operand.mark;
        message(format!("expected {expected}; found {}", frame.print(operand)))
    }

    /// The value of a call. Go names the node `mark` if the function fails.
    #[expect(clippy::too_many_arguments, reason = "the parts of a call are not one thing before their number is checked")]
    fn call(
        &mut self,
        frame: &Frame<'_>,
        callee: Callee,
        arguments: &[Operand],
        dot: &Held,
        last: Option<Value>,
        mark: Mark,
        out: &mut Value,
    ) -> Result<(), Stop> {
        let (name, fixed, variadic) = match callee {
            Callee::Host(function) => (function.name, function.parameters.len(), function.variadic.is_some()),
            Callee::Builtin(builtin) => {
                let (fixed, variadic) = builtin.arity();
                (builtin.name(), fixed, variadic)
            }
        };
        let count = arguments.len() + usize::from(last.is_some());
        if variadic && count < fixed {
            return message(format!("wrong number of args for {name}: want at least {fixed} got {}", arguments.len()));
        }
        if !variadic && count != fixed {
            return message(format!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        let call = Invoked { frame, arguments, dot, mark };
        match callee {
            Callee::Builtin(builtin) => self.call_builtin(&call, builtin, last, out),
            Callee::Host(function) => match count {
                0 => self.call_host::<0>(&call, function, last, out),
                1 => self.call_host::<1>(&call, function, last, out),
                2 => self.call_host::<2>(&call, function, last, out),
                3 => self.call_host::<3>(&call, function, last, out),
                4 => self.call_host::<4>(&call, function, last, out),
                _ => self.call_host_with_many(&call, function, last, out),
            },
        }
    }

    fn call_host<const COUNT: usize>(
        &mut self,
        call: &Invoked<'_>,
        function: &'static Function,
        last: Option<Value>,
        out: &mut Value,
    ) -> Result<(), Stop> {
        let mut values = [const { Value::Nil }; COUNT];
        self.evaluate_arguments(call, function, last, &mut values)?;
        self.invoke(call, function, &values, out)
    }

    fn call_host_with_many(
        &mut self,
        call: &Invoked<'_>,
        function: &'static Function,
        last: Option<Value>,
        out: &mut Value,
    ) -> Result<(), Stop> {
        let mut values = vec![Value::Nil; call.arguments.len() + usize::from(last.is_some())];
        self.evaluate_arguments(call, function, last, &mut values)?;
        self.invoke(call, function, &values, out)
    }

    fn evaluate_arguments(
        &mut self,
        call: &Invoked<'_>,
        function: &'static Function,
        last: Option<Value>,
        values: &mut [Value],
    ) -> Result<(), Stop> {
        let wanted = |index: usize| function.parameters.get(index).copied().or(function.variadic).unwrap_or(Type::Any);
        for (index, (value, argument)) in values.iter_mut().zip(call.arguments).enumerate() {
            self.argument(call.frame, argument, wanted(index), call.dot, value)?;
        }
        if let (Some(last), Some(value)) = (last, values.last_mut()) {
            *value = last;
            validate(value, false, wanted(call.arguments.len()))?;
        }
        Ok(())
    }

    fn invoke(&mut self, call: &Invoked<'_>, function: &'static Function, values: &[Value], out: &mut Value) -> Result<(), Stop> {
        self.budget.spend(CALL_STEPS)?;
        let number = self.calls;
        self.calls += 1;
        let (host, budget) = (self.host, self.budget);
        let mut context = Call { evaluation: self, host, budget, template: &call.frame.tree.name, number };
        match (function.call)(&mut context, Args(values)) {
            Ok(value) => {
                *out = value;
                Ok(())
            }
            Err(error) => {
                self.at = call.mark;
                Err(Box::new(Trouble::Call { function: function.name.to_owned(), error }))
            }
        }
    }

    fn call_builtin(&mut self, call: &Invoked<'_>, builtin: Builtin, last: Option<Value>, out: &mut Value) -> Result<(), Stop> {
        match (builtin, call.arguments) {
            (Builtin::And | Builtin::Or, _) => self.call_logic(call, builtin == Builtin::Or, last, out),
            (_, [first, second]) if last.is_none() => {
                let values = [self.builtin_argument(call, builtin, 0, first)?, self.builtin_argument(call, builtin, 1, second)?];
                self.finish_builtin(call, builtin, &values, out)
            }
            _ => self.call_builtin_with_any(call, builtin, last, out),
        }
    }

    fn call_builtin_with_any(&mut self, call: &Invoked<'_>, builtin: Builtin, last: Option<Value>, out: &mut Value) -> Result<(), Stop> {
        let mut values = Vec::with_capacity(call.arguments.len() + 1);
        for (index, argument) in call.arguments.iter().enumerate() {
            values.push(self.builtin_argument(call, builtin, index, argument)?);
        }
        if let Some(mut last) = last {
            if builtin == Builtin::Printf && values.is_empty() {
                validate(&mut last, false, Type::Text)?;
            }
            values.push(Held::concrete(last));
        }
        self.finish_builtin(call, builtin, &values, out)
    }

    fn builtin_argument(&mut self, call: &Invoked<'_>, builtin: Builtin, index: usize, argument: &Operand) -> Result<Held, Stop> {
        if builtin == Builtin::Printf && index == 0 {
            let mut format = Held::default();
            self.argument(call.frame, argument, Type::Text, call.dot, &mut format.value)?;
            return Ok(format);
        }
        self.held(call.frame, argument, call.dot)
    }

    fn finish_builtin(&mut self, call: &Invoked<'_>, builtin: Builtin, values: &[Held], out: &mut Value) -> Result<(), Stop> {
        let result = match (builtin, values) {
            (Builtin::Call, [callee, ..]) => {
                let name = match (call.arguments.first(), &callee.value) {
                    (Some(argument), _) => call.frame.print(argument),
                    (None, Value::Text(text)) => text.to_string(),
                    (None, value) => format!("<{} Value>", type_name(value)),
                };
                Err(not_callable(&name, &callee.value))
            }
            _ => builtin.call(values),
        };
        match result {
            Ok(value) => {
                *out = value;
                if let Value::Text(text) = out {
                    self.budget.spend(text.len())?;
                }
                Ok(())
            }
            Err(error) => {
                self.at = call.mark;
                Err(Box::new(Trouble::Call { function: builtin.name().to_owned(), error }))
            }
        }
    }

    /// `and` and `or`: the first argument that decides, or the last.
    fn call_logic(&mut self, call: &Invoked<'_>, deciding: bool, last: Option<Value>, out: &mut Value) -> Result<(), Stop> {
        for argument in call.arguments {
            self.operand(call.frame, argument, call.dot, out)?;
            if is_true(out) == deciding {
                return Ok(());
            }
        }
        if let Some(last) = last {
            *out = last;
        }
        Ok(())
    }
}

/// A call whose number of arguments is right.
struct Invoked<'a> {
    frame: &'a Frame<'a>,
    arguments: &'a [Operand],
    dot: &'a Held,
    mark: Mark,
}

impl Evaluation for Machine<'_> {
    fn execute(&mut self, name: &[u8], dot: Value) -> Result<Text, CallError> {
        let Some(found) = find(self.templates, self.layer.as_deref(), name) else {
            return Err(CallError::Failed(format!("template: {}", self.not_associated(name))));
        };
        self.capture(found.tree(), dot)
    }

    fn evaluate(&mut self, source: &Text, dot: Value) -> Result<Text, CallError> {
        if crate::lex::find_delimiter(source).is_none() {
            self.budget.write(source.len())?;
            return Ok(source.clone());
        }
        // Also where it is remembered: what a render may do does not depend on those before it.
        self.budget.spend(PARSE_STEPS * (source.len() + FIXED_PARSE_BYTES))?;
        let parsed = self.templates.evaluated(source).map_err(|error| CallError::Unparsed(Box::new(error)))?;
        let Some(tree) = parsed.get(self.templates.root()).cloned() else { return Ok(Text::default()) };
        let around = self.layer.take();
        self.layer = Some(Rc::new(Layer { around: around.clone(), parsed }));
        let result = self.capture(&tree, dot);
        self.layer = around;
        result
    }
}

impl Machine<'_> {
    /// What a template prints, taken out of the output.
    fn capture(&mut self, tree: &Tree, dot: Value) -> Result<Text, CallError> {
        let start = self.out.len();
        let result = self.run(tree, dot);
        let text = Text::new(&self.out[start..]);
        self.out.truncate(start);
        match result {
            Ok(()) => Ok(text),
            Err(stop) => Err(match *stop {
                Trouble::Exceeded(exceeded) => CallError::Exceeded(exceeded),
                trouble => CallError::Nested { prefix: String::new(), error: Box::new(unplaced(trouble)) },
            }),
        }
    }
}

/// The error for what happened at the node `at` of `tree`.
fn locate(tree: &Tree, at: Mark, trouble: Trouble) -> ExecError {
    let reason = match trouble {
        Trouble::Located(error) => return error,
        Trouble::Message(message) => Reason::Message(message),
        Trouble::Call { function, error } => Reason::Call { function, error },
        Trouble::Exceeded(exceeded) => Reason::Exceeded(exceeded),
    };
    let place = tree.locate(at).map(|(line, column, text)| Place { source: tree.source.name.clone(), line, column, text });
    ExecError::new(tree.name.clone(), place, reason)
}

/// The error for what happened before a template was entered.
fn unplaced(trouble: Trouble) -> ExecError {
    let reason = match trouble {
        Trouble::Located(error) => return error,
        Trouble::Message(message) => Reason::Message(message),
        Trouble::Call { function, error } => Reason::Call { function, error },
        Trouble::Exceeded(exceeded) => Reason::Exceeded(exceeded),
    };
    ExecError::new(Text::default(), None, reason)
}

/// The field, the entry or the method without arguments `name` of `receiver`.
fn field(receiver: &Held, name: &[u8], missing_key: MissingKey) -> Result<Held, Stop> {
    match &receiver.value {
        Value::Map(map) => entry(map, name, missing_key),
        Value::Nil if receiver.interface => message(format!("nil pointer evaluating interface {{}}.{}", String::from_utf8_lossy(name))),
        Value::Nil if missing_key == MissingKey::Error => message(format!("nil data; no entry for key {}", fmt::quote(name))),
        Value::Nil => Ok(Held::default()),
        Value::Object(object) => match object.field(&String::from_utf8_lossy(name)) {
            Some(Ok(value)) => Ok(Held { interface: matches!(value, Value::Nil), value }),
            Some(Err(error)) => Err(Box::new(Trouble::Call { function: String::from_utf8_lossy(name).into_owned(), error })),
            None => match (object.kind(), object.plain()) {
                ("map", Value::Map(map)) => entry(&map, name, missing_key),
                _ => no_field(receiver, name),
            },
        },
        _ => no_field(receiver, name),
    }
}

fn no_field(receiver: &Held, name: &[u8]) -> Result<Held, Stop> {
    let of = if receiver.interface { "interface {}".into() } else { type_name(&receiver.value) };
    message(format!("can't evaluate field {} in type {of}", String::from_utf8_lossy(name)))
}

fn entry(map: &Map, name: &[u8], missing_key: MissingKey) -> Result<Held, Stop> {
    let interface = map.kind() != MapType::Text;
    match map.get(name) {
        Some(value) => Ok(Held { value, interface }),
        None if missing_key == MissingKey::Error => message(format!("map has no entry for key {}", fmt::quote(name))),
        None => Ok(Held { value: zero_of(map.kind()), interface }),
    }
}

/// Makes sure that the value is one for a parameter of the type `wanted`.
fn validate(value: &mut Value, interface: bool, wanted: Type) -> Result<(), Stop> {
    let fits = match (&*value, wanted) {
        (_, Type::Any)
        | (Value::Text(_), Type::Text)
        | (Value::Bool(_), Type::Bool)
        | (Value::Int(_), Type::Int)
        | (Value::Int64(_), Type::Int64)
        | (Value::Float(_), Type::Float) => true,
        (Value::List(list), Type::List) => list.kind() == ListType::Any,
        (Value::List(list), Type::Texts) => list.kind() == ListType::Text,
        (Value::Map(map), Type::Map) => map.kind() != MapType::Text,
        (Value::Object(object), Type::Uint32) => object.type_name() == "uint32",
        (Value::Object(object), Type::Named(name)) => object.type_name().trim_start_matches('*') == name.trim_start_matches('*'),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let wanted_name = name_of(wanted);
    match value {
        Value::Nil if interface => message(format!("wrong type for value; expected {wanted_name}; got interface {{}}")),
        Value::Nil => {
            let Some(nil) = zero(wanted) else { return message(format!("invalid value; expected {wanted_name}")) };
            *value = nil;
            Ok(())
        }
        value => message(format!("wrong type for value; expected {wanted_name}; got {}", type_name(value))),
    }
}

/// What nil is as a value of the type; `None` if the type has no nil.
fn zero(wanted: Type) -> Option<Value> {
    match wanted {
        Type::Any => Some(Value::Nil),
        Type::List => Some(Value::List(List::nil(ListType::Any))),
        Type::Texts => Some(Value::List(List::nil(ListType::Text))),
        Type::Map => Some(Value::Map(Map::nil())),
        Type::Named(name) => (name.starts_with('*') || name.starts_with("[]") || name.starts_with("map[")).then_some(Value::Nil),
        Type::Text | Type::Bool | Type::Int | Type::Int64 | Type::Uint32 | Type::Float => None,
    }
}

fn name_of(wanted: Type) -> &'static str {
    match wanted {
        Type::Any => "interface {}",
        Type::Text => "string",
        Type::Bool => "bool",
        Type::Int => "int",
        Type::Int64 => "int64",
        Type::Uint32 => "uint32",
        Type::Float => "float64",
        Type::List => "[]interface {}",
        Type::Texts => "[]string",
        Type::Map => "map[string]interface {}",
        Type::Named(name) => name,
    }
}
