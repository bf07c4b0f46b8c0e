//! Makes trees of a source, with Go's grammar, scopes and messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::builtin::Builtin;
use crate::constant;
use crate::lex::{Item, Lexer, Token};
use crate::tree::{Branch, Callee, Command, Invocation, Mark, Node, Operand, Part, Pipe, Range, Source, Span, Term, Tree, Variable};
use crate::{Functions, ParseError, Text, fmt};

/// The largest source. The largest file of a public chart has 2 MiB, and positions are kept in 32 bits.
pub(crate) const LARGEST_SOURCE: usize = 64 << 20;

/// How deep blocks and parentheses may be nested together. Go allows 10000 parentheses and blocks without end; people write ten.
const DEEPEST: u32 = 1000;

/// The stack is looked at once in so many levels of nesting, each of which takes at most 8 KiB in a debug build.
const LEVELS_PER_LOOK: u32 = 8;

/// How many found functions are remembered: charts call about thirty.
const REMEMBERED_CALLEES: usize = 64;

/// The memory in which sources are parsed, one after another: what was made of each is then moved to where it stays, in as much memory as it
/// takes.
#[derive(Default)]
pub(crate) struct Desk {
    source: Source,
    tokens: Vec<Item>,
    nodes: Vec<Node>,
    commands: Vec<Command>,
    operands: Vec<Operand>,
}

/// The trees of `source`, by name; that of the whole source has the name `name`. The `desk` is empty before and after.
pub(crate) fn parse(desk: &mut Desk, name: &Text, source: &Text, functions: &dyn Functions) -> Result<Vec<Tree>, ParseError> {
    if source.len() > LARGEST_SOURCE {
        return Err(ParseError { template: name.clone(), line: 1, message: format!("the template is larger than {LARGEST_SOURCE} bytes") });
    }
    let mut lexer = Lexer::new(source);
    lexer.loops = (functions.find("break").is_none(), functions.find("continue").is_none());
    // What a source with an error left behind is thrown away with it.
    let Desk { source: mut code, tokens, nodes, commands, operands } = std::mem::take(desk);
    (code.name, code.text) = (name.clone(), source.clone());
    let mut parser = Parser {
        text: source,
        source: code,
        functions,
        lexer,
        tokens,
        at: 0,
        seen: 0,
        scope: Scope::default(),
        trees: BTreeMap::new(),
        action: None,
        depth: 0,
        nodes,
        commands,
        operands,
        callees: [None; REMEMBERED_CALLEES],
    };
    if let Err(message) = parser.file(name) {
        return Err(ParseError { template: name.clone(), line: parser.line_of(parser.last()), message });
    }
    let Parser { source: mut code, mut tokens, nodes, commands, operands, trees, .. } = parser;
    tokens.clear();
    let source = Arc::new(code.take());
    *desk = Desk { source: code, tokens, nodes, commands, operands };
    let tree = |(name, Parts { nodes, variables, is_empty })| Tree { name, source: source.clone(), nodes, variables, is_empty };
    Ok(trees.into_iter().map(tree).collect())
}

/// What is known of a template before its source is complete.
struct Parts {
    nodes: Range,
    variables: usize,
    is_empty: bool,
}

/// What is known of one template while it is parsed.
#[derive(Default)]
struct Scope {
    variables: Vec<Known>,
    /// How many variables there are now when the template is executed.
    live: u32,
    most: u32,
    ranges: u32,
}

/// A variable that the parser knows. Go's parser knows more of them than there are in execution: those of a body in its `else`.
struct Known {
    name: Span,
    slot: Option<u32>,
}

