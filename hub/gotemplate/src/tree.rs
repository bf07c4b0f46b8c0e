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
    pub(crate) branches: Vec<Branch>,
    /// Those in parentheses.
    pub(crate) pipes: Vec<Pipe>,
    /// All places where a variable is set or read.
    pub(crate) variables: Vec<Variable>,
    pub(crate) commands: Vec<Command>,
    pub(crate) operands: Vec<Operand>,
    /// What stands before the fields of a chain.
    pub(crate) bases: Vec<Operand>,
    pub(crate) numbers: Vec<Number>,
    /// Names of fields.
    pub(crate) fields: Vec<Span>,
    /// Constants, and names of templates.
    pub(crate) texts: Vec<Text>,
    /// The functions that are called, each once.
    pub(crate) callees: Vec<Callee>,
}

impl Source {
    /// What was made of the source, in as much memory as it takes. The lists are empty then and keep theirs.
    pub(crate) fn take(&mut self) -> Self {
        fn taken<T: Copy>(list: &mut Vec<T>) -> Vec<T> {
            let taken = list.as_slice().to_vec();
            list.clear();
            taken
        }
        Self {
            name: std::mem::take(&mut self.name),
            text: std::mem::take(&mut self.text),
            nodes: taken(&mut self.nodes),
            branches: taken(&mut self.branches),
            pipes: taken(&mut self.pipes),
            variables: taken(&mut self.variables),
            commands: taken(&mut self.commands),
            operands: taken(&mut self.operands),
            bases: taken(&mut self.bases),
            numbers: taken(&mut self.numbers),
            fields: taken(&mut self.fields),
            texts: self.texts.drain(..).collect(),
            callees: taken(&mut self.callees),
        }
    }

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

/// What Go calls a node, for messages: where it begins and what it is. Of nodes that begin at one place each is something else. The default is
/// none: every node stands after a delimiter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark(u32);

/// What a [`Mark`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Action,
    Pipe,
    Command,
    Operand,
    Invocation,
}

impl Mark {
    /// Bits for the part. Those of the largest position are 26, so that all are 29.
    const PART_BITS: u32 = 3;

    #[inline]
    pub(crate) fn new(position: u32, part: Part) -> Self {
        Self(position << Self::PART_BITS | part as u32)
    }

    pub(crate) fn position(self) -> u32 {
        self.0 >> Self::PART_BITS
    }
}

/// What is done one after another.
#[derive(Clone, Copy)]
pub(crate) enum Node {
    Text(Span),
    Action(Pipe),
    /// Among the branches, as the next two.
    If(u32),
    With(u32),
    Range(u32),
    Template(Invocation),
    Break,
    Continue,
}

/// `if`, `with` or `range`.
#[derive(Clone, Copy)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Range,
    pub(crate) otherwise: Option<Range>,
    /// So many levels of nesting are around it that the stack has to be looked at.
    pub(crate) deep: bool,
}

/// `{{template "name" pipeline}}`.
#[derive(Clone, Copy)]
pub(crate) struct Invocation {
    pub(crate) mark: Mark,
    /// Among the texts.
    pub(crate) name: u32,
    /// Among the pipes.
    pub(crate) pipe: Option<u32>,
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

impl Pipe {
    /// The mark of the action that it is all of.
    #[inline]
    pub(crate) fn action(&self) -> Mark {
        Mark::new(self.mark.position(), Part::Action)
    }
}

/// A variable where it is set or read.
#[derive(Clone, Copy)]
pub(crate) struct Variable {
    pub(crate) name: Span,
    /// `None`: no such variable is there when the template is executed.
    pub(crate) slot: Option<u32>,
}

/// What is called, and its arguments.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) mark: Mark,
    pub(crate) word: Operand,
    pub(crate) arguments: Range,
}

/// A word of a command.
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) mark: Mark,
    pub(crate) term: Term,
}

#[derive(Clone, Copy)]
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
    /// The variable is among the variables.
    Variable {
        variable: u32,
        fields: Range,
    },
    /// The base is among the bases.
    Chain {
        base: u32,
        fields: Range,
    },
    /// The callee is among the callees.
    Function {
        name: Span,
        callee: u32,
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
#[derive(Clone, Copy)]
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
    /// The line, the column and the text of the node of `mark`.
    pub(crate) fn locate(&self, mark: Mark) -> Option<(usize, usize, String)> {
        let mut finder = Finder { source: &self.source, mark, found: None };
        finder.nodes(self.nodes);
        let text = finder.found?;
        let before = &self.source.text[..mark.position() as usize];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Some((line, before.len() - line_start, text))
    }
}

/// Goes through a tree for a node. Trees are not deeper than the parser lets them be.
struct Finder<'a> {
    source: &'a Source,
    mark: Mark,
    found: Option<String>,
}

impl Finder<'_> {
    fn check(&mut self, mark: Mark, print: impl FnOnce(&Source) -> Vec<u8>) {
        if mark == self.mark && self.found.is_none() {
            self.found = Some(String::from_utf8_lossy(&print(self.source)).into_owned());
        }
    }

    fn nodes(&mut self, nodes: Range) {
        for node in nodes.of(&self.source.nodes) {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipe) => {
                    self.check(pipe.action(), |source| {
                        let mut out = b"{{".to_vec();
                        pipe.print(source, &mut out);
                        out.extend_from_slice(b"}}");
                        out
                    });
                    self.pipe(pipe);
                }
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || {
                    let branch = &self.source.branches[*branch as usize];
                    self.pipe(&branch.pipe);
                    self.nodes(branch.body);
                    self.nodes(branch.otherwise.unwrap_or_default());
                }),
                Node::Template(invocation) => {
                    self.check(invocation.mark, |source| invocation.print(source));
                    if let Some(pipe) = invocation.pipe {
                        self.pipe(&self.source.pipes[pipe as usize]);
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
            Term::Chain { base, .. } => self.operand(&self.source.bases[*base as usize]),
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
        if let Some(pipe) = self.pipe {
            out.push(b' ');
            source.pipes[pipe as usize].print(source, &mut out);
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
            for field in fields.of(&source.fields) {
                out.push(b'.');
                out.extend_from_slice(source.slice(*field));
            }
        };
        match &self.term {
            Term::Dot => out.push(b'.'),
            Term::Nil => out.extend_from_slice(b"nil"),
            Term::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Term::Text { quoted, .. } => out.extend_from_slice(source.slice(*quoted)),
            Term::Number(number) => out.extend_from_slice(source.slice(source.numbers[*number as usize].span)),
            Term::Field(fields) => fields_after(fields, out),
            Term::Variable { variable, fields } => {
                out.extend_from_slice(source.slice(source.variables[*variable as usize].name));
                fields_after(fields, out);
            }
            Term::Chain { base, fields } => {
                source.bases[*base as usize].print_in_command(source, out);
                fields_after(fields, out);
            }
            Term::Function { name, .. } => out.extend_from_slice(source.slice(*name)),
            Term::Pipe(pipe) => {
                stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || source.pipes[*pipe as usize].print(source, out));
            }
        }
    }
}
