//! A parsed template, as it is executed: names are resolved to functions and to places of variables. For messages it can be printed as Go
//! prints it.

use std::sync::Arc;

use crate::builtin::Builtin;
use crate::{Function, Text, fmt};

/// The text that templates were parsed from, and all that was made of it. The parts of the trees lie side by side in one list for each kind,
/// and refer to each other by their places there: parsing allocates next to nothing, and neighbours are executed one after another.
#[derive(Default)]
pub(crate) struct Source {
    /// The name under which it was parsed.
    pub(crate) name: Text,
    pub(crate) text: Text,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) variables: Vec<Declared>,
    pub(crate) commands: Vec<Command>,
    pub(crate) operands: Vec<Operand>,
    pub(crate) numbers: Vec<Number>,
    /// Names of fields, and constants.
    pub(crate) texts: Vec<Text>,
}

impl Source {
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..span.end as usize]
    }
}

/// One template.
pub(crate) struct Tree {
    pub(crate) name: Text,
    pub(crate) source: Arc<Source>,
    pub(crate) nodes: Range,
    /// How many variables there are at most at one time, with `$`.
    pub(crate) variables: usize,
    /// It has nothing but space and comments.
    pub(crate) is_empty: bool,
}

/// Neighbours in one of the lists of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Range {
    #[inline]
    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.start as usize..self.end as usize]
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Bytes of a source.
pub(crate) type Span = Range;

/// What Go calls a node, for messages: which one it is of its source, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: u32,
    pub(crate) position: u32,
}

/// What is done one after another.
pub(crate) enum Node {
    Text(Span),
    Action(Action),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Invocation),
    Break,
    Continue,
}

/// `{{pipeline}}`.
pub(crate) struct Action {
    pub(crate) mark: Mark,
    pub(crate) pipe: Pipe,
}

/// `if`, `with` or `range`.
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Range,
    pub(crate) otherwise: Option<Range>,
    /// So many levels of nesting are around it that the stack has to be looked at.
    pub(crate) deep: bool,
}

/// `{{template "name" pipeline}}`.
pub(crate) struct Invocation {
    pub(crate) mark: Mark,
    /// Among the texts.
    pub(crate) name: u32,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands of which each is the last argument of the next, and the variables that get the value.
#[derive(Clone, Copy)]
pub(crate) struct Pipe {
    pub(crate) mark: Mark,
    pub(crate) variables: Range,
    pub(crate) commands: Range,
    pub(crate) assigns: bool,
    /// So many levels of nesting are around it that the stack has to be looked at.
    pub(crate) deep: bool,
}

/// A variable on the left side.
pub(crate) struct Declared {
    pub(crate) name: Span,
    /// `None`: no such variable is there when the template is executed.
    pub(crate) slot: Option<u32>,
}

/// What is called, and its arguments.
pub(crate) struct Command {
    pub(crate) mark: Mark,
    pub(crate) word: Operand,
    pub(crate) arguments: Range,
}

/// A word of a command.
pub(crate) struct Operand {
    pub(crate) mark: Mark,
    pub(crate) term: Term,
}

pub(crate) enum Term {
    Dot,
    Nil,
    Bool(bool),
    /// The value is among the texts.
    Text {
        value: u32,
        quoted: Span,
    },
    /// Among the numbers.
    Number(u32),
    Field(Range),
    Variable {
        name: Span,
        slot: Option<u32>,
        fields: Range,
    },
    /// The base is among the operands.
    Chain {
        base: u32,
        fields: Range,
    },
    Function {
        name: Span,
        callee: Callee,
    },
    /// Among the pipes.
    Pipe(u32),
}

/// What a name of a function stands for.
#[derive(Clone, Copy)]
pub(crate) enum Callee {
    Builtin(Builtin),
    Host(&'static Function),
}

/// A number constant, as all that it can be.
pub(crate) struct Number {
    pub(crate) span: Span,
    pub(crate) int: Option<i64>,
    pub(crate) float: Option<f64>,
    pub(crate) ideal: Ideal,
}

/// What a number constant is where any type will do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ideal {
    Int(i64),
    Float(f64),
    Overflow,
    Complex,
}

impl Tree {
    /// The line, the column and the text of the node `id`.
    pub(crate) fn locate(&self, id: u32) -> Option<(usize, usize, String)> {
        let mut finder = Finder { source: &self.source, id, found: None };
        finder.nodes(self.nodes);
        let (position, text) = finder.found?;
        let before = &self.source.text[..position as usize];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Some((line, before.len() - line_start, text))
    }
}

/// Goes through a tree for the node of a number. Trees are not deeper than the parser lets them be.
struct Finder<'a> {
    source: &'a Source,
    id: u32,
    found: Option<(u32, String)>,
}

