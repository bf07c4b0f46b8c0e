//! Go's `text/template` as a library: parsing, evaluation, printing of values as Go prints them, all within budgets. It knows nothing of charts
//! and has Go's own functions only; `hub/helm` brings the others.

mod budget;
mod builtin;
mod compare;
mod constant;
mod error;
mod exec;
pub mod fmt;
mod function;
mod kind;
mod lex;
mod parse;
mod templates;
mod text;
mod tree;
mod value;

pub use budget::{Budget, Exceeded, Limits};
pub use compare::{compare, equal};
pub use error::{CallError, ExecError, Failure, ParseError, Place, Reason};
pub use function::{Args, Call, Function, Functions, Type};
pub use kind::{Uint, is_true, kind_name, type_name};
pub use templates::{Execution, MissingKey, Templates};
pub use text::Text;
pub use value::{List, ListType, Map, MapType, Object, Value};
