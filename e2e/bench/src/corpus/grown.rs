//! An app of any number of files, for what grows with its size.

use super::{Corpus, Family, chance, kustomization, objects};

/// An app with `files` manifests, an overlay that touches each of them, and one of the files: the corpus, the overlay, the file.
pub fn grown(files: usize) -> (Corpus, String, String) {
    let mut corpus = Corpus::default();
    let mut dice = chance("grown");
    let mut names = Vec::new();
    for index in 0..files {
        let name = format!("part-{index:04}");
        let text = match index % 5 {
            0 => objects::deployment(&mut dice, &name, &format!("ghcr.io/example/{name}")),
            1 => objects::service(&name),
            2 => objects::network_policy(&name),
            3 => objects::ingress(&name),
            _ => objects::rights(&name),
        };
        corpus.file(format!("base/{name}.yaml"), text);
        names.push(format!("{name}.yaml"));
    }
    corpus.file("base/kustomization.yaml", kustomization(&names, ""));
    let more = "namespace: grown\nnameSuffix: -a\nlabels:\n- pairs:\n    example.com/size: large\nimages:\n- name: ghcr.io/example/part-0000\n  newTag: v2\n";
    corpus.target(Family::App, "overlay", kustomization(&["../base"], more));
    (corpus, "overlay".to_owned(), "base/part-0000.yaml".to_owned())
}
