//! Remote bases: what is mounted is built as if it had been cloned, nothing leads out of it or into it, and what is not mounted is refused with
//! what can be done.

use std::sync::Arc;

use hub_kustomize::{BuildError, BuildOptions, Files, build};
use hub_tree::{Budget, MemoryTree, MountRefusal, MountedTree, Mounts, Offer, ReadSet, Reader, Repository, SourceTree, TreePath};

const URL: &str = "https://git.example.com/platform/base";

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn offered(reference: &str, tree: Result<MemoryTree, MountRefusal>) -> Offer {
    Offer {
        source: "platform".to_owned(),
        repository: Repository::parse(URL).expect("a repository"),
        references: vec![reference.to_owned()],
        tree: tree.map(|tree| -> Arc<dyn SourceTree> { Arc::new(tree) }),
    }
}

fn theirs() -> MemoryTree {
    let (a, c) = (config_map("a"), config_map("c"));
    MemoryTree::of(&[
        ("deploy/kustomization.yaml", "namePrefix: base-\nresources: [a.yaml, ../common]\n"),
        ("deploy/a.yaml", &a),
        ("common/kustomization.yaml", "resources: [c.yaml]\n"),
        ("common/c.yaml", &c),
        ("labels/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnameSuffix: -eu\n"),
        ("out/kustomization.yaml", "resources: [../../ours]\n"),
        ("file/kustomization.yaml", "configMapGenerator: [{name: x, files: [../../secret]}]\n"),
        ("again/kustomization.yaml", &format!("resources: ['{URL}//again?ref=v1']\n")),
        ("self/kustomization.yaml", &format!("resources: ['{URL}//deploy?ref=v1']\n")),
    ])
}

fn tree(kustomization: &str, offer: Offer) -> MountedTree {
    let ours = config_map("ours");
    let main = MemoryTree::of(&[
        ("app/kustomization.yaml", kustomization),
        ("ours/kustomization.yaml", "resources: [o.yaml]\n"),
        ("ours/o.yaml", &ours),
        ("secret", "ours"),
    ]);
    let mut mounts = Mounts::default();
    mounts.offer(offer);
    MountedTree::new(Arc::new(main), Arc::new(mounts))
}

fn built_with(tree: &dyn SourceTree, files: Option<&Files>) -> (Result<String, BuildError>, ReadSet) {
    let reader = Reader::new(tree, Budget::RENDER);
    let options = BuildOptions { files, ..BuildOptions::default() };
    let built = build(&reader, &TreePath::parse("app").expect("a path"), &options);
    (built.map(|built| built.to_yaml()), reader.into_read_set())
}

fn built(kustomization: &str) -> Result<String, BuildError> {
    built_with(&tree(kustomization, offered("v1", Ok(theirs()))), None).0
}

fn names(yaml: &str) -> Vec<&str> {
    yaml.lines().filter_map(|line| line.strip_prefix("  name: ")).collect()
}

#[test]
fn a_mounted_base_is_built_whatever_form_its_reference_has() {
    for reference in [
        "https://git.example.com/platform/base/deploy?ref=v1",
        "https://git.example.com/platform/base//deploy?ref=v1",
        "https://git.example.com/platform/base.git//deploy/?ref=v1",
        "git@git.example.com:platform/base//deploy?ref=v1",
        "ssh://git@git.example.com/platform/base.git/deploy?ref=v1",
        "git::https://git.example.com/platform/base//deploy?version=v1&submodules=false",
        "https://git.example.com/platform/base//deploy",
    ] {
        for field in ["resources", "bases"] {
            let yaml = built(&format!("{field}:\n- {reference}\n- ../ours\n")).unwrap_or_else(|error| panic!("{reference}: {error}"));
            assert_eq!(names(&yaml), ["base-a", "base-c", "ours"], "{reference}");
        }
    }
    let yaml = built(&format!("resources: [../ours]\ncomponents: ['{URL}//labels?ref=v1']\n")).expect("built");
    assert_eq!(names(&yaml), ["ours-eu"]);
    let yaml = built(&format!("resources: ['{URL}//self?ref=v1']\n")).expect("a base may name another of its repository");
    assert_eq!(names(&yaml), ["base-a", "base-c"]);
}

