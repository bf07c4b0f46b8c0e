//! Tables for a terminal that are Markdown as well, so that a page can hold what was printed.

use std::fmt;

/// A table with a heading.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table; the first column names the rows.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row; missing cells are blank.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Adds a sentence below the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain([&self.columns[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                if column == 0 { write!(f, "| {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)
        };
        writeln!(f, "### {}\n", self.title)?;
        line(f, &self.columns)?;
        for (column, &width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width);
            if column == 0 { write!(f, "| {dashes} |")? } else { write!(f, " {}: |", &dashes[1..])? }
        }
        writeln!(f)?;
        self.rows.iter().try_for_each(|row| line(f, row))?;
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_whose_columns_line_up() {
        let mut table = Table::new("Lengths", &["what", "metres"]);
        table.row(["a river".to_owned(), "100".to_owned()]);
        table.row(["ä".to_owned()]);
        table.note("Measured once.");
        let expected =
            "### Lengths\n\n| what    | metres |\n| ------- | -----: |\n| a river |    100 |\n| ä       |        |\n\nMeasured once.\n";
        assert_eq!(table.to_string(), expected);
    }
}