impl Scope {
    fn new() -> Self {
        // The first is `$`, which stands nowhere.
        Self { variables: vec![Known { name: Span::default(), slot: Some(0) }], live: 1, most: 1, ranges: 0 }
    }
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Parsed {
    Node(Node),
    Ending(Ending),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    With,
    Range,
}

impl Control {
    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

/// What a rule of the grammar gives, or what is wrong at the last token read.
type Rule<T> = Result<T, String>;

struct Parser<'s> {
    text: &'s [u8],
    source: Source,
    functions: &'s dyn Functions,
    lexer: Lexer<'s>,
    /// The tokens of an action and of the text before it.
    tokens: Vec<Item>,
    /// The next one.
    at: usize,
    /// The first one that nobody has looked at yet, if it is not the next one.
    seen: usize,
    scope: Scope,
    trees: BTreeMap<Text, Parts>,
    /// Where the action begins; none outside.
    action: Option<u32>,
    depth: u32,
    /// What has been read of lists, pipelines and commands that are not complete yet, each on top of those around it.
    nodes: Vec<Node>,
    commands: Vec<Command>,
    operands: Vec<Operand>,
    /// Functions that were found, each where its name's hash puts it: few names are most of the calls.
    callees: [Option<(&'s [u8], u32)>; REMEMBERED_CALLEES],
}

/// Moves what lies on `stack` from `base` on to its place among the others.
fn settle<T: Copy>(stack: &mut Vec<T>, base: usize, list: &mut Vec<T>) -> Range {
    let start = list.len() as u32;
    list.extend_from_slice(&stack[base..]);
    stack.truncate(base);
    Range { start, end: list.len() as u32 }
}

/// The place of `item` among the others.
fn place<T>(item: T, list: &mut Vec<T>) -> u32 {
    list.push(item);
    list.len() as u32 - 1
}

impl<'s> Parser<'s> {
    fn line_of(&self, position: u32) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.text[..position as usize]).count()
    }

    fn value(&self, item: Item) -> &'s [u8] {
        &self.text[item.start as usize..item.end as usize]
    }

    /// Where the last token begins that somebody looked at: Go reports that line.
    fn last(&self) -> u32 {
        self.seen.max(self.at).checked_sub(1).and_then(|index| self.tokens.get(index)).map_or(0, |item| item.start)
    }

    #[inline]
    fn next(&mut self) -> Item {
        let item = self.here();
        self.at += 1;
        item
    }

    #[inline]
    fn peek(&mut self) -> Item {
        let item = self.here();
        self.seen = self.seen.max(self.at + 1);
        item
    }

    #[inline]
    fn here(&mut self) -> Item {
        match self.tokens.get(self.at) {
            Some(item) => *item,
            None => self.read(),
        }
    }

    /// Reads the tokens up to the end of the next action, and gives the first. It is not made part of those above: they are short and everywhere.
    #[inline(never)]
    fn read(&mut self) -> Item {
        self.tokens.clear();
        (self.at, self.seen) = (0, 0);
        self.lexer.read(&mut self.tokens);
        self.tokens[0]
    }

    /// Makes the token that was taken last the next one again. Those of an action are never apart.
    #[inline]
    fn put_back(&mut self) {
        self.seen = self.seen.max(self.at);
        self.at -= 1;
    }

    fn expect(&mut self, token: Token, context: &str) -> Rule<Item> {
        let item = self.next();
        if item.token == token { Ok(item) } else { Err(self.unexpected(item, context)) }
    }

    fn unexpected(&mut self, item: Item, context: &str) -> String {
        let line = self.line_of(item.start);
        match item.token {
            Token::Error => {
                let message = std::mem::take(&mut self.lexer.error);
                match self.action.map(|start| self.line_of(start)).filter(|start| *start != line) {
                    Some(start) => {
                        let action = if message.ends_with(" action") { "" } else { " in action" };
                        format!("{message}{action} started at {}:{start}", self.source.name)
                    }
                    None => message,
                }
            }
            token => {
                let value = self.value(item);
                let shown = match token {
                    Token::Eof => "EOF".to_owned(),
                    token if token.is_keyword() => format!("<{}>", String::from_utf8_lossy(value)),
                    _ if value.len() > 10 => format!("{}...", quote_start(value)),
                    _ => fmt::quote(value),
                };
                format!("unexpected {shown} in {context}")
            }
        }
    }

    /// Goes one level deeper for `parse`; the argument says whether the stack has to be looked at on this level.
    fn deeper<T>(&mut self, too_deep: &str, parse: impl FnOnce(&mut Self, bool) -> Rule<T>) -> Rule<T> {
        if self.depth == DEEPEST {
            return Err(too_deep.to_owned());
        }
        self.depth += 1;
        let deep = self.depth.is_multiple_of(LEVELS_PER_LOOK);
        let result = if deep { stacker::maybe_grow(fmt::RED_ZONE, fmt::STACK_STEP, || parse(self, true)) } else { parse(self, false) };
        self.depth -= 1;
        result
    }

