//! The four forms of every answer: a table for people, JSON and YAML for programs, names for the next command.

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use hub_api::{List, Named, One};
use serde::Serialize;
use serde_json::Value;

use crate::console::Console;
use crate::failure::Failure;
use crate::text::plain;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide screens: clusters with their nodes and GPUs.
    Wide,
    /// The API's objects as JSON.
    Json,
    /// The API's objects as YAML.
    Yaml,
    /// One KIND/NAME a line.
    Name,
}

/// Columns with their headings, and rows of as many cells.
pub(crate) struct Rows {
    pub(crate) headings: &'static [&'static str],
    pub(crate) cells: Vec<Vec<String>>,
}

impl Rows {
    /// The table as text: no borders, two spaces between columns, nothing wrapped, nothing cut.
    pub(crate) fn text(&self) -> String {
        if self.cells.is_empty() {
            return String::new();
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(self.headings);
        for row in &self.cells {
            table.add_row(row.iter().map(|cell| plain(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Prints a list. An empty table is said to whoever reads it and leaves standard output empty.
pub(crate) fn print_list<T: Named + Serialize>(
    console: &mut Console<'_>,
    format: Format,
    items: Vec<T>,
    none: &str,
    table: impl FnOnce(&[T]) -> Rows,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide if items.is_empty() => console.say(none),
        Format::Table | Format::Wide => console.print(&table(&items).text()),
        Format::Name => console.print(&items.iter().map(|item| format!("{}\n", path(item))).collect::<String>()),
        Format::Json | Format::Yaml => console.print(&document(format, &List::new(items, None))?),
    }
}

/// Prints one thing; `text` is its table form, already whole lines.
pub(crate) fn print_one<T: Named + Serialize>(console: &mut Console<'_>, format: Format, item: T, text: &str) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => console.print(text),
        Format::Name => console.print(&format!("{}\n", path(&item))),
        Format::Json | Format::Yaml => console.print(&document(format, &One::new(item))?),
    }
}

/// `cluster/gpu-a`.
fn path<T: Named>(item: &T) -> String {
    format!("{}/{}", T::KIND.to_lowercase(), plain(&item.name()))
}

pub(crate) fn document(format: Format, value: &impl Serialize) -> Result<String, Failure> {
    let bug = |error: serde_json::Error| Failure::local(format!("BUG: an answer cannot be written: {error}"));
    let value: Value = serde_json::to_value(value).map_err(bug)?;
    if format == Format::Yaml {
        return Ok(shared_manifest::to_yaml(&value));
    }
    Ok(serde_json::to_string_pretty(&value).map_err(bug)? + "\n")
}
