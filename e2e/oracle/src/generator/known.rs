//! Where Capstan is known to differ from kustomize. The generator leaves these out, so that a test shows what is new; setting one to true
//! brings it back, for whoever closes the difference.

/// Replacements of what is no text, and variables beside a replacement that made a field.
pub(super) const TYPES_OF_REPLACEMENTS: bool = false;

/// Keys that are no text to YAML 1.1, which kustomize mostly refuses.
pub(super) const ODD_KEYS: bool = false;

/// Infinity, integers beyond 64 bits or the precision of JSON, binary and very small numbers, minus zero, dates with an offset, `!!binary`: their
/// spelling changes when kustomize sends an object through JSON.
pub(super) const ODD_NUMBERS: bool = false;

/// Replacements inside of YAML that is itself a text, which are refused here.
pub(super) const YAML_IN_TEXTS: bool = false;

/// Items without the keys by which their list is joined, beside an item that is deleted.
pub(super) const ITEMS_WITHOUT_KEYS: bool = false;

/// A scalar among the maps of a list, which kustomize refuses to merge with.
pub(super) const SCALARS_AMONG_MAPS: bool = false;

/// Blanks in strategic merges: where the patched object stands in braces or brackets, kustomize writes them as empty texts.
pub(super) const BLANKS_IN_PATCHES: bool = false;
