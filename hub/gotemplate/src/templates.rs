//! A set of parsed templates that see each other: parsed once, executed many times, from many threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::exec::Machine;
use crate::parse::{Desk, parse};
use crate::tree::Tree;
use crate::{Budget, ExecError, Function, Functions, ParseError, Text, Value};

/// How many bytes of texts given to [`crate::Call::evaluate`] a set of templates remembers parsed. Charts evaluate the same few values again
/// and again; all those of a large chart are a tenth of this.
const MOST_REMEMBERED: usize = 4 << 20;

/// Parsed templates that see each other by name. A clone shares what is parsed.
#[derive(Clone)]
pub struct Templates {
    root: Text,
    functions: &'static dyn Functions,
    trees: Arc<BTreeMap<Text, Arc<Tree>>>,
    evaluated: Arc<Mutex<Evaluated>>,
}

/// What a source defines.
pub(crate) type Parsed = BTreeMap<Text, Arc<Tree>>;

/// The parsed forms of texts that were evaluated within executions.
#[derive(Default)]
struct Evaluated {
    parsed: BTreeMap<Text, Arc<Parsed>>,
    bytes: usize,
}

/// What a missing key of a map gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// The zero value, as with `missingkey=zero`.
    #[default]
    Zero,
    /// The end of the execution, as with `missingkey=error`.
    Error,
}

/// The surroundings of an execution.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// What the functions of the host find in [`crate::Call::host`].
    pub host: &'a dyn Any,
    /// What may be used up, by this execution and all others with the same budget.
    pub budget: &'a Budget,
    /// What a missing key gives.
    pub missing_key: MissingKey,
}

impl Templates {
    /// A set without templates, in which templates may call `functions`. The root is what messages name the whole set by; it is the name of
    /// what [`crate::Call::evaluate`] executes.
    pub fn new(root: &str, functions: &'static dyn Functions) -> Self {
        Self { root: root.into(), functions, trees: Arc::default(), evaluated: Arc::default() }
    }

    /// See [`Functions::method`].
    pub(crate) fn method(&self, name: &[u8]) -> Option<&'static Function> {
        self.functions.method(name)
    }

    /// Parses `source` as the template `name`, with the templates that it defines. A template that is there already is replaced, unless the
    /// new one has nothing but space and comments.
    pub fn parse(&mut self, name: &str, source: impl Into<Text>) -> Result<(), ParseError> {
        self.parse_all([(name.into(), source.into())])
    }

    /// The same with one source after another, by their names; ends with the first that has an error. It is faster than one at a time.
    pub fn parse_all(&mut self, sources: impl IntoIterator<Item = (Text, Text)>) -> Result<(), ParseError> {
        let mut desk = Desk::default();
        let trees = Arc::make_mut(&mut self.trees);
        for (name, source) in sources {
            for tree in parse(&mut desk, &name, &source, self.functions)? {
                if !tree.is_empty || !trees.contains_key(&tree.name) {
                    trees.insert(tree.name.clone(), Arc::new(tree));
                }
            }
        }
        Ok(())
    }

    /// The names of the templates, sorted bytewise.
    pub fn names(&self) -> impl Iterator<Item = &Text> {
        self.trees.keys()
    }

    /// Whether there is a template `name`.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.trees.contains_key(name)
    }

    /// What the template `name` prints with `dot`.
    pub fn execute(&self, name: &str, dot: Value, execution: Execution<'_>) -> Result<Text, ExecError> {
        let mut out = Vec::new();
        self.execute_into(&mut out, name, dot, execution)?;
        Ok(out.into())
    }

    /// The same in place of what is in `out`, whose memory serves one execution after the other.
    pub fn execute_into(&self, out: &mut Vec<u8>, name: &str, dot: Value, execution: Execution<'_>) -> Result<(), ExecError> {
        out.clear();
        let mut machine = Machine::new(self, execution, std::mem::take(out));
        let outcome = machine.start(name.as_bytes(), dot);
        *out = machine.into_output();
        outcome
    }

    pub(crate) fn root(&self) -> &Text {
        &self.root
    }

    pub(crate) fn tree(&self, name: &[u8]) -> Option<&Tree> {
        self.trees.get(name).map(|tree| &**tree)
    }

    /// What `source` defines, under the name of the root.
    pub(crate) fn evaluated(&self, source: &Text) -> Result<Arc<Parsed>, ParseError> {
        if let Some(parsed) = self.remembered().parsed.get(source) {
            return Ok(parsed.clone());
        }
        let parsed: Parsed = parse(&mut Desk::default(), &self.root, source, self.functions)?
            .into_iter()
            .map(|tree| (tree.name.clone(), Arc::new(tree)))
            .collect();
        let parsed = Arc::new(parsed);
        if source.len() < MOST_REMEMBERED / 4 {
            let mut remembered = self.remembered();
            if remembered.bytes + source.len() > MOST_REMEMBERED {
                *remembered = Evaluated::default();
            }
            remembered.bytes += source.len();
            remembered.parsed.insert(source.clone(), parsed.clone());
        }
        Ok(parsed)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Evaluated> {
        // What is remembered is whole at every moment, also after a panic elsewhere.
        self.evaluated.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The templates of a text that is evaluated, before those of the text or the set around it.
pub(crate) struct Layer {
    pub(crate) around: Option<Rc<Layer>>,
    pub(crate) parsed: Arc<Parsed>,
}

/// A template that was found.
pub(crate) enum Found<'e> {
    Set(&'e Tree),
    Layer(Arc<Tree>),
}

impl Found<'_> {
    pub(crate) fn tree(&self) -> &Tree {
        match self {
            Self::Set(tree) => tree,
            Self::Layer(tree) => tree,
        }
    }
}

/// The template `name` as seen from `layer`. An empty definition is there only if there is no other, but for the root, which each layer has for
/// itself.
pub(crate) fn find<'e>(templates: &'e Templates, layer: Option<&Layer>, name: &[u8]) -> Option<Found<'e>> {
    let mut empty = None;
    for layer in std::iter::successors(layer, |layer| layer.around.as_deref()) {
        if let Some(tree) = layer.parsed.get(name) {
            if !tree.is_empty || name == templates.root().as_bytes() {
                return Some(Found::Layer(tree.clone()));
            }
            empty = Some(tree);
        }
    }
    templates.tree(name).map(Found::Set).or_else(|| empty.map(|tree| Found::Layer(tree.clone())))
}