    /// The whole source: what `list` takes, and definitions.
    fn file(&mut self, name: &Text) -> Rule<()> {
        self.scope = Scope::new();
        loop {
            let item = self.peek();
            match item.token {
                Token::Eof => break,
                Token::LeftDelim => {
                    self.next();
                    let keyword = self.next();
                    if keyword.token == Token::Define {
                        self.definition()?;
                        continue;
                    }
                    self.put_back();
                    self.put_back();
                }
                _ => {}
            }
            match self.text_or_action()? {
                Parsed::Node(node) => self.nodes.push(node),
                Parsed::Ending(ending) => return Err(format!("unexpected {}", ending.text())),
            }
        }
        let nodes = settle(&mut self.nodes, 0, &mut self.source.nodes);
        let scope = std::mem::take(&mut self.scope);
        self.add(name.clone(), nodes, &scope)
    }

    fn add(&mut self, name: Text, nodes: Range, scope: &Scope) -> Rule<()> {
        let is_empty = nodes.of(&self.source.nodes).iter().all(|node| match node {
            Node::Text(span) => is_blank(self.source.slice(*span)),
            _ => false,
        });
        if self.trees.get(&name).is_some_and(|tree| !tree.is_empty) {
            if !is_empty {
                return Err(format!("template: multiple definition of template {}", fmt::quote(&name)));
            }
            return Ok(());
        }
        self.trees.insert(name, Parts { nodes, variables: scope.most as usize, is_empty });
        Ok(())
    }

    /// A template of its own within the source: its variables are its own.
    fn inner(&mut self, name: Text, context: &str) -> Rule<()> {
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let action = self.action.take();
        let (nodes, ending) = self.deeper("the templates are nested too deep", |parser, _| parser.list())?;
        if ending != Ending::End {
            return Err(format!("unexpected {} in {context}", ending.text()));
        }
        let scope = std::mem::replace(&mut self.scope, outer);
        self.action = action;
        self.add(name, nodes, &scope)
    }

    fn definition(&mut self) -> Rule<()> {
        const CONTEXT: &str = "define clause";
        let item = self.next();
        let name = self.template_name(item, CONTEXT)?;
        self.expect(Token::RightDelim, CONTEXT)?;
        self.inner(name, CONTEXT)
    }

    fn template_name(&mut self, item: Item, context: &str) -> Rule<Text> {
        match item.token {
            Token::String | Token::RawString => constant::unquote(self.value(item)),
            _ => Err(self.unexpected(item, context)),
        }
    }