#[test]
fn nothing_leads_out_of_a_mount_or_into_it() {
    for (reference, words) in [
        (format!("{URL}//out?ref=v1"), "leads out of the source"),
        (format!("{URL}//file?ref=v1"), "leads out of the source"),
        (format!("{URL}//again?ref=v1"), "which is being built already"),
        (format!("{URL}//deploy/a.yaml?ref=v1"), "a remote base is a directory"),
        (format!("{URL}//gone?ref=v1"), "git.example.com/platform/base?ref=v1//gone does not exist"),
        (format!("{URL}//../../ours?ref=v1"), "is remote"),
        ("git.example.com/platform/base?ref=v1//deploy".to_owned(), "is remote"),
    ] {
        let error = built(&format!("resources: ['{reference}']\n")).expect_err("refused").to_string();
        assert!(error.contains(words), "{reference}: {error}");
    }
    let mut links = theirs();
    links.insert_link(TreePath::parse("up").expect("a path"), "../ours");
    let linked = tree(&format!("resources: ['{URL}//up?ref=v1']\n"), offered("v1", Ok(links)));
    assert!(built_with(&linked, None).0.expect_err("refused").to_string().contains("the symlink"));
}

#[test]
fn another_ref_is_refused_with_both() {
    let error = built(&format!("resources:\n- {URL}//deploy?ref=v2\n")).expect_err("refused").to_string();
    assert!(
        error.starts_with(
            "app/kustomization.yaml:2: \"https://git.example.com/platform/base//deploy?ref=v2\" is remote; it asks for the ref \"v2\", and the \
             hub fetches \"v1\" (source platform)"
        ),
        "{error}"
    );
    for (refusal, words) in [
        (MountRefusal::NotFetched { reason: "source platform".to_owned() }, "it was not fetched so far (source platform)"),
        (
            MountRefusal::NotPermitted { reason: "project ml does not permit the source".to_owned() },
            "project ml does not permit the source. Vendor it",
        ),
    ] {
        let tree = tree(&format!("resources: ['{URL}//deploy?ref=v1']\n"), offered("v1", Err(refusal)));
        let error = built_with(&tree, None).0.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_change_of_the_remote_is_a_change_also_with_shared_files() {
    let kustomization = format!("resources: ['{URL}//deploy?ref=v1']\n");
    let files = Files::new(1 << 20);
    let first = tree(&kustomization, offered("v1", Ok(theirs())));
    let (yaml, read) = built_with(&first, Some(&files));
    assert_eq!(names(&yaml.expect("built")), ["base-a", "base-c"]);
    let mut changed = theirs();
    changed.insert(TreePath::parse("common/c.yaml").expect("a path"), config_map("changed").into_bytes());
    let second = tree(&kustomization, offered("v1", Ok(changed)));
    assert!(read.still_holds(&first) && !read.still_holds(&second));
    assert_eq!(names(&built_with(&second, Some(&files)).0.expect("built")), ["base-a", "base-changed"]);
    let mut unread = theirs();
    unread.insert(TreePath::parse("deploy/README").expect("a path"), b"x".as_slice());
    assert!(read.still_holds(&tree(&kustomization, offered("v1", Ok(unread)))), "nobody has read it");
}

#[test]
fn origins_name_the_repository_and_the_ref() {
    let kustomization = format!("resources: ['{URL}//deploy?ref=v1']\nbuildMetadata: [originAnnotations]\n");
    let yaml = built(&kustomization).expect("built");
    let expected =
        "    config.kubernetes.io/origin: |\n      path: deploy/a.yaml\n      repo: https://git.example.com/platform/base\n      ref: v1\n";
    assert!(yaml.contains(expected), "{yaml}");
}
