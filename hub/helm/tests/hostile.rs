//! Charts that are written to do harm: each ends by a budget, with a message that names it, long before it hurts.

use std::io::Write;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use hub_helm::{ArchiveError, Calendar, Chance, Chart, ChartError, HelmError, Request, Scope, Templated, ValuesLayer, template};
use hub_tree::{Budget, MemoryTree, ReadError, Reader, TreePath};

const CHART: &str = "apiVersion: v2\nname: hostile\nversion: 0.1.0\n";

fn load(files: &[(&str, &str)]) -> Result<Chart, ChartError> {
    let tree = MemoryTree::of(&[files, &[("Chart.yaml", CHART)]].concat());
    Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root())
}

#[expect(clippy::disallowed_methods, reason = "how long the worst takes is printed")]
fn render(files: &[(&str, &str)], values: &[ValuesLayer]) -> Result<Templated, HelmError> {
    let mut request = Request::new("r", "default");
    request.values = values.to_vec();
    let scope = Scope { app: "a", cluster: "c", release: "r" };
    request.chance = Some(Chance::new(&[7; 32], &scope, Calendar { anchor: 0, today: 0 }));
    // A tenth of what a hub allows where nothing is optimised. Optimised, the whole, and what the worst takes is there to be read.
    if cfg!(debug_assertions) {
        request.budget.steps /= 10;
        request.budget.output /= 10;
    }
    let chart = load(files).unwrap();
    let started = Instant::now();
    let rendered = template(&chart, &request);
    let text: String = files.iter().map(|(_, text)| *text).collect::<String>().chars().take(100).collect();
    println!("{:4} ms: {text:?}", started.elapsed().as_millis());
    rendered
}

