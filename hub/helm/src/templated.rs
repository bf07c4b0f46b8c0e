//! What a render gives, and its text as `helm template` prints it.

use std::fmt::Write;

use crate::glob::Glob;
use crate::manifest::{Hook, Manifest, documents};
use crate::{HelmError, Used};

/// What stands before the name of the file that a document comes from.
const SOURCE: &str = "---\n# Source: ";

/// A rendered chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templated {
    /// Objects in the order in which Helm installs their kinds, then hooks in that order.
    pub manifests: Vec<Manifest>,
    /// The files in `crds/` of the chart and of those in it; empty unless they were asked for.
    pub crds: Vec<Manifest>,
    /// What `NOTES.txt` says.
    pub notes: Option<String>,
    /// What was made use of beside the chart and the values.
    pub used: Used,
    /// What Helm warns of, once each.
    pub warnings: Vec<String>,
}

/// What of a render is printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Show {
    /// Whether hooks are left out.
    pub no_hooks: bool,
    /// Whether hooks that are tests are left out.
    pub skip_tests: bool,
    /// Only documents of these files, such as `templates/service.yaml`; patterns are allowed. Empty for all.
    pub only: Vec<String>,
}

impl Templated {
    /// What `helm template` prints.
    ///
    /// # Errors
    /// A file of [`Show::only`] that gave no document.
    pub fn to_text(&self, show: &Show) -> Result<String, HelmError> {
        let mut text = String::with_capacity(self.crds.iter().chain(&self.manifests).map(|one| one.text.len() + 128).sum());
        self.print(show, &mut |piece| text.push_str(piece))?;
        Ok(text)
    }

    /// The same piece by piece, so that nobody has to hold all of it.
    ///
    /// # Errors
    /// As [`Self::to_text`]; nothing is printed then.
    pub fn print(&self, show: &Show, out: &mut dyn FnMut(&str)) -> Result<(), HelmError> {
        if show.only.is_empty() {
            self.print_all(show, out);
            return Ok(());
        }
        let mut all = String::new();
        self.print_all(show, &mut |piece| all.push_str(piece));
        out(&only(&all, &show.only)?);
        Ok(())
    }

    fn print_all(&self, show: &Show, out: &mut dyn FnMut(&str)) {
        let mut objects = self.crds.iter().chain(self.manifests.iter().filter(|manifest| manifest.hook.is_none())).peekable();
        if objects.peek().is_none() {
            out("\n");
        }
        while let Some(object) = objects.next() {
            // Behind the last of them there are no blank lines, even if it is blank itself.
            match objects.peek() {
                Some(_) => print(&object.source, &object.text, out),
                None => match object.text.trim_end() {
                    "" => [SOURCE, &object.source, "\n"].into_iter().for_each(&mut *out),
                    text => print(&object.source, text, out),
                },
            }
        }
        let is_shown = |hook: &Hook| !(show.no_hooks || show.skip_tests && hook.is_test());
        for hook in self.manifests.iter().filter(|manifest| manifest.hook.as_ref().is_some_and(is_shown)) {
            print(&hook.source, &hook.text, out);
        }
    }
}

fn print(source: &str, text: &str, out: &mut dyn FnMut(&str)) {
    [SOURCE, source, "\n", text, "\n"].into_iter().for_each(out);
}

/// The documents of `text` that come from one of `files`, file by file.
fn only(text: &str, files: &[String]) -> Result<String, HelmError> {
    let documents: Vec<(&str, &str)> = documents(text).filter_map(|document| Some((source(document)?, document))).collect();
    let mut shown = String::new();
    for file in files {
        let glob = Glob::path(file).ok();
        let mut found = documents.iter().filter(|(source, _)| glob.as_ref().is_some_and(|glob| glob.matches(source))).peekable();
        if found.peek().is_none() {
            return Err(HelmError::NotShown { file: file.clone() });
        }
        for (_, document) in found {
            let _ = writeln!(shown, "---\n{document}");
        }
    }
    Ok(shown)
}

/// The file in the chart that a document says it comes from.
fn source(document: &str) -> Option<&str> {
    document.match_indices("# Source: ").find_map(|(at, mark)| {
        let line = document[at + mark.len()..].lines().next()?;
        let (chart, file) = line.split_once('/')?;
        (!chart.is_empty() && !file.is_empty()).then_some(file)
    })
}