    /// What stands before `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Rule<(Range, Ending)> {
        let base = self.nodes.len();
        while self.peek().token != Token::Eof {
            match self.text_or_action()? {
                Parsed::Node(node) => self.nodes.push(node),
                Parsed::Ending(ending) => return Ok((settle(&mut self.nodes, base, &mut self.source.nodes), ending)),
            }
        }
        Err("unexpected EOF".to_owned())
    }

    fn text_or_action(&mut self) -> Rule<Parsed> {
        let item = self.next();
        match item.token {
            Token::Text => Ok(Parsed::Node(Node::Text(span(item)))),
            Token::LeftDelim => {
                self.action = Some(item.start);
                let parsed = self.action()?;
                self.action = None;
                Ok(parsed)
            }
            _ => Err(self.unexpected(item, "input")),
        }
    }

    fn action(&mut self) -> Rule<Parsed> {
        let item = self.next();
        let node = match item.token {
            Token::Block => self.block()?,
            Token::Break => self.loop_control(Node::Break, "{{break}}")?,
            Token::Continue => self.loop_control(Node::Continue, "{{continue}}")?,
            Token::Else => return self.otherwise(),
            Token::End => {
                self.expect(Token::RightDelim, "end")?;
                return Ok(Parsed::Ending(Ending::End));
            }
            Token::If => self.control(Control::If)?,
            Token::Range => self.control(Control::Range)?,
            Token::With => self.control(Control::With)?,
            Token::Template => self.template()?,
            _ => {
                self.put_back();
                Node::Action(self.pipeline("command", Token::RightDelim, false)?)
            }
        };
        Ok(Parsed::Node(node))
    }

    fn loop_control(&mut self, node: Node, name: &str) -> Rule<Node> {
        let item = self.next();
        if item.token != Token::RightDelim {
            return Err(self.unexpected(item, name));
        }
        if self.scope.ranges == 0 {
            return Err(format!("{name} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Rule<Parsed> {
        if !matches!(self.peek().token, Token::If | Token::With) {
            self.expect(Token::RightDelim, "else")?;
        }
        Ok(Parsed::Ending(Ending::Else))
    }

    fn control(&mut self, control: Control) -> Rule<Node> {
        self.deeper("the blocks are nested too deep", |parser, deep| parser.branch(control, deep))
    }

    fn branch(&mut self, control: Control, deep: bool) -> Rule<Node> {
        let (known, live) = (self.scope.variables.len(), self.scope.live);
        let pipe = self.pipeline(control.name(), Token::RightDelim, false)?;
        let (known_in_pipe, live_after_pipe) = (self.scope.variables.len(), self.scope.live);
        self.scope.ranges += u32::from(control == Control::Range);
        let (body, ending) = self.list()?;
        self.scope.ranges -= u32::from(control == Control::Range);
        let mut otherwise = None;
        if ending == Ending::Else {
            // The variables of the body are gone, though the parser still knows their names.
            self.scope.live = live_after_pipe;
            for variable in &mut self.scope.variables[known_in_pipe..] {
                variable.slot = None;
            }
            let next = self.peek().token;
            if control == Control::If && next == Token::If || control == Control::With && next == Token::With {
                self.next();
                let node = self.control(control)?;
                let start = place(node, &mut self.source.nodes);
                otherwise = Some(Range { start, end: start + 1 });
            } else {
                let (nodes, ending) = self.list()?;
                if ending != Ending::End {
                    return Err(format!("expected end; found {}", ending.text()));
                }
                otherwise = Some(nodes);
            }
        }
        self.scope.variables.truncate(known);
        self.scope.live = live;
        let branch = place(Branch { pipe, body, otherwise, deep }, &mut self.source.branches);
        Ok(match control {
            Control::If => Node::If(branch),
            Control::With => Node::With(branch),
            Control::Range => Node::Range(branch),
        })
    }

    fn block(&mut self) -> Rule<Node> {
        const CONTEXT: &str = "block clause";
        let item = self.next();
        let name = self.template_name(item, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Token::RightDelim, false)?;
        self.inner(name.clone(), CONTEXT)?;
        Ok(self.invocation(item, name, Some(pipe)))
    }

    fn template(&mut self) -> Rule<Node> {
        const CONTEXT: &str = "template clause";
        let item = self.next();
        let name = self.template_name(item, CONTEXT)?;
        let mut pipe = None;
        if self.peek().token == Token::RightDelim {
            self.next();
        } else {
            pipe = Some(self.pipeline(CONTEXT, Token::RightDelim, false)?);
        }
        Ok(self.invocation(item, name, pipe))
    }

    fn invocation(&mut self, item: Item, name: Text, pipe: Option<Pipe>) -> Node {
        let mark = Mark::new(item.start, Part::Invocation);
        let pipe = pipe.map(|pipe| place(pipe, &mut self.source.pipes));
        Node::Template(Invocation { mark, name: place(name, &mut self.source.texts), pipe })
    }

    fn pipeline(&mut self, context: &str, end: Token, deep: bool) -> Rule<Pipe> {
        let mark = Mark::new(self.peek().start, Part::Pipe);
        let (assigns, names) = if self.peek().token == Token::Variable { self.declarations(context)? } else { (false, [None; 2]) };
        // Without parentheses nothing comes between the parts of a pipeline, and they are made where they belong.
        let is_plain = !self.lexer.has_parens;
        let base = if is_plain { self.source.commands.len() } else { self.commands.len() };
        loop {
            let item = self.peek();
            match item.token {
                token if token == end => {
                    self.next();
                    break;
                }
                Token::Bool
                | Token::CharConstant
                | Token::Complex
                | Token::Dot
                | Token::Field
                | Token::Identifier
                | Token::Number
                | Token::Nil
                | Token::RawString
                | Token::String
                | Token::Variable
                | Token::LeftParen => {
                    let command = self.command()?;
                    if is_plain { &mut self.source.commands } else { &mut self.commands }.push(command);
                }
                _ => return Err(self.unexpected(item, context)),
            }
        }
        let commands = if is_plain { &self.source.commands[base..] } else { &self.commands[base..] };
        if commands.is_empty() {
            return Err(format!("missing value for {context}"));
        }
        for (index, command) in commands[1..].iter().enumerate() {
            if matches!(command.word.term, Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text { .. }) {
                return Err(format!("non executable command in pipeline stage {}", index + 2));
            }
        }
        let commands = if is_plain {
            Range { start: base as u32, end: self.source.commands.len() as u32 }
        } else {
            settle(&mut self.commands, base, &mut self.source.commands)
        };
        let start = self.source.variables.len() as u32;
        if names[0].is_some() {
            for name in names.into_iter().flatten() {
                let declared = self.declare(name, assigns);
                self.source.variables.push(declared);
            }
        }
        let variables = Range { start, end: self.source.variables.len() as u32 };
        Ok(Pipe { mark, assigns, variables, commands, deep })
    }

    /// The variables on the left side. Until the pipeline has been evaluated there are none of them; the parser knows their names from here on.
    fn declarations(&mut self, context: &str) -> Rule<(bool, [Option<Span>; 2])> {
        let mut names = [None; 2];
        loop {
            let variable = self.peek();
            if variable.token != Token::Variable {
                return Ok((false, names));
            }
            self.next();
            let next = self.peek();
            let is_last = matches!(next.token, Token::Assign | Token::Declare);
            let goes_on = next.token == Token::Char && self.value(next) == b",";
            if !is_last && !goes_on {
                self.put_back();
                return Ok((false, names));
            }
            self.next();
            let place = usize::from(names[0].is_some());
            names[place] = Some(span(variable));
            self.scope.variables.push(Known { name: span(variable), slot: None });
            if is_last {
                return Ok((next.token == Token::Assign, names));
            }
            if context != "range" || place > 0 {
                return Err(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek().token, Token::Variable | Token::RightDelim | Token::RightParen) {
                return Err("range can only initialize variables".to_owned());
            }
        }
    }

    fn declare(&mut self, name: Span, assigns: bool) -> Variable {
        if assigns {
            return Variable { name, slot: self.resolve(name) };
        }
        let slot = self.scope.live;
        self.scope.live += 1;
        self.scope.most = self.scope.most.max(self.scope.live);
        self.scope.variables.push(Known { name, slot: Some(slot) });
        Variable { name, slot: Some(slot) }
    }

    fn same_name(&self, variable: &Known, name: &[u8]) -> bool {
        let known = variable.name;
        let known = if known == Span::default() { b"$" } else { &self.text[known.start as usize..known.end as usize] };
        known == name
    }

    /// Where the variable `name` is in execution.
    fn resolve(&self, name: Span) -> Option<u32> {
        let name = &self.text[name.start as usize..name.end as usize];
        let mut known = self.scope.variables.iter().rev();
        known.find(|variable| variable.slot.is_some() && self.same_name(variable, name)).and_then(|variable| variable.slot)
    }

    fn command(&mut self) -> Rule<Command> {
        let mark = Mark::new(self.peek().start, Part::Command);
        let Some(word) = self.operand()? else { return Err("empty command".to_owned()) };
        let is_plain = !self.lexer.has_parens;
        let base = if is_plain { self.source.operands.len() } else { self.operands.len() };
        loop {
            let item = self.peek();
            match item.token {
                Token::RightDelim | Token::RightParen => break,
                Token::Pipe => {
                    self.next();
                    break;
                }
                _ if item.spaced => match self.operand()? {
                    Some(operand) => if is_plain { &mut self.source.operands } else { &mut self.operands }.push(operand),
                    None => return Err(self.unexpected(item, "operand")),
                },
                _ => return Err(self.unexpected(item, "operand")),
            }
        }
        let arguments = if is_plain {
            Range { start: base as u32, end: self.source.operands.len() as u32 }
        } else {
            settle(&mut self.operands, base, &mut self.source.operands)
        };
        Ok(Command { mark, word, arguments })
    }

    fn operand(&mut self) -> Rule<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.token != Token::Field || first.spaced {
            return Ok(Some(operand));
        }
        let start = match operand.term {
            // The name of the first field is the last of the fields.
            Term::Field(names) => names.start,
            _ => self.source.fields.len() as u32,
        };
        let mut next = first;
        while next.token == Token::Field && !next.spaced {
            self.next();
            self.source.fields.push(name_of(next));
            next = self.peek();
        }
        let fields = Range { start, end: self.source.fields.len() as u32 };
        let term = match operand.term {
            Term::Field(_) => Term::Field(fields),
            Term::Variable { variable, .. } => Term::Variable { variable, fields },
            Term::Bool(_) | Term::Text { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                let mut printed = Vec::new();
                operand.print(&self.source, &mut printed);
                return Err(format!("unexpected . after term {}", fmt::quote(&printed)));
            }
            Term::Function { .. } | Term::Pipe(_) | Term::Chain { .. } => {
                Term::Chain { base: place(operand, &mut self.source.bases), fields }
            }
        };
        Ok(Some(Operand { mark: Mark::new(first.start, Part::Operand), term }))
    }

    /// `None` if the next token is none that a term begins with; it is not taken then.
    fn term(&mut self) -> Rule<Option<Operand>> {
        let item = self.next();
        let value = self.value(item);
        let term = match item.token {
            Token::Identifier => Term::Function { name: span(item), callee: self.function(value)? },
            Token::Dot => Term::Dot,
            Token::Nil => Term::Nil,
            Token::Variable => {
                let slot = self.resolve(span(item));
                if slot.is_none() && !self.scope.variables.iter().any(|variable| self.same_name(variable, value)) {
                    return Err(format!("undefined variable {}", fmt::quote(value)));
                }
                let variable = Variable { name: span(item), slot };
                Term::Variable { variable: place(variable, &mut self.source.variables), fields: Range::default() }
            }
            Token::Field => {
                let start = place(name_of(item), &mut self.source.fields);
                Term::Field(Range { start, end: start + 1 })
            }
            Token::Bool => Term::Bool(value == b"true"),
            Token::CharConstant | Token::Complex | Token::Number => {
                Term::Number(place(constant::number(value, item.token, span(item))?, &mut self.source.numbers))
            }
            Token::LeftParen => {
                let pipe = self.deeper("max expression depth exceeded", |parser, deep| {
                    parser.pipeline("parenthesized pipeline", Token::RightParen, deep)
                })?;
                return Ok(Some(Operand { mark: pipe.mark, term: Term::Pipe(place(pipe, &mut self.source.pipes)) }));
            }
            Token::String | Token::RawString => {
                Term::Text { value: place(constant::unquote(value)?, &mut self.source.texts), quoted: span(item) }
            }
            _ => {
                self.put_back();
                return Ok(None);
            }
        };
        Ok(Some(Operand { mark: Mark::new(item.start, Part::Operand), term }))
    }

    /// The place of the function among the callees.
    fn function(&mut self, name: &'s [u8]) -> Rule<u32> {
        let hash = name.iter().fold(name.len(), |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte))) % REMEMBERED_CALLEES;
        if let Some((remembered, callee)) = self.callees[hash]
            && remembered == name
        {
            return Ok(callee);
        }
        let text = std::str::from_utf8(name).unwrap_or_default();
        let callee = match self.functions.find(text) {
            Some(function) => Callee::Host(function),
            None => Callee::Builtin(Builtin::named(text).ok_or_else(|| format!("function {} not defined", fmt::quote(name)))?),
        };
        let callee = place(callee, &mut self.source.callees);
        self.callees[hash] = Some((name, callee));
        Ok(callee)
    }
}

fn span(item: Item) -> Span {
    Span { start: item.start, end: item.end }
}

/// The name of a field, without its dot.
fn name_of(field: Item) -> Span {
    Span { start: field.start + 1, end: field.end }
}

/// As `%.10q`.
fn quote_start(value: &[u8]) -> String {
    let mut end = 0;
    for _ in 0..10 {
        end += fmt::next_char(&value[end..]).map_or(0, |(_, size)| size);
    }
    fmt::quote(&value[..end])
}

/// As `len(bytes.TrimSpace(text)) == 0`.
fn is_blank(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((char, size)) = fmt::next_char(rest) {
        if !char.is_whitespace() {
            return false;
        }
        rest = &rest[size..];
    }
    true
}
