//! Opening a repository without trusting anything around it, and the few questions that a mirror asks one.

use std::path::Path;

use gix::ObjectId;

use crate::reference::Listed;
use crate::spec::Limits;

/// Options that read no configuration of the user or the system and no environment, and bound what one object takes in memory.
pub(crate) fn isolated(limits: &Limits) -> gix::open::Options {
    gix::open::Options::isolated().config_overrides([
        format!("gitoxide.objects.allocLimit={}", limits.object_bytes),
        // Two threads that resolve deltas hold two such objects each.
        "pack.threads=2".to_owned(),
        "core.logAllRefUpdates=false".to_owned(),
        "core.useReplaceRefs=false".to_owned(),
    ])
}

/// Opens the repository at `path`, bare or with a work tree.
pub(crate) fn open_repository(path: &Path, limits: &Limits) -> gix::Result<gix::ThreadSafeRepository> {
    isolated(limits).open(path)
}

/// The commit that `object` is or that a tag leads to, if it and its tree are there.
pub(crate) fn commit_of(repository: &gix::Repository, object: ObjectId) -> gix::Result<ObjectId> {
    let commit = repository.find_object(object)?.peel_to_kind(gix::objs::Kind::Commit)?.into_commit();
    commit.tree()?;
    Ok(commit.id)
}

/// The references of `repository` below `prefix`, tags followed. One that leads to nothing is left out.
pub(crate) fn list_references(repository: &gix::Repository, prefix: &str) -> gix::Result<Vec<Listed>> {
    if prefix == "HEAD" {
        let head = repository.head_id()?.detach();
        return Ok(vec![Listed { name: prefix.to_owned(), object: head }]);
    }
    let mut listed = Vec::new();
    for reference in repository.references()?.prefixed(prefix)? {
        let Ok(mut reference) = reference else { continue };
        let name = reference.name().as_bstr().to_string();
        if let Ok(object) = reference.peel_to_id() {
            listed.push(Listed { name, object: object.detach() });
        }
    }
    Ok(listed)
}

/// Whether `old` is among the ancestors of `new`. A commit that is not there is nobody's ancestor.
pub(crate) fn is_ancestor(repository: &gix::Repository, old: &str, new: ObjectId) -> bool {
    let Ok(old) = ObjectId::from_hex(old.as_bytes()) else { return false };
    repository.merge_base(old, new).is_ok_and(|base| base.is_some_and(|base| base.detach() == old))
}
