//! `capstan build` on real files: the golden cases of `hub/kustomize` byte for byte, and what only files on a disk can do.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hub_cli::{Console, Exit};

struct Outcome {
    exit: Exit,
    out: String,
    err: String,
}

fn capstan(args: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { input: &mut std::io::empty(), out: &mut out, err: &mut err, interactive: false };
    let args: Vec<OsString> = ["capstan"].iter().chain(args).map(OsString::from).collect();
    let exit = hub_cli::run_at_once(&args, &mut console).expect("build is run at once");
    Outcome { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn build(directory: &Path, flags: &[&str]) -> Outcome {
    capstan(&[&["build", directory.to_str().unwrap()], flags].concat())
}

/// A directory with the files of a kustomization, outside of any repository.
fn example(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    for (path, text) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    (directory, root)
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\n";

#[test]
fn every_golden_case_is_printed_as_kustomize_prints_it() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kustomize/tests/golden");
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for case in golden.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|case| !case.join("differs.txt").exists()) {
        let target = case.join("in").join(fs::read_to_string(case.join("target")).unwrap().trim());
        let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
        let Outcome { exit, out, err } = build(&target, &flags.split_whitespace().collect::<Vec<_>>());
        let expected = fs::read_to_string(case.join("expected.yaml")).ok();
        let equal = match &expected {
            Some(expected) => exit == Exit::Ok && out == *expected,
            None => exit == Exit::Differs && out.is_empty() && err.starts_with("error: "),
        };
        compared += 1;
        if !equal {
            wrong.push(format!("{}: {exit:?}\n{out}{err}--- instead of\n{}", case.display(), expected.unwrap_or_default()));
        }
    }
    assert!(compared > 170, "{compared} cases");
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_refusal_names_the_file_and_leaves_standard_output_empty() {
    let (_directory, root) = example(&[("over/kustomization.yaml", "resources:\n- ../base/gone.yaml\n")]);
    let Outcome { exit, out, err } = build(&root.join("over"), &[]);
    assert_eq!((exit, out.as_str()), (Exit::Differs, ""));
    let (kustomization, base) = (root.join("over/kustomization.yaml"), root.join("base"));
    assert!(err.contains(&format!("error: {}:2: {}", kustomization.display(), base.display())), "{err}");
}

#[test]
fn the_output_goes_to_a_file_or_to_a_file_for_each_object() {
    let two = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: b\n";
    let (_directory, root) = example(&[("kustomization.yaml", "resources: [r.yaml]\n"), ("r.yaml", two), ("out/.keep", "")]);
    let file = root.join("all.yaml");
    let told = build(&root, &["--output", file.to_str().unwrap()]);
    assert_eq!((told.exit, told.out.as_str(), told.err.as_str()), (Exit::Ok, "", ""));
    assert_eq!(fs::read_to_string(&file).unwrap(), two);

    assert_eq!(build(&root, &["-o", root.join("out").to_str().unwrap()]).exit, Exit::Ok);
    let (first, second) = two.split_once("---\n").unwrap();
    assert_eq!(fs::read_to_string(root.join("out/v1_configmap_a.yaml")).unwrap(), first);
    assert_eq!(fs::read_to_string(root.join("out/v1_secret_b.yaml")).unwrap(), second);
}

#[test]
fn an_object_whose_name_leads_elsewhere_is_not_written() {
    let escaping = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ../../escaped\n";
    let (_directory, root) = example(&[("kustomization.yaml", "resources: [r.yaml]\n"), ("r.yaml", escaping), ("a/out/.keep", "")]);
    let Outcome { exit, err, .. } = build(&root, &["-o", root.join("a/out").to_str().unwrap()]);
    assert_eq!(exit, Exit::Error);
    assert!(err.contains("leads elsewhere"), "{err}");
    assert!(!root.join("escaped.yaml").exists());
}

#[test]
fn a_link_to_the_directory_is_followed_and_files_beside_its_target_are_found() {
    let files = [("real/app/kustomization.yaml", "resources: [../base]\n"), ("real/base/kustomization.yaml", "resources: [cm.yaml]\n")];
    let (_directory, root) = example(&[&files[..], &[("real/base/cm.yaml", CONFIG_MAP)]].concat());
    symlink(root.join("real/app"), root.join("linked")).unwrap();
    assert_eq!(build(&root.join("linked"), &[]).out, CONFIG_MAP);
}

#[test]
fn a_link_that_leaves_the_directory_is_refused_unless_that_is_allowed() {
    let (_directory, root) = example(&[("app/kustomization.yaml", "resources: [cm.yaml]\n"), ("cm.yaml", CONFIG_MAP)]);
    symlink("../cm.yaml", root.join("app/cm.yaml")).unwrap();
    let refused = build(&root.join("app"), &[]);
    assert_eq!(refused.exit, Exit::Differs);
    assert!(refused.err.contains("is not in or below"), "{}", refused.err);
    assert_eq!(build(&root.join("app"), &["--load-restrictor", "LoadRestrictionsNone"]).out, CONFIG_MAP);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let (_directory, root) = example(&[("kustomization.yaml", "resources: [socket]\n")]);
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let Outcome { exit, err, .. } = build(&root, &[]);
    assert_eq!(exit, Exit::Differs);
    assert!(err.contains("it is a socket"), "{err}");
}

#[test]
fn flags_that_run_programs_are_refused_with_a_reason_and_harmless_ones_are_taken() {
    let (_directory, root) = example(&[("kustomization.yaml", "resources: [cm.yaml]\n"), ("cm.yaml", CONFIG_MAP)]);
    for (flag, why) in
        [("--helm-command", "without Helm"), ("--enable-alpha-plugins", "no program is run"), ("--network", "nothing is fetched")]
    {
        let Outcome { exit, out, err } = build(&root, &[flag]);
        assert_eq!((exit, out.as_str()), (Exit::Error, ""), "{flag}");
        assert!(err.contains(flag) && err.contains(why), "{err}");
    }
    for flags in [&["--as-current-user"][..], &["--reorder", "legacy"], &["--network-name=bridge"], &["--enable-helm=false"]] {
        assert_eq!(build(&root, flags).out, CONFIG_MAP, "{flags:?}");
    }
    assert_eq!(build(&root, &["--load-restrictor", "none"]).exit, Exit::Error);
    assert_eq!(build(&root, &["another"]).exit, Exit::Error);
}

#[test]
fn charts_are_rendered_where_that_is_asked_for() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  version: {{ .Capabilities.KubeVersion.Version }}\n  \
                    monitoring: {{ .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" | quote }}\n  password: {{ randAlphaNum 8 }}\n";
    let (_directory, root) = example(&[
        ("kustomization.yaml", "helmCharts:\n- {name: web, releaseName: rel, kubeVersion: v1.30.0}\n"),
        ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("charts/web/templates/cm.yaml", template),
    ]);
    let Outcome { exit, err, .. } = build(&root, &[]);
    assert_eq!(exit, Exit::Differs);
    assert!(err.contains("kustomization.yaml:2: helmCharts is not supported") && err.contains("--enable-helm"), "{err}");
    let Outcome { exit, out, err } = build(&root, &["--enable-helm"]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    assert!(out.contains("monitoring: \"false\"") && out.contains("version: v1.30.0") && out.contains("name: rel\n"), "{out}");
    assert_eq!(build(&root, &["--enable-helm=true"]).out, out, "what is random is the same each time");
    let told = build(&root, &["--enable-helm", "--helm-kube-version", "v1.33.0", "--helm-api-versions", "monitoring.coreos.com/v1"]).out;
    assert!(told.contains("monitoring: \"true\"") && told.contains("version: v1.33.0"), "{told}");
}

#[test]
fn help_says_what_the_command_does() {
    for args in [&["build", "--help"][..], &["help", "build"]] {
        let Outcome { exit, out, err } = capstan(args);
        assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
        assert!(out.contains("kustomize build") && out.contains("--load-restrictor"), "{out}");
    }
}