/// How a chart of one template is refused.
fn refused(text: &str) -> String {
    let error = render(&[("templates/a.yaml", text)], &[]).unwrap_err();
    assert!(matches!(error, HelmError::Exceeded { .. } | HelmError::Template { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn an_endless_range_ends() {
    assert!(refused("{{ range 1000000000000 }}x{{ end }}").contains("more than"));
    assert!(refused("{{ range until 1000000000 }}x{{ end }}").contains("more than"));
    let nested = "{{ range 100000 }}{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}{{ end }}";
    assert!(refused(nested).contains("steps"));
}

#[test]
fn a_template_that_includes_itself_ends_and_the_chain_is_told() {
    let including = refused("{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}");
    assert!(including.contains("rendering template has a nested reference name: a"), "{including}");
    let templating = refused("{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}");
    assert!(templating.contains("hostile/templates/a.yaml:1") && templating.contains("deeper"), "{templating}");
    // Each of many names stays below its own bound.
    let names: Vec<String> =
        (0..50).map(|name| format!("{{{{ define \"n{name}\" }}}}{{{{ include \"n{}\" . }}}}{{{{ end }}}}", (name + 1) % 50)).collect();
    let many = refused(&format!("{}{{{{ include \"n0\" . }}}}", names.concat()));
    assert!(many.contains("more)") || many.contains("more >") || many.contains("deeper"), "{many}");
}

#[test]
fn a_tpl_that_evaluates_itself_ends() {
    let values = [ValuesLayer::Inline(serde_json::json!({"t": "{{ tpl .Values.t . }}"}))];
    let error = render(&[("templates/a.yaml", "{{ tpl .Values.t . }}")], &values).unwrap_err().to_string();
    assert!(error.contains("deeper"), "{error}");
    let growing = [ValuesLayer::Inline(
        serde_json::json!({"t": "{{ tpl (print .Values.t \"x\" (len .n)) (dict \"Values\" .Values \"n\" (print .n .n)) }}"}),
    )];
    let error =
        render(&[("templates/a.yaml", "{{ tpl .Values.t (dict \"Values\" .Values \"n\" \"y\") }}")], &growing).unwrap_err().to_string();
    assert!(error.contains("more than") || error.contains("deeper"), "{error}");
}

#[test]
fn keys_and_passwords_without_end_end() {
    for call in ["genPrivateKey \"rsa\"", "genCA \"x\" 9", "genSelfSignedCert \"x\" nil nil 9", "bcrypt \"x\"", "htpasswd \"x\" \"y\""] {
        let text = format!("{{{{ range 1000 }}}}{{{{ {call} }}}}{{{{ end }}}}");
        assert!(refused(&text).contains("steps"), "{call}");
    }
    let derived = "{{ range 1000 }}{{ derivePassword 1 \"long\" \"p\" \"u\" \"s\" }}{{ end }}";
    assert!(refused(derived).contains("steps"));
}

#[test]
fn output_and_texts_that_double_end() {
    assert!(refused("{{ range until 100000 }}{{ repeat 100000 \"x\" }}{{ end }}").contains("more than"));
    assert!(refused("{{ $x := \"x\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}").contains("more than"));
    assert!(refused("{{ $x := list 1 }}{{ range 60 }}{{ $x = concat $x $x }}{{ end }}").contains("more than"));
    assert!(refused("{{ $x := dict }}{{ range 60 }}{{ $x = dict \"a\" $x \"b\" $x }}{{ end }}{{ toJson $x }}").contains("more than"));
    assert!(refused("{{ printf \"%999999999d\" 1 }}{{ range 1000 }}{{ printf \"%900000d\" 1 }}{{ end }}").contains("more than"));
}

#[test]
fn a_pattern_that_blows_up_elsewhere_is_just_a_pattern() {
    let text = "{{ regexMatch \"^(a+)+$\" (print (repeat 50000 \"a\") \"b\") }}";
    let rendered = render(&[("templates/a.yaml", &format!("a: {text}"))], &[]).unwrap();
    assert_eq!(rendered.manifests[0].text, "a: false");
    let error = render(&[("templates/a.yaml", "{{ regexMatch \"((a{1,1000}){1,1000}){1,1000}\" \"a\" }}")], &[]);
    assert!(error.is_err(), "{error:?}");
}

#[test]
fn values_that_expand_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    (1..9).for_each(|level| {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
    });
    assert!(matches!(load(&[("values.yaml", &bomb)]), Err(ChartError::File { file: "values.yaml", .. })));
    let deep = ValuesLayer::Set(format!("a{}=1", "[0]".repeat(1000)));
    assert!(render(&[], &[deep]).unwrap_err().to_string().contains("nested deeper"));
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(load(&[("values.yaml", &format!("a: {nested}"))]).is_err());
}

#[test]
fn a_schema_that_leads_in_circles_or_elsewhere_is_refused() {
    let circle = ("values.schema.json", r##"{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/a"}}}"##);
    assert!(render(&[circle], &[]).unwrap_err().to_string().contains("leads to itself"));
    let elsewhere = ("values.schema.json", r#"{"properties": {"a": {"$ref": "https://example.com/schema.json"}}}"#);
    assert!(render(&[elsewhere], &[]).unwrap_err().to_string().contains("nothing is fetched"));
    let doubling: String = (0..40)
        .map(|at| format!(r##""a{at}": {{"allOf": [{{"$ref": "#/definitions/a{0}"}}, {{"$ref": "#/definitions/a{0}"}}]}},"##, at + 1))
        .collect();
    let doubling = format!(r##"{{"$ref": "#/definitions/a0", "definitions": {{{doubling} "a40": {{}}}}}}"##);
    assert!(render(&[("values.schema.json", &doubling)], &[]).unwrap_err().to_string().contains("steps"));
}

#[test]
fn a_link_out_of_the_source_or_into_itself_is_refused() {
    let mut tree = MemoryTree::of(&[("c/Chart.yaml", CHART)]);
    tree.insert_link(TreePath::parse("c/templates/passwd").unwrap(), "../../../../../etc/passwd");
    let at = TreePath::parse("c").unwrap();
    let error = Chart::load(&Reader::new(&tree, Budget::RENDER), &at).unwrap_err();
    assert!(matches!(error, ChartError::Read(ReadError::LinkEscapes { .. })), "{error:?}");
    let mut tree = MemoryTree::of(&[("c/Chart.yaml", CHART)]);
    tree.insert_link(TreePath::parse("c/files/again").unwrap(), "../../c");
    let error = Chart::load(&Reader::new(&tree, Budget::RENDER), &at).unwrap_err();
    assert!(matches!(error, ChartError::Loop { .. }), "{error:?}");
}

/// A header of a tar for a file `name` of a type and size, and its checksum.
fn header(name: &str, kind: u8, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[156] = kind;
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut entry = header(name, kind, data.len() as u64).to_vec();
    entry.extend_from_slice(data);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

fn refused_archive(entries: &[Vec<u8>]) -> ArchiveError {
    let chart = entry("c/Chart.yaml", b'0', CHART.as_bytes());
    match Chart::from_archive(&gzip(&[chart.as_slice(), &entries.concat()].concat())) {
        Err(ChartError::Archive { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_that_names_places_outside_is_refused() {
    let one = |name: &str| refused_archive(&[entry(name, b'0', b"x")]);
    assert!(matches!(one("c/../../etc/passwd"), ArchiveError::Parent(_)));
    assert!(matches!(one("c//etc/passwd"), ArchiveError::Absolute(_)));
    assert!(matches!(one("c\\..\\..\\x"), ArchiveError::Parent(_)));
    assert!(matches!(one("c\\C:\\x"), ArchiveError::IllegalName(_)));
    assert!(matches!(one("c/d:/x"), ArchiveError::IllegalName(_)));
    assert!(matches!(one("loose"), ArchiveError::OutsideBase(_)));
    assert!(matches!(one("Chart.yaml"), ArchiveError::NoBase));
}

#[test]
fn an_archive_with_links_or_devices_is_refused() {
    for kind in [b'1', b'2', b'3', b'4', b'6', b'S'] {
        let error = refused_archive(&[entry("c/templates/x", kind, b"")]);
        assert!(matches!(error, ArchiveError::Irregular { .. }), "{} {error:?}", kind as char);
    }
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused() {
    let zeros = vec![0; 4 << 20];
    let files: Vec<Vec<u8>> = (0..30).map(|file| entry(&format!("c/{file}"), b'0', &zeros)).collect();
    assert_eq!(refused_archive(&files), ArchiveError::Unpacked);
    let claimed = header("c/x", b'0', 6 << 20).to_vec();
    assert!(matches!(refused_archive(&[claimed]), ArchiveError::File { .. }));
    let absurd = header("c/d/", b'5', 0o77_777_777_777).to_vec();
    assert_eq!(refused_archive(&[absurd]), ArchiveError::Unpacked);
    let many: Vec<Vec<u8>> = (0..20_001).map(|file| header(&format!("c/{file}"), b'0', 0).to_vec()).collect();
    assert_eq!(refused_archive(&many), ArchiveError::Entries);
    let long = header("x", b'L', 1 << 20).to_vec();
    assert!(matches!(refused_archive(&[long]), ArchiveError::Damaged(_)));
    assert!(matches!(Chart::from_archive(&vec![0x1f; 11 << 20]), Err(ChartError::Archive { error: ArchiveError::Packed { .. }, .. })));
    // The allowance is one for an archive and those in it.
    let inner = gzip(&(0..11).flat_map(|file| entry(&format!("s/{file}"), b'0', &zeros)).collect::<Vec<_>>());
    let nested: Vec<Vec<u8>> = (0..4).map(|file| entry(&format!("c/charts/s{file}.tgz"), b'0', &inner)).collect();
    let chart = entry("c/Chart.yaml", b'0', CHART.as_bytes());
    let error = Chart::from_archive(&gzip(&[chart.as_slice(), &nested.concat()].concat())).unwrap_err().to_string();
    assert!(error.contains("Chart.yaml file is missing") || error.contains("decompressed chart"), "{error}");
}

#[test]
fn charts_within_charts_are_bounded() {
    let mut archive = gzip(&entry("c/Chart.yaml", b'0', CHART.as_bytes()));
    for _ in 0..20 {
        let chart = entry("c/Chart.yaml", b'0', CHART.as_bytes());
        archive = gzip(&[chart, entry("c/charts/c.tgz", b'0', &archive)].concat());
    }
    let error = Chart::from_archive(&archive).unwrap_err().to_string();
    assert!(error.contains("charts within each other"), "{error}");
}

#[test]
fn damaged_archives_are_refused_wherever_they_end() {
    let whole = gzip(&[entry("c/Chart.yaml", b'0', CHART.as_bytes()), entry("c/values.yaml", b'0', b"a: 1\n"), vec![0; 1024]].concat());
    assert!(Chart::from_archive(&whole).is_ok());
    for end in 0..whole.len() - 1 {
        // The end of the checksum is not needed to see the end of the tar.
        if let Ok(chart) = Chart::from_archive(&whole[..end]) {
            assert_eq!(chart.metadata().name, "hostile");
        }
    }
    let mut flipped = entry("c/Chart.yaml", b'0', CHART.as_bytes());
    flipped[5] ^= 1;
    assert!(Chart::from_archive(&gzip(&flipped)).is_err());
}