impl Finder<'_> {
    fn check(&mut self, mark: Mark, print: impl FnOnce(&Source) -> Vec<u8>) {
        if mark.id == self.id && self.found.is_none() {
            self.found = Some((mark.position, String::from_utf8_lossy(&print(self.source)).into_owned()));
        }
    }

    fn nodes(&mut self, nodes: Range) {
        for node in nodes.of(&self.source.nodes) {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(action) => {
                    self.check(action.mark, |source| {
                        let mut out = b"{{".to_vec();
                        action.pipe.print(source, &mut out);
                        out.extend_from_slice(b"}}");
                        out
                    });
                    self.pipe(&action.pipe);
                }
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || {
                    self.pipe(&branch.pipe);
                    self.nodes(branch.body);
                    self.nodes(branch.otherwise.unwrap_or_default());
                }),
                Node::Template(invocation) => {
                    self.check(invocation.mark, |source| invocation.print(source));
                    if let Some(pipe) = &invocation.pipe {
                        self.pipe(pipe);
                    }
                }
            }
        }
    }

    fn pipe(&mut self, pipe: &Pipe) {
        stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || {
            self.check(pipe.mark, |source| printed(|out| pipe.print(source, out)));
            for command in pipe.commands.of(&self.source.commands) {
                self.check(command.mark, |source| printed(|out| command.print(source, out)));
                self.operand(&command.word);
                for argument in command.arguments.of(&self.source.operands) {
                    self.operand(argument);
                }
            }
        });
    }

    fn operand(&mut self, operand: &Operand) {
        self.check(operand.mark, |source| printed(|out| operand.print(source, out)));
        match &operand.term {
            Term::Pipe(pipe) => self.pipe(&self.source.pipes[*pipe as usize]),
            Term::Chain { base, .. } => self.operand(&self.source.operands[*base as usize]),
            _ => {}
        }
    }
}

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    print(&mut out);
    out
}

impl Invocation {
    fn print(&self, source: &Source) -> Vec<u8> {
        let mut out = b"{{template ".to_vec();
        out.extend_from_slice(&fmt::quote_bytes(&source.texts[self.name as usize]));
        if let Some(pipe) = &self.pipe {
            out.push(b' ');
            pipe.print(source, &mut out);
        }
        out.extend_from_slice(b"}}");
        out
    }
}

impl Pipe {
    pub(crate) fn print(&self, source: &Source, out: &mut Vec<u8>) {
        for (index, variable) in self.variables.of(&source.variables).iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(source.slice(variable.name));
        }
        if !self.variables.is_empty() {
            out.extend_from_slice(if self.assigns { b" = " } else { b" := " });
        }
        for (index, command) in self.commands.of(&source.commands).iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b" | ");
            }
            command.print(source, out);
        }
    }
}

impl Command {
    pub(crate) fn print(&self, source: &Source, out: &mut Vec<u8>) {
        self.word.print_in_command(source, out);
        for argument in self.arguments.of(&source.operands) {
            out.push(b' ');
            argument.print_in_command(source, out);
        }
    }
}

impl Operand {
    fn print_in_command(&self, source: &Source, out: &mut Vec<u8>) {
        if matches!(self.term, Term::Pipe(_)) {
            out.push(b'(');
            self.print(source, out);
            out.push(b')');
        } else {
            self.print(source, out);
        }
    }

    /// As Go's `String` of the node.
    pub(crate) fn print(&self, source: &Source, out: &mut Vec<u8>) {
        let fields_after = |fields: &Range, out: &mut Vec<u8>| {
            for field in fields.of(&source.texts) {
                out.push(b'.');
                out.extend_from_slice(field);
            }
        };
        match &self.term {
            Term::Dot => out.push(b'.'),
            Term::Nil => out.extend_from_slice(b"nil"),
            Term::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Term::Text { quoted, .. } => out.extend_from_slice(source.slice(*quoted)),
            Term::Number(number) => out.extend_from_slice(source.slice(source.numbers[*number as usize].span)),
            Term::Field(fields) => fields_after(fields, out),
            Term::Variable { name, fields, .. } => {
                out.extend_from_slice(source.slice(*name));
                fields_after(fields, out);
            }
            Term::Chain { base, fields } => {
                source.operands[*base as usize].print_in_command(source, out);
                fields_after(fields, out);
            }
            Term::Function { name, .. } => out.extend_from_slice(source.slice(*name)),
            Term::Pipe(pipe) => {
                stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || source.pipes[*pipe as usize].print(source, out));
            }
        }
    }
}
