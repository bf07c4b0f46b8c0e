//! A base that was built before: what it came to, and everything by which a build knows that doing it again would give the same. When it is
//! looked for and kept is left to `target`.

use hub_tree::{Observed, Reader, TreePath};

use crate::files::{BaseKey, Files};
use crate::loader::Loader;
use crate::problem::Warning;
use crate::target::Accumulated;

/// A built base. It was built, and is used, where no kustomization had named a schema and `buildMetadata` asks for nothing.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) accumulated: Accumulated,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) has_used_built_in: bool,
    /// The directories of the kustomizations that were loaded, its own first, each as often as it was; with how deep below its own.
    pub(crate) entered: Vec<(TreePath, usize)>,
    pub(crate) observed: Observed,
}

/// What a path that was looked at weighs besides its text.
const PATH_BYTES: usize = 128;

impl Base {
    /// Whether the build that has come to `loader` would load and read the same: then what was read counts as read by it.
    pub(crate) fn holds(&self, loader: &Loader<'_>, reader: &Reader<'_>) -> bool {
        self.entered.iter().all(|(directory, depth)| loader.could_enter(directory, *depth)) && reader.adopt(&self.observed)
    }

    /// Keeps it.
    pub(crate) fn keep(self, key: BaseKey, files: &Files) {
        let objects: usize = self.accumulated.resources.iter().map(|resource| resource.bytes + PATH_BYTES).sum();
        let paths: usize = self.observed.set().iter().map(|(path, _)| path.as_str().len() + PATH_BYTES).sum();
        files.put_base(key, objects + paths, self);
    }
}
