//! The worst inputs that fit into the budgets, and those that are one beyond: each builds, or is refused with words that name the limit. The
//! time of each is printed (`cargo test --release -p hub-kustomize --test budgets -- --nocapture`) and judged by people: none should take a
//! second in a release build. What is wrong with smaller inputs is the business of `refusals.rs`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hub_kustomize::{BuildError, BuildOptions, build};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// How a build ends.
enum End {
    /// With so many objects.
    Builds(usize),
    /// With a refusal that has these words.
    Refused(&'static str),
}

use End::{Builds, Refused};

/// The largest file of [`Budget::RENDER`], and the length of the longest text of a file.
const FILE: usize = 5 << 20;
/// The most objects of one build.
const OBJECTS: usize = 5_000;
/// The most values in one file.
const NODES: usize = 250_000;

/// Builds each tree, prints what it took and checks how it ends.
#[track_caller]
fn check(cases: Vec<(&str, MemoryTree, End)>) {
    let mut wrong = String::new();
    for (name, tree, end) in cases {
        let (built, time) = timed(&tree);
        let (found, as_wanted) = match (&built, end) {
            (Ok(count), Builds(wanted)) => (format!("{count} objects"), *count == wanted),
            (Ok(count), Refused(_)) => (format!("{count} objects"), false),
            (Err(error), Builds(_)) => (error.to_string(), false),
            (Err(error), Refused(words)) => (error.to_string(), error.to_string().contains(words)),
        };
        let short: String = found.chars().take(200).collect();
        println!("{:>6} ms  {name}: {short}", time.as_millis());
        if !as_wanted {
            let _ = writeln!(wrong, "{name}: {short}");
        }
        assert!(found.len() <= 20_000, "{name}: {} bytes of message", found.len());
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[expect(clippy::disallowed_methods, reason = "the time is printed")]
fn timed(tree: &MemoryTree) -> (Result<usize, BuildError>, Duration) {
    let started = Instant::now();
    let reader = Reader::new(tree, Budget::RENDER);
    let built = build(&reader, &TreePath::parse("a").expect("a path"), &BuildOptions::default());
    let count = built.map(|built| {
        drop(built.to_yaml());
        built.trees.len()
    });
    (count, started.elapsed())
}

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree::of(files)
}

/// A kustomization with these fields over one file of resources.
fn over(fields: &str, resources: &str) -> MemoryTree {
    tree(&[("a/kustomization.yaml", &format!("resources: [x.yaml]\n{fields}")), ("a/x.yaml", resources)])
}

/// One file of resources.
fn file(resources: &str) -> MemoryTree {
    over("", resources)
}

fn times(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut all, index| {
        all.push_str(&text(index));
        all
    })
}

const CM: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\n";

/// `count` objects of a kind, each with `rest` besides its name, from `0`.
fn objects(count: usize, api_version: &str, kind: &str, rest: impl Fn(usize) -> String) -> String {
    times(count, |index| format!("---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: o{index}}}\n{}\n", rest(index)))
}

fn config_maps(count: usize) -> String {
    objects(count, "v1", "ConfigMap", |_| String::new())
}

fn deployments(count: usize) -> String {
    let spec = "spec: {replicas: 1, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}";
    objects(count, "apps/v1", "Deployment", |_| spec.to_owned())
}

#[test]
fn a_text_as_large_as_allowed_is_read_and_one_byte_more_is_not() {
    let padded = |length: usize| {
        let head = format!("{CM}data:\n  x: ");
        format!("{head}{}", "x".repeat(length - head.len()))
    };
    let values = |count: usize| format!("{CM}data: [{}]\n", "0,".repeat(count - 6));
    let nested = |depth: usize| format!("{CM}data: {}{}\n", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let documents = |count: usize| format!("{CM}{}", "---\n".repeat(count - 1));
    let repeated = |length: usize, uses: usize| format!("{CM}data:\n  x: &x {}\n  y: [{}]\n", "x".repeat(length), "*x,".repeat(uses));
    check(vec![
        ("bytes of a file", file(&padded(FILE)), Builds(1)),
        ("bytes of a file, one more", file(&padded(FILE + 1)), Refused("5242881 bytes are more than the 5242880 allowed")),
        ("values", file(&values(NODES)), Builds(1)),
        ("values, one more", file(&values(NODES + 1)), Refused("more than 250000 values")),
        ("depth", file(&nested(64)), Builds(1)),
        ("depth, one more", file(&nested(65)), Refused("nested deeper than 64")),
        ("documents", file(&documents(10_000)), Builds(1)),
        ("documents, one more", file(&documents(10_001)), Refused("more than 10000 documents")),
        ("text by aliases", file(&repeated(1 << 20, 62)), Refused("more than 10485760 bytes of objects")),
        ("text by aliases, more", file(&repeated(1 << 20, 64)), Refused("more than 67108864 bytes of text")),
    ]);
}

#[test]
fn aliases_and_merge_keys_end_at_the_budget_of_what_they_expand_to() {
    let doubling = |levels: usize, first: &str, use_of: &dyn Fn(usize) -> String| {
        format!("{CM}data:\n  l0: &l0 {first}\n{}", times(levels, |level| format!("  l{}: &l{} {}\n", level + 1, level + 1, use_of(level))))
    };
    let tenfold = |level: usize| format!("[{}]", format!("*l{level},").repeat(10));
    let deeper = |level: usize| format!("[*l{level}]");
    let merged = |level: usize| format!("{{<<: *l{level}, k{level}: x}}");
    let wide = format!("{{{}}}", times(1_000, |index| format!("a{index}: b, ")));
    let merges = |count: usize| format!("{CM}data:\n  w: &w {wide}\n{}", times(count, |index| format!("  m{index}: {{<<: *w}}\n")));
    check(vec![
        ("a billion laughs", file(&doubling(9, "[x]", &tenfold)), Refused("more than 250000 values")),
        ("depth by aliases", file(&doubling(70, "[x]", &deeper)), Refused("nested deeper than 64")),
        ("an alias of itself", file(&format!("{CM}data: &d {{x: *d}}\n")), Refused("this alias contains itself")),
        ("merge keys over merge keys", file(&doubling(60, "{a: b}", &merged)), Builds(1)),
        ("merge keys over merge keys, more", file(&doubling(65, "{a: b}", &merged)), Refused("nested deeper than 64")),
        ("merge keys", file(&merges(240)), Builds(1)),
        ("merge keys, more", file(&merges(260)), Refused("more than 250000 values")),
    ]);
}

#[test]
fn texts_that_are_nothing_but_one_indicator_end_soon() {
    let full = |text: &str| file(&format!("{CM}{}\n", text.repeat((FILE - 100) / text.len())));
    let after = |head: &str, text: &str| file(&format!("{CM}{head}{}", text.repeat((FILE - 200) / text.len())));
    check(vec![
        ("brackets", after("data: ", "["), Refused("nested deeper than 64")),
        ("braces", after("data: ", "{"), Refused("nested deeper than 64")),
        ("maps as keys", after("data: ", "{? "), Refused("nested deeper than 64")),
        ("dashes", after("data:\n", "- "), Refused("nested deeper than 64")),
        ("question marks", after("data:\n  ", "? "), Refused("nested deeper than 64")),
        ("keys without end", after("data: ", "a: "), Refused("not valid YAML")),
        ("anchors", after("data: ", "&a "), Refused("not valid YAML")),
        ("aliases of nothing", after("data: [", "*a,"), Refused("not valid YAML")),
        ("tags", after("data: ", "!a "), Refused("not valid YAML")),
        ("one quote", after("data: ", "\""), Refused("not valid YAML")),
        ("a quote that stays open", after("data: \"", "\\\\"), Refused("not valid YAML")),
        ("escapes", file(&format!("{CM}data: {{x: \"{}\"}}\n", "\\u00e9".repeat(FILE / 6 - 100))), Builds(1)),
        ("single quotes", file(&format!("{CM}data: {{x: '{}'}}\n", "''".repeat(FILE / 2 - 100))), Builds(1)),
        ("blank lines", full("\n"), Builds(1)),
        ("blanks", full(" "), Builds(1)),
        ("comments", full("#\n"), Builds(1)),
        ("tabs", full("\t"), Builds(1)),
        ("carriage returns", full("\r"), Builds(1)),
        ("lines of a block", after("data:\n  x: |\n", "    a\n"), Builds(1)),
        ("empty lines of a block", after("data:\n  x: |+\n", "\n"), Builds(1)),
        ("lines of a folded block", after("data:\n  x: >\n", "    a\n"), Builds(1)),
        ("lines of a plain text", after("data:\n  x: a\n", "   a\n"), Builds(1)),
        ("lines of a quoted text", file(&format!("{CM}data: {{x: \"{}\"}}\n", "a\n ".repeat(FILE / 3 - 100))), Builds(1)),
        ("directives", file(&"%YAML 1.1\n".repeat(FILE / 10)), Refused("not valid YAML")),
        ("a long key", file(&format!("{CM}data: {{? {} : x}}\n", "k".repeat(FILE - 200))), Builds(1)),
        ("a long number", file(&format!("{CM}data: {{x: {}}}\n", "1".repeat(FILE - 200))), Builds(1)),
        ("a long number with a point", file(&format!("{CM}data: {{x: 0.{}}}\n", "1".repeat(FILE - 200))), Builds(1)),
        ("a text of quotes", file(&format!("{CM}data: {{x: '{}'}}\n", "\"".repeat(FILE - 200))), Builds(1)),
        ("a text of blanks and breaks", file(&format!("{CM}data: {{x: \"{}\"}}\n", " \\n".repeat(FILE / 3 - 100))), Builds(1)),
        ("a text of two-byte letters", file(&format!("{CM}data: {{x: {}}}\n", "é".repeat(FILE / 2 - 100))), Builds(1)),
        ("a text of what cannot be printed", file(&format!("{CM}data: {{x: \"{}\"}}\n", "\\x01".repeat(FILE / 4 - 100))), Builds(1)),
        ("a text of words", file(&format!("{CM}data: {{x: {}}}\n", "a ".repeat(FILE / 2 - 100))), Builds(1)),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn maps_in_any_order_of_their_keys_are_read_and_merged_soon() {
    // Keys and values count alike; 12 bytes of key fit a file.
    let keys = |prefix: &str, numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(String::new(), |mut all, number| {
            let _ = writeln!(all, "  {prefix}{number:06}: x");
            all
        })
    };
    let count = 240_000;
    let descending = format!("{CM}data:\n{}", keys("k", &mut (0..count).rev()));
    let scattered = format!("{CM}data:\n{}", keys("k", &mut (0..count).map(|number| number * 7_919 % count)));
    let twice = format!("{CM}data:\n{}  k000000: x\n", keys("k", &mut (0..count)));
    let early = format!("{CM}data:\n{}", keys("a", &mut (0..count / 2)));
    let late = format!("{CM}data:\n{}", keys("z", &mut (0..count / 2)));
    let patch = |base: &str, patch: &str| {
        let kustomization = "resources: [x.yaml]\npatches: [{path: p.yaml}]\n";
        tree(&[("a/kustomization.yaml", kustomization), ("a/x.yaml", base), ("a/p.yaml", patch)])
    };
    let generators =
        format!("configMapGenerator:\n- name: g\n  literals:\n{}", times(count, |index| format!("  - k{:06}=x\n", count - index)),);
    let environment = times(400_000, |index| format!("k{:06}=x\n", 400_000 - index));
    let kustomization = "configMapGenerator: [{name: g, envs: [e.env]}]\n";
    check(vec![
        ("descending keys", file(&descending), Builds(1)),
        ("scattered keys", file(&scattered), Builds(1)),
        ("a key twice", file(&twice), Refused("the key \"k000000\" is already set")),
        ("a patch of early keys", patch(&late, &early), Builds(1)),
        ("a patch of late keys", patch(&early, &late), Builds(1)),
        ("literals in descending order", tree(&[("a/kustomization.yaml", &generators)]), Builds(1)),
        ("an environment in descending order", tree(&[("a/kustomization.yaml", kustomization), ("a/e.env", &environment)]), Builds(1)),
        (
            "labels for one object",
            over(&format!("labels:\n- pairs:\n{}", times(count, |index| format!("    k{:06}: x\n", count - index))), CM),
            Builds(1),
        ),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn what_is_done_to_every_object_ends_at_the_budget_of_steps() {
    let names = |field: &str, count: usize, entry: &str| format!("{field}:\n{}", times(count, |_| format!("- {entry}\n")));
    let patch = "{patch: '[{op: test, path: /kind, value: ConfigMap}]', target: {kind: ConfigMap}}";
    let merge = "{patch: '{kind: ConfigMap, apiVersion: v1, metadata: {name: x, annotations: {a: b}}}', target: {kind: ConfigMap}}";
    let all = config_maps(OBJECTS);
    let steps = "steps of transformers and patches";
    check(vec![
        ("JSON patches over objects", over(&names("patches", 120, patch), &all), Builds(OBJECTS)),
        ("JSON patches over objects, more", over(&names("patches", 610, patch), &all), Refused(steps)),
        ("merge patches over objects", over(&names("patches", 40, merge), &all), Builds(OBJECTS)),
        ("merge patches over objects, more", over(&names("patches", 610, merge), &all), Refused("bytes written by transformers")),
        ("images over objects", over(&names("images", 290, "{name: nginx, newTag: v1}"), &deployments(OBJECTS)), Builds(OBJECTS)),
        ("images over objects, more", over(&names("images", 900, "{name: nginx, newTag: v1}"), &deployments(OBJECTS)), Refused(steps)),
        ("replicas over objects", over(&names("replicas", 90, "{name: o0, count: 2}"), &deployments(OBJECTS)), Builds(OBJECTS)),
        ("replicas over objects, more", over(&names("replicas", 610, "{name: o0, count: 2}"), &deployments(OBJECTS)), Refused(steps)),
        ("labels over objects", over(&names("labels", 120, "{pairs: {a: b}}"), &deployments(OBJECTS)), Builds(OBJECTS)),
        (
            "labels with selectors over objects",
            over(&names("labels", 120, "{pairs: {a: b}, includeSelectors: true}"), &deployments(OBJECTS)),
            Builds(OBJECTS),
        ),
        ("labels over objects, more", over(&names("labels", 1_700, "{pairs: {a: b}}"), &all), Refused(steps)),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn replacements_over_objects_end_at_a_budget() {
    let all = config_maps(OBJECTS);
    let replacement = |target: &str| {
        format!(
            "- source: {{kind: ConfigMap, name: o0, fieldPath: metadata.name}}\n  targets:\n  - select: {target}\n    fieldPaths: [metadata.annotations.x]\n    options: {{create: true}}\n"
        )
    };
    let many = |count: usize, target: &str| format!("replacements:\n{}", replacement(target).repeat(count));
    let targets = |count: usize| {
        let target = "  - {select: {kind: ConfigMap}, fieldPaths: [metadata.name]}\n";
        format!("replacements:\n- source: {{kind: ConfigMap, name: o0, fieldPath: kind}}\n  targets:\n{}", target.repeat(count))
    };
    let wide = format!("{CM}data: {{l: [{}]}}\n", "{a: b},".repeat(80_000));
    let wild = |count: usize| {
        let one = "- source: {kind: ConfigMap, name: cm, fieldPath: kind}\n  targets: [{select: {name: cm}, fieldPaths: ['data.l.*.a']}]\n";
        format!("replacements:\n{}", one.repeat(count))
    };
    let written = "more than 20971520 bytes written";
    check(vec![
        ("replacements that all objects are targets of", over(&many(120, "{kind: ConfigMap}"), &all), Builds(OBJECTS)),
        ("replacements that all objects are targets of, more", over(&many(700, "{kind: ConfigMap}"), &all), Refused("more than")),
        ("replacements of one object each", over(&many(120, "{name: o1}"), &all), Builds(OBJECTS)),
        ("replacements of one object each, more", over(&many(5_000, "{name: o1}"), &all), Refused("steps of transformers and patches")),
        ("targets of a replacement", over(&targets(120), &all), Refused("ConfigMap ConfigMap is there twice")),
        ("replacements of every item", over(&wild(20), &wide), Builds(1)),
        ("replacements of every item, more", over(&wild(600), &wide), Refused(written)),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn names_and_variables_that_every_object_refers_to_are_found_soon() {
    let half = OBJECTS / 2;
    let mut referring = config_maps(half);
    referring.push_str(&objects(half, "v1", "Pod", |index| {
        format!("spec: {{containers: [{{name: c, envFrom: [{{configMapRef: {{name: o{index}}}}}]}}], volumes: [{{name: v, configMap: {{name: o{}}}}}]}}", half - 1 - index)
    }));
    let one = format!(
        "{CM}{}",
        objects(OBJECTS - 1, "v1", "Pod", |_| {
            format!("spec: {{containers: [{{name: c, envFrom: [{}]}}]}}", "{configMapRef: {name: cm}},".repeat(8))
        })
    );
    let roles = objects(half, "rbac.authorization.k8s.io/v1", "ClusterRole", |index| {
        format!("rules: [{{apiGroups: [''], resources: [configmaps], resourceNames: [o{index}], verbs: [get]}}]")
    }) + &config_maps(half);
    let many_names = format!(
        "{CM}---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: r}}\nrules: [{{apiGroups: [''], resources: [configmaps], resourceNames: [{}], verbs: [get]}}]\n",
        "cm,".repeat(240_000)
    );
    let variables = |count: usize| {
        let one = |index: usize| format!("- {{name: V{index}, objref: {{apiVersion: v1, kind: Pod, name: o{index}}}}}\n");
        format!("vars:\n{}", times(count, one))
    };
    let commands = objects(OBJECTS, "v1", "Pod", |index| {
        format!("spec: {{containers: [{{name: c, args: ['$(V{})', '$(V0)$(NO)']}}]}}", index % 2_000)
    });
    let text = |part: &str| {
        let args = part.repeat((FILE - 300) / part.len());
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: o0}}\nspec: {{containers: [{{name: c, args: ['{args}']}}]}}\n")
    };
    let written = "more than 10485760 bytes written by variables";
    let long_name = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: o0, annotations: {{x: {}}}}}\nspec: {{containers: [{{name: c, args: ['{}']}}]}}\n",
        "x".repeat(100_000),
        "$(V)".repeat(200)
    );
    check(vec![
        ("references by name", over("namePrefix: p-\n", &referring), Builds(OBJECTS)),
        ("references to one object", over("namePrefix: p-\n", &one), Builds(OBJECTS)),
        ("references in lists of names", over("namePrefix: p-\n", &roles), Builds(OBJECTS)),
        ("a long list of names", over("namePrefix: p-\n", &many_names), Builds(2)),
        ("variables", over(&variables(200), &commands), Builds(OBJECTS)),
        ("a text of variables", over(&variables(1), &text("$(V0)")), Builds(1)),
        ("a text of open parentheses", over(&variables(1), &text("$(")), Builds(1)),
        ("a text of dollars", over(&variables(1), &text("$")), Builds(1)),
        (
            "variables that write much",
            over(
                "vars: [{name: V, objref: {apiVersion: v1, kind: Pod, name: o0}, fieldref: {fieldpath: metadata.annotations.x}}]\n",
                &long_name,
            ),
            Refused(written),
        ),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn long_texts_for_every_object_end_at_the_budget_of_what_is_written() {
    let long = "x".repeat(1 << 20);
    let all = config_maps(OBJECTS);
    let written = "more than 20971520 bytes written";
    check(vec![
        ("a long prefix", over(&format!("namePrefix: {long}\n"), &all), Refused(written)),
        ("a long suffix", over(&format!("nameSuffix: {long}\n"), &all), Refused(written)),
        ("a long namespace", over(&format!("namespace: {long}\n"), &all), Refused(written)),
        ("a long label", over(&format!("labels: [{{pairs: {{a: {long}}}}}]\n"), &all), Refused(written)),
        ("a long annotation", over(&format!("commonAnnotations: {{a: {long}}}\n"), &all), Refused(written)),
        ("a long image", over(&format!("images: [{{name: nginx, newName: {long}}}]\n"), &deployments(OBJECTS)), Refused(written)),
        (
            "a patch with a long text",
            over(&format!("patches: [{{patch: '[{{op: add, path: /data, value: {long}}}]', target: {{kind: ConfigMap}}}}]\n"), &all),
            Refused(written),
        ),
        (
            "a merge patch with a long text",
            over(
                &format!(
                    "patches: [{{patch: '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: x}}, data: {{x: {long}}}}}', target: {{kind: ConfigMap}}}}]\n"
                ),
                &all,
            ),
            Refused(written),
        ),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn patches_of_one_object_end_soon() {
    let patch = |operations: &str, base: &str| {
        let kustomization = "resources: [x.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n";
        tree(&[("a/kustomization.yaml", kustomization), ("a/x.yaml", base), ("a/p.yaml", operations)])
    };
    let list = format!("{CM}data: {{l: [{}]}}\n", "0,".repeat(240_000));
    let copies = |count: usize| times(count, |index| format!("- {{op: copy, from: /data, path: /data/c{index}}}\n"));
    let containers = |count: usize, from: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n{}",
            times(count, |index| format!("  - {{name: c{}}}\n", from + index))
        )
    };
    let merged = |base: usize, patch: usize, from: usize| {
        let kustomization = "resources: [x.yaml]\npatches: [{path: p.yaml}]\n";
        tree(&[("a/kustomization.yaml", kustomization), ("a/x.yaml", &containers(base, 0)), ("a/p.yaml", &containers(patch, from))])
    };
    let finalizers = |count: usize, from: usize| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, finalizers: [{}]}}\n", times(count, |index| format!("f{},", from + index)))
    };
    let joined = |count: usize| {
        let kustomization = "resources: [x.yaml]\npatches: [{path: p.yaml}]\n";
        tree(&[("a/kustomization.yaml", kustomization), ("a/x.yaml", &finalizers(count, 0)), ("a/p.yaml", &finalizers(count, count))])
    };
    check(vec![
        (
            "operations that test much",
            patch(&format!("- {{op: test, path: /data/l, value: [{}]}}\n", "0,".repeat(240_000)), &list),
            Builds(1),
        ),
        (
            "copies that double",
            patch(&copies(40), &format!("{CM}data: {{x: {}}}\n", "x".repeat(1_000))),
            Refused("the patch copies more than 10 MiB"),
        ),
        (
            "operations over all objects",
            patch(&"- {op: test, path: /kind, value: ConfigMap}\n".repeat(60_000), &config_maps(OBJECTS)),
            Refused("more than"),
        ),
        ("insertions at the front", patch(&"- {op: add, path: /data/l/0, value: 1}\n".repeat(60_000), &list), Refused("pushes list items")),
        ("insertions at the front, fewer", patch(&"- {op: add, path: /data/l/0, value: 1}\n".repeat(400), &list), Builds(1)),
        ("removals at the front", patch(&"- {op: remove, path: /data/l/0}\n".repeat(80_000), &list), Refused("pushes list items")),
        (
            "moves from the end to the front",
            patch(&"- {op: move, from: /data/l/239999, path: /data/l/0}\n".repeat(60_000), &list),
            Refused("pushes list items"),
        ),
        ("a joined list", merged(OBJECTS - 1, 1, 4_000), Builds(1)),
        ("a joined list with itself", merged(OBJECTS / 2, OBJECTS / 2, 0), Builds(1)),
        ("a joined list with another", merged(2_500, 2_500, 2_500), Builds(1)),
        ("a joined list, one more", merged(OBJECTS + 1, 1, 0), Refused("more than 5000 items in one list")),
        ("a joined list of scalars", joined(2_500), Builds(1)),
        ("a joined list of scalars, more", joined(6_000), Refused("more than 5000 items in one list")),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn trees_of_kustomizations_end_at_their_budgets() {
    let bases = |count: usize| {
        let mut files = vec![("a/kustomization.yaml".to_owned(), format!("resources:\n{}", times(count, |index| format!("- b{index}\n"))))];
        for index in 0..count {
            files.push((format!("a/b{index}/kustomization.yaml"), "resources: [x.yaml]\n".to_owned()));
            files.push((format!("a/b{index}/x.yaml"), format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: o{index}}}\n")));
        }
        MemoryTree::of(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>())
    };
    let levels = |count: usize, fields: &str| {
        let mut tree = MemoryTree::new();
        for level in 0..count {
            let base = if level + 1 == count { "x.yaml".to_owned() } else { format!("../l{}", level + 1) };
            let directory = if level == 0 { "a".to_owned() } else { format!("l{level}") };
            let path = TreePath::parse(&format!("{directory}/kustomization.yaml")).expect("a path");
            tree.insert(path, format!("resources: [{base}]\n{fields}").into_bytes());
        }
        tree.insert(TreePath::parse(&format!("l{}/x.yaml", count - 1)).expect("a path"), config_maps(OBJECTS).into_bytes());
        tree
    };
    let components = |count: usize| {
        let component = "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nlabels: [{pairs: {a: b}}]\n";
        let kustomization = format!("resources: [x.yaml]\ncomponents:\n{}", "- c\n".repeat(count));
        tree(&[("a/kustomization.yaml", &kustomization), ("a/c/kustomization.yaml", component), ("a/x.yaml", &config_maps(OBJECTS))])
    };
    let list = |count: usize| {
        format!(
            "apiVersion: v1\nkind: List\nitems:\n{}",
            times(count, |index| format!("- {{apiVersion: v1, kind: X, metadata: {{name: o{index}}}}}\n"))
        )
    };
    check(vec![
        ("kustomizations", bases(1_999), Builds(1_999)),
        ("kustomizations, one more", bases(2_000), Refused("more than 2000 kustomizations in one build")),
        ("levels over objects", levels(64, "namePrefix: p\nnamespace: ns\nlabels: [{pairs: {a: b}}]\n"), Builds(OBJECTS)),
        ("components over objects", components(200), Builds(OBJECTS)),
        ("components over objects, more", components(1_999), Refused("steps of transformers and patches")),
        ("a list of objects", file(&list(19_999)), Refused("more than 5000 objects")),
        ("a list of objects, more", file(&list(20_000)), Refused("more than")),
    ]);
}

#[test]
fn reading_ends_at_the_budget_of_files() {
    let one = "x".repeat(FILE);
    let generated = |count: usize| {
        let kustomization = format!("configMapGenerator:\n{}", times(count, |index| format!("- {{name: g{index}, files: [x]}}\n")));
        tree(&[("a/kustomization.yaml", &kustomization), ("a/x", &one)])
    };
    let keys = |count: usize| {
        let kustomization = format!("configMapGenerator:\n- name: g\n  files:\n{}", times(count, |index| format!("  - k{index}=x\n")));
        tree(&[("a/kustomization.yaml", &kustomization), ("a/x", "x")])
    };
    let linked = |length: usize| {
        let mut tree = tree(&[("a/kustomization.yaml", "resources: [l0]\n"), ("a/x.yaml", CM)]);
        for link in 0..length {
            let target = if link + 1 == length { "x.yaml".to_owned() } else { format!("l{}", link + 1) };
            tree.insert_link(TreePath::parse(&format!("a/l{link}")).expect("a path"), &target);
        }
        tree
    };
    check(vec![
        ("bytes of a generated object", generated(1), Builds(1)),
        ("bytes of generated objects", generated(3), Refused("more than 10485760 bytes of objects")),
        ("bytes in all", generated(21), Refused("goes over the budget of 104857600 bytes in all")),
        ("reads", keys(49_990), Builds(1)),
        ("reads, more", keys(50_000), Refused("goes over the budget of 50000 reads")),
        ("symlinks", linked(40), Builds(1)),
        ("symlinks, one more", linked(41), Refused("takes more than 40 symlinks")),
    ]);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation; `cargo test --release` runs it")]
fn configurations_end_at_their_budgets() {
    let specs = |count: usize| {
        let configuration = format!("namePrefix:\n{}", times(count, |index| format!("- {{path: f{index}, kind: X}}\n")));
        let kustomization = "resources: [x.yaml]\nconfigurations: [c.yaml]\nnamePrefix: p\n";
        tree(&[("a/kustomization.yaml", kustomization), ("a/c.yaml", &configuration), ("a/x.yaml", &config_maps(OBJECTS))])
    };
    let order =
        format!("sortOptions: {{order: legacy, legacySortOptions: {{orderFirst: [{}], orderLast: [X]}}}}\n", "ConfigMap,".repeat(100_000));
    let selector = |text: &str| format!("patches: [{{patch: '[{{op: add, path: /data, value: {{}}}}]', target: {text}}}]\n");
    let labels = selector(&format!("{{labelSelector: '{}a=b'}}", "a!=b,".repeat(100_000)));
    let schema = format!(
        "{{\"definitions\": {{{}\"z\": {{}}}}}}",
        times(20_000, |index| {
            format!(
                "\"d{index}\": {{\"properties\": {{\"a\": {{\"$ref\": \"#/definitions/d{}\"}}}}, \"x-kubernetes-group-version-kind\": []}},",
                index + 1
            )
        })
    );
    let with_schema = tree(&[
        (
            "a/kustomization.yaml",
            "resources: [x.yaml]\nopenapi: {path: s.json}\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}, a: {a: b}}'}]\n",
        ),
        ("a/s.json", &schema),
        ("a/x.yaml", CM),
    ]);
    let unknown = format!("{}: x\n", "resource".repeat(100));
    check(vec![
        ("field specifications", specs(3_900), Builds(OBJECTS)),
        ("field specifications, more", specs(4_100), Refused("more than 4000")),
        ("an order", over(&order, &config_maps(OBJECTS)), Builds(OBJECTS)),
        (
            "a large expression",
            over(&selector("{name: '(a{1000}){1000}'}"), &config_maps(OBJECTS)),
            Refused("is no valid regular expression"),
        ),
        (
            "a slow expression",
            over(&selector(&format!("{{name: '({}.*)*x'}}", ".*.*".repeat(100))), &config_maps(OBJECTS)),
            Builds(OBJECTS),
        ),
        ("a long label selector", over(&labels, &config_maps(OBJECTS)), Builds(OBJECTS)),
        ("a large schema", with_schema, Builds(1)),
        ("a field nobody knows", over(&unknown, CM), Refused("a kustomization has no field")),
        ("fields set again", over(&"namePrefix: x\n".repeat(50_000), CM), Refused("namePrefix")),
    ]);
}

#[test]
fn what_is_no_text_empty_or_of_the_wrong_kind_is_refused_by_name() {
    let bytes = |path: &str, bytes: &[u8]| {
        let mut tree = over("patches: []\n", CM);
        tree.insert(TreePath::parse(path).expect("a path"), bytes);
        tree
    };
    check(vec![
        ("a kustomization that is no text", bytes("a/kustomization.yaml", b"\xff\xfe"), Refused("a/kustomization.yaml is not UTF-8 text")),
        ("a resource that is no text", bytes("a/x.yaml", b"a: \xff"), Refused("a/x.yaml is not UTF-8 text")),
        ("an empty kustomization", bytes("a/kustomization.yaml", b""), Refused("the kustomization is empty")),
        ("an empty resource", bytes("a/x.yaml", b""), Builds(0)),
        ("a resource of comments", bytes("a/x.yaml", b"# nothing\n---\n"), Builds(0)),
        ("a kustomization that is a list", bytes("a/kustomization.yaml", b"- a\n"), Refused("must be a map, not a list")),
        ("a kustomization of two documents", bytes("a/kustomization.yaml", b"resources: []\n---\nresources: []\n"), Builds(0)),
        ("a resource that is text", bytes("a/x.yaml", b"just text\n"), Refused("a/x.yaml:1")),
        ("a resource with control characters", bytes("a/x.yaml", b"a: \x00\n"), Refused("a/x.yaml:1")),
        ("a resource that begins with a byte order mark", bytes("a/x.yaml", format!("\u{feff}{CM}").as_bytes()), Builds(1)),
    ]);
}
