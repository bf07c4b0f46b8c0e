//! `capstan template` on real files: flags, archives, files of values, what is printed and how it ends. What charts mean is tested in `hub/helm`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use hub_cli::{Console, Exit};

struct Outcome {
    exit: Exit,
    out: String,
    err: String,
}

fn capstan(args: &[&str], input: &str) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { input: &mut input.as_bytes(), out: &mut out, err: &mut err, interactive: false };
    let args: Vec<OsString> = ["capstan", "template"].iter().chain(args).map(OsString::from).collect();
    let exit = hub_cli::run_at_once(&args, &mut console).expect("template is run at once");
    Outcome { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

const TEMPLATE: &str = "kind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n  namespace: {{ .Release.Namespace }}\ndata:\n  a: {{ .Values.a | quote }}\n  b: {{ .Values.b | toJson | quote }}\n";
const HOOK: &str = "kind: Pod\nmetadata:\n  name: {{ randAlpha 5 }}\n  annotations: {helm.sh/hook: test}\n";

fn chart() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n"),
        ("c/values.yaml", "a: 1\nb: null\n"),
        ("c/templates/a.yaml", TEMPLATE),
        ("c/templates/hook.yaml", HOOK),
        ("c/crds/x.yaml", "kind: X\n"),
        ("file.txt", "content\n"),
        ("values.yaml", "a: from a file\n"),
    ];
    for (path, text) in files {
        fs::create_dir_all(directory.path().join(path).parent().unwrap()).unwrap();
        fs::write(directory.path().join(path), text).unwrap();
    }
    directory
}

fn in_chart(directory: &Path, flags: &[&str]) -> Outcome {
    let path = directory.join("c");
    let flags: Vec<String> = flags.iter().map(|flag| flag.replace("@", directory.to_str().unwrap())).collect();
    let args: Vec<&str> = ["name", path.to_str().unwrap()].into_iter().chain(flags.iter().map(String::as_str)).collect();
    capstan(&args, "a: from standard input\n")
}

fn config_map(a: &str, b: &str) -> String {
    format!(
        "---\n# Source: c/templates/a.yaml\nkind: ConfigMap\nmetadata:\n  name: name\n  namespace: default\ndata:\n  a: \"{a}\"\n  b: \"{b}\"\n"
    )
}

#[test]
fn values_are_laid_over_each_other_by_the_kinds_of_their_flags() {
    let directory = chart();
    let a = |flags: &[&str]| {
        let Outcome { exit, out, err } = in_chart(directory.path(), &[flags, &["--no-hooks"]].concat());
        assert_eq!((exit, err.as_str()), (Exit::Ok, ""), "{flags:?}");
        out
    };
    assert_eq!(a(&[]), config_map("1", "null"));
    assert_eq!(a(&["-f", "@/values.yaml"]), config_map("from a file", "null"));
    assert_eq!(a(&["-f", "-"]), config_map("from standard input", "null"));
    assert_eq!(a(&["--set", "a=set", "-f", "@/values.yaml"]), config_map("set", "null"));
    assert_eq!(a(&["--set-string", "a=text", "--set", "a=set", "--set", "b={x}"]), config_map("text", "[\\\"x\\\"]"));
    assert_eq!(a(&["--set-file", "a=@/file.txt", "--set-json", "b=[1]"]), config_map("content\\n", "[1]"));
    assert_eq!(a(&["--set-literal", "a=x,y=z"]), config_map("x,y=z", "null"));
}

#[test]
fn hooks_come_last_and_chance_is_always_the_same() {
    let directory = chart();
    let first = in_chart(directory.path(), &["--include-crds"]);
    assert!(first.out.starts_with("---\n# Source: c/crds/x.yaml\nkind: X\n\n---\n# Source: c/templates/a.yaml\n"), "{}", first.out);
    assert!(first.out.contains("\n---\n# Source: c/templates/hook.yaml\nkind: Pod\n"), "{}", first.out);
    assert_eq!(first.out, in_chart(directory.path(), &["--include-crds"]).out);
    let shown = in_chart(directory.path(), &["-s", "templates/hook.yaml", "-n", "other"]);
    assert!(shown.out.starts_with("---\n# Source: c/templates/hook.yaml\n") && !shown.out.contains("ConfigMap"), "{}", shown.out);
}

#[test]
fn files_are_written_for_each_template() {
    let directory = chart();
    let Outcome { exit, out, err } = in_chart(directory.path(), &["--output-dir", "@/out", "--release-name", "--skip-tests"]);
    assert_eq!((exit, err.as_str()), (Exit::Ok, ""));
    let path = directory.path().join("out/name/c/templates/a.yaml");
    assert_eq!(out, format!("wrote {}\n\n", path.display()));
    assert_eq!(fs::read_to_string(path).unwrap(), format!("{}\n", config_map("1", "null").trim_end_matches('\n')) + "\n");
}

#[test]
fn what_is_wrong_is_said_with_helms_words() {
    let directory = chart();
    fs::write(directory.path().join("c/templates/b.yaml"), "{{ required \"give .Values.x\" .Values.x }}").unwrap();
    let Outcome { exit, out, err } = in_chart(directory.path(), &[]);
    assert_eq!((exit, out.as_str()), (Exit::Differs, ""));
    assert_eq!(err, "error: execution error at (c/templates/b.yaml:1:3): give .Values.x\n");
    let none = capstan(&["name", "/nothing/here"], "");
    assert!(none.exit == Exit::Error && none.err.contains("not found") && none.err.contains("nothing is fetched"), "{}", none.err);
    let refused = capstan(&["name", "c", "--post-renderer=x"], "");
    assert!(refused.exit == Exit::Error && refused.err.contains("--post-renderer is not supported"), "{}", refused.err);
    let broken = in_chart(directory.path(), &["--kube-version", "x"]);
    assert!(broken.exit == Exit::Error && broken.err.contains("invalid kube version 'x'"), "{}", broken.err);
}
