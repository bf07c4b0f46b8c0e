//! How a tree of files lies in the bytes of one input: a line `=== PATH` begins a file, `=== PATH -> TARGET` is a symlink. What stands before
//! the first such line, and what has no valid path, is left out, so that every input is some tree.

use hub_tree::{MemoryTree, TreePath};

/// What a line that begins a file begins with.
const MARK: &[u8] = b"=== ";
/// What stands between a symlink and its target.
const ARROW: &str = " -> ";

/// The tree, and the directory of its first file: the one to build.
pub(crate) fn tree_of(input: &[u8]) -> (MemoryTree, TreePath) {
    let mut tree = MemoryTree::new();
    let mut first = None;
    for (name, content) in split(input) {
        let (name, target) = match name.split_once(ARROW) {
            Some((name, target)) => (name, Some(target)),
            None => (name, None),
        };
        let Ok(path) = TreePath::parse(name) else { continue };
        let Some(directory) = path.parent() else { continue };
        first.get_or_insert(directory);
        match target {
            Some(target) => tree.insert_link(path, target),
            None => tree.insert(path, content),
        }
    }
    (tree, first.unwrap_or_default())
}

/// The sections: what stands behind the mark, if it is UTF-8, and the lines up to the next one.
pub(crate) fn split(input: &[u8]) -> Vec<(&str, &[u8])> {
    let mut sections = Vec::new();
    let mut begun: Option<(&[u8], usize)> = None;
    let mut at = 0;
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(MARK) {
            sections.extend(begun.map(|(name, start)| (name, &input[start..at])));
            begun = Some((name.trim_ascii_end(), at + line.len()));
        }
        at += line.len();
    }
    sections.extend(begun.map(|(name, start)| (name, &input[start..])));
    sections.into_iter().filter_map(|(name, content)| Some((std::str::from_utf8(name).ok()?, content))).collect()
}

/// The input that is a tree of these files.
pub(crate) fn join(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut input = Vec::new();
    for (path, content) in files {
        input.extend_from_slice(MARK);
        input.extend_from_slice(path.as_bytes());
        input.push(b'\n');
        input.extend_from_slice(content);
        if !content.is_empty() && !content.ends_with(b"\n") {
            input.push(b'\n');
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_reads_back_as_it_was_joined_and_what_has_no_path_is_left_out() {
        let files = [("a/kustomization.yaml".to_owned(), b"resources: [x]\n".to_vec()), ("a/x -> ../b".to_owned(), Vec::new())];
        let mut input = b"lost\n".to_vec();
        input.extend(join(&files));
        input.extend(b"=== ../out\nx\n=== \xff\nx\n=== a/\xc3\xa4\n\xff=== \n");
        let sections = split(&input);
        assert_eq!(sections[0], ("a/kustomization.yaml", &b"resources: [x]\n"[..]));
        assert_eq!(sections[1..3], [("a/x -> ../b", &b""[..]), ("../out", &b"x\n"[..])]);
        assert_eq!(sections[3..], [("a/ä", &b"\xff=== \n"[..])]);
        let (tree, directory) = tree_of(&input);
        assert_eq!(directory.as_str(), "a");
        let reader = hub_tree::Reader::new(&tree, hub_tree::Budget::RENDER);
        assert!(reader.file(&TreePath::parse("a/ä").expect("a path")).expect("readable").is_some());
        assert!(reader.file(&TreePath::parse("a/x").expect("a path")).expect("a link that leads nowhere").is_none());
    }
}
