//! What charts get where Go takes from chance or the clock: the same for the same inputs, other text for every other place, and keys and
//! certificates that others accept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_helm::{Calendar, Capabilities, Chance, Chart, Request, Scope, Templated, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use regex::Regex;
use ring::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

const DAY: i64 = 86_400;
const CALENDAR: Calendar = Calendar { anchor: 1_700_000_000, today: 1_700_000_000 + 1000 * DAY };

fn chance(app: &str, cluster: &str, release: &str, calendar: Calendar) -> Chance {
    Chance::new(&[42; 32], &Scope { app, cluster, release }, calendar)
}

/// The chart with these files in `templates/`, rendered.
fn render_with(files: &[(&str, &str)], chance: Option<Chance>) -> Result<Templated, String> {
    let mut tree = MemoryTree::new();
    let mut add = |path: &str, text: &str| tree.insert(TreePath::parse(path).expect("a path"), text.as_bytes());
    add("Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    for (name, text) in files {
        add(&format!("templates/{name}"), text);
    }
    let chart = Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root()).map_err(|error| error.to_string())?;
    let request = Request { chance, capabilities: Capabilities::assumed(), ..Request::new("r", "n") };
    template(&chart, &request).map_err(|error| error.to_string())
}

fn render(files: &[(&str, &str)], chance: Chance) -> Templated {
    render_with(files, Some(chance)).unwrap_or_else(|error| panic!("{error}"))
}

/// What a template prints, as its notes.
fn printed(text: &str, chance: Chance) -> String {
    render(&[("NOTES.txt", text)], chance).notes.expect("notes")
}

fn here() -> Chance {
    chance("shop", "eu-1", "shop", CALENDAR)
}

/// A function of chance and the form of what it gives.
const FORMS: &[(&str, &str)] = &[
    ("randAlphaNum 24", "^[0-9A-Za-z]{24}$"),
    ("randAlpha 24", "^[A-Za-z]{24}$"),
    ("randNumeric 24", "^[0-9]{24}$"),
    ("randAscii 24", "^[ -~]{24}$"),
    ("randBytes 30", "^[0-9A-Za-z+/]{40}$"),
    ("randInt 1000000 9000000", "^[1-8][0-9]{6}$"),
    ("uuidv4", "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"),
    ("shuffle \"abcdefghijklmnopqrstuvwxyz\"", "^[a-z]{26}$"),
    ("bcrypt \"secret\"", "^\\$2a\\$10\\$[./A-Za-z0-9]{53}$"),
    ("htpasswd \"me\" \"secret\"", "^me:\\$2a\\$10\\$[./A-Za-z0-9]{53}$"),
    ("encryptAES \"key\" \"text\"", "^[0-9A-Za-z+/]{43}=$"),
    ("genPrivateKey \"ecdsa\"", "(?s)^-----BEGIN EC PRIVATE KEY-----\n.*-----END EC PRIVATE KEY-----\n$"),
    ("genPrivateKey \"ed25519\"", "(?s)^-----BEGIN PRIVATE KEY-----\n.*-----END PRIVATE KEY-----\n$"),
];

#[test]
fn every_function_of_chance_gives_its_form_and_the_same_again() {
    for (function, form) in FORMS {
        let given = printed(&format!("{{{{ {function} }}}}"), here());
        assert!(Regex::new(form).expect("a form").is_match(&given), "{function}: {given}");
        assert_eq!(printed(&format!("{{{{ {function} }}}}"), here()), given, "{function}");
    }
}

#[test]
fn other_inputs_give_other_text() {
    for (function, _) in FORMS {
        let template = format!("{{{{ {function} }}}}");
        let given = printed(&template, here());
        for other in
            [chance("blog", "eu-1", "shop", CALENDAR), chance("shop", "eu-2", "shop", CALENDAR), chance("shop", "eu-1", "x", CALENDAR)]
        {
            assert_ne!(printed(&template, other), given, "{function}");
        }
        let twice = printed(&format!("{{{{ $a := {function} }}}}{{{{ $b := {function} }}}}{{{{ eq $a $b }}}}"), here());
        assert_eq!(twice, "false", "{function} called twice");
    }
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {x: {{ randAlphaNum 20 }}}\n";
    let two = render(&[("a.yaml", &map.replace("NAME", "a")), ("b.yaml", &map.replace("NAME", "b"))], here());
    let drawn = |index: usize| two.manifests[index].text.rsplit("x: ").next().map(str::to_owned);
    assert_ne!(drawn(0), drawn(1), "two files");
}

#[test]
fn what_was_used_is_told_with_its_file() {
    let rendered = render(&[("NOTES.txt", "{{ now | date \"2006\" }} {{ randAlpha 3 | len }} {{ date \"2006\" 0 }}")], here());
    assert_eq!(rendered.notes.as_deref(), Some("2023 3 1970"));
    let used: Vec<_> = rendered.used.chance.iter().map(|(function, file)| (*function, file.as_str())).collect();
    assert_eq!(used, [("now", "c/templates/NOTES.txt"), ("randAlpha", "c/templates/NOTES.txt")]);
    assert_eq!(rendered.used.good_until, None);
}

#[test]
fn without_a_secret_functions_of_chance_say_why_they_fail() {
    for (function, _) in FORMS.iter().chain(&[("now", ""), ("ago nil", ""), ("genCA \"x\" 1", "")]) {
        let error = render_with(&[("NOTES.txt", &format!("{{{{ {function} }}}}"))], None).map(|_| ()).expect_err(function);
        assert!(error.contains("no secret to derive it from"), "{error}");
    }
}

#[test]
fn the_present_is_the_anchor_whatever_the_day() {
    let later = Calendar { today: CALENDAR.today + 500 * DAY, ..CALENDAR };
    for calendar in [CALENDAR, later] {
        assert_eq!(
            printed("{{ now }} {{ ago (toDate \"2006-01-02\" \"2023-11-13\") }}", chance("a", "b", "c", calendar)),
            "2023-11-14 22:13:20 +0000 UTC 46h13m20s"
        );
    }
}

#[test]
fn what_is_encrypted_is_decrypted() {
    for text in ["x", "sixteen bytes..", "sixteen bytes...", "a longer text of more than two blocks"] {
        assert_eq!(printed(&format!("{{{{ encryptAES \"key\" \"{text}\" | decryptAES \"key\" }}}}"), here()), text);
    }
}

fn der_of(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).expect("base 64")
}

/// Checks the certificate that `pem` is and gives it to `check`.
fn certificate(pem: &str, check: impl FnOnce(&X509Certificate<'_>)) {
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{pem}"));
    check(&block.parse_x509().expect("a certificate"));
}

#[test]
fn an_authority_and_what_it_signs_hold_together() {
    let template = "{{ $ca := genCA \"my ca\" 365 }}{{ $c := genSignedCert \"svc\" (list \"10.0.0.1\" \"::1\") (list \"svc\" \"svc.ns\") 30 $ca }}\
                    {{ $ca.Cert }}\n{{ $ca.Key }}\n{{ $c.Cert }}\n{{ $c.Key }}";
    let rendered = render(&[("NOTES.txt", template)], here());
    let notes = rendered.notes.expect("notes");
    let blocks: Vec<&str> = notes.split_inclusive("-----\n\n").map(str::trim_start).collect();
    let [authority, authority_key, leaf, leaf_key] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    certificate(authority, |authority| {
        assert!(authority.is_ca());
        authority.verify_signature(None).expect("its own signature");
        certificate(leaf, |leaf| {
            leaf.verify_signature(Some(authority.public_key())).expect("the signature of the authority");
            assert_eq!(leaf.issuer(), authority.subject());
            assert!(!leaf.is_ca());
            assert_eq!(leaf.subject().to_string(), "CN=svc");
            let names = leaf.subject_alternative_name().expect("readable").expect("names").value.general_names.clone();
            assert_eq!(
                names,
                [
                    GeneralName::DNSName("svc"),
                    GeneralName::DNSName("svc.ns"),
                    GeneralName::IPAddress(&[10, 0, 0, 1]),
                    GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                ]
            );
            let (from, until) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
            assert_eq!(until - from, 30 * DAY);
            assert!((from..from + 20 * DAY).contains(&CALENDAR.today));
            assert_eq!((from - CALENDAR.anchor) % (20 * DAY), 0);
            assert_eq!(rendered.used.good_until, Some(from + 20 * DAY));
            let usage = leaf.key_usage().expect("readable").expect("a usage").value;
            assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
            let purposes = leaf.extended_key_usage().expect("readable").expect("purposes").value;
            assert!(purposes.server_auth && purposes.client_auth);
            let key = RsaKeyPair::from_der(&der_of(leaf_key)).expect("a key");
            assert_eq!(key.public_key().as_ref(), leaf.public_key().subject_public_key.data.as_ref());
        });
        let key = RsaKeyPair::from_der(&der_of(authority_key)).expect("a key");
        assert_eq!(key.public_key().as_ref(), authority.public_key().subject_public_key.data.as_ref());
    });
}

#[test]
fn a_key_is_derived_today_as_it_always_was() {
    // Other keys would mean new certificates for every fleet.
    let key = printed("{{ (genCA \"ca\" 3650).Key }}", here());
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    assert_eq!(digest.as_ref()[..8], [0x59, 0x61, 0x58, 0xcb, 0xb5, 0xfa, 0x8f, 0x35]);
}

#[test]
fn a_render_has_room_for_the_keys_of_a_large_chart() {
    let template = "{{ $ca := genCA \"ca\" 3650 }}{{ range until 7 }}{{ (genSignedCert \"x\" nil nil 30 $ca).Key | sha256sum }} {{ end }}";
    let tree = MemoryTree::of(&[("Chart.yaml", "apiVersion: v2\nname: keys\nversion: 0.1.0\n"), ("templates/NOTES.txt", template)]);
    let chart = Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root()).expect("a chart");
    let mut request = Request::new("r", "default");
    request.chance = Some(here());
    let first = template_of(&chart, &request);
    assert_eq!(first.as_deref().map(|notes| notes.split_whitespace().count()), Some(7));
    // Those that are kept are those that would be made.
    assert_eq!(template_of(&chart, &request), first);
    request.chance = Some(chance("shop", "us-1", "shop", CALENDAR));
    assert_ne!(template_of(&chart, &request), first);
}

fn template_of(chart: &Chart, request: &Request) -> Option<String> {
    template(chart, request).expect("within the budget").notes
}

#[test]
fn keys_of_every_kind_sign() {
    for kind in ["ecdsa", "ed25519"] {
        let template = format!(
            "{{{{ $k := genPrivateKey \"{kind}\" }}}}{{{{ $ca := genCAWithKey \"ca\" 3650 $k }}}}\
             {{{{ $c := genSignedCertWithKey \"leaf\" nil (list \"a\") 10 $ca (genPrivateKey \"{kind}\") }}}}\
             {{{{ $s := genSelfSignedCertWithKey \"self\" nil nil 10 $k }}}}{{{{ $ca.Cert }}}}\n{{{{ $c.Cert }}}}\n{{{{ $c.Key }}}}\n{{{{ $s.Cert }}}}"
        );
        let notes = printed(&template, here());
        let blocks: Vec<&str> = notes.split_inclusive("-----\n\n").map(str::trim_start).collect();
        let [authority, leaf, leaf_key, own] = blocks[..] else { panic!("{} blocks", blocks.len()) };
        certificate(authority, |authority| {
            authority.verify_signature(None).expect("its own signature");
            certificate(leaf, |leaf| {
                leaf.verify_signature(Some(authority.public_key())).expect("the signature of the authority");
                let der = der_of(leaf_key);
                let public = match kind {
                    "ed25519" => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("a key").public_key().as_ref().to_vec(),
                    _ => {
                        // SEC 1 has the private number after seven bytes.
                        let private = p256::ecdsa::SigningKey::from_slice(&der[7..39]).expect("a key");
                        private.verifying_key().to_sec1_point(false).as_bytes().to_vec()
                    }
                };
                assert_eq!(public, leaf.public_key().subject_public_key.data.as_ref());
            });
        });
        certificate(own, |own| own.verify_signature(None).expect("its own signature"));
    }
}

#[test]
fn a_certificate_stays_the_same_for_two_thirds_of_its_days_and_then_changes() {
    let template = "{{ (genSelfSignedCertWithKey \"x\" nil nil 30 (genPrivateKey \"ed25519\")).Cert }}";
    let at =
        |day: i64| printed(template, chance("a", "b", "c", Calendar { anchor: CALENDAR.anchor, today: CALENDAR.anchor + day * DAY + 60 }));
    assert_eq!(at(0), at(19));
    assert_ne!(at(19), at(20));
    assert_eq!(at(20), at(39));
}

#[test]
fn a_key_that_is_not_that_of_the_authority_is_refused() {
    let template = "{{ $a := genCAWithKey \"a\" 9 (genPrivateKey \"ecdsa\") }}{{ $b := genCAWithKey \"b\" 9 (genPrivateKey \"ecdsa\") }}\
                    {{ $mixed := buildCustomCert (b64enc $a.Cert) (b64enc $b.Key) }}{{ (genSignedCert \"x\" nil nil 9 $mixed).Cert }}";
    let error = render_with(&[("NOTES.txt", template)], Some(here())).map(|_| ()).expect_err("another key");
    assert!(error.contains("x509: provided PrivateKey doesn't match parent's PublicKey"), "{error}");
}

#[test]
fn what_is_no_key_and_no_certificate_is_refused_in_go_s_words() {
    for (call, message) in [
        ("buildCustomCert \"!\" \"\"", "unable to decode base64 certificate"),
        ("buildCustomCert \"\" \"!\"", "unable to decode base64 private key"),
        ("buildCustomCert \"\" \"\"", "unable to decode certificate"),
        ("genCAWithKey \"a\" 1 \"x\"", "parsing private key: no PEM data in input"),
        ("genCAWithKey \"a\" 1 \"-----BEGIN X-----\\nAAAA\\n-----END X-----\\n\"", "no private key data in PEM block of type X"),
        ("genSelfSignedCert \"a\" (list \"1.2.3\") nil 1", "error parsing ip: 1.2.3"),
        ("genSelfSignedCert \"a\" (list 1) nil 1", "error parsing ip: 1 is not a string"),
        ("genSelfSignedCert \"a\" nil (list 1) 1", "error processing alternate dns name: 1 is not a string"),
        ("genPrivateKey \"dsa\"", "ask for ecdsa, ed25519 or rsa"),
    ] {
        let error = render_with(&[("NOTES.txt", &format!("{{{{ {call} }}}}"))], Some(here())).map(|_| ()).expect_err(call);
        assert!(error.contains(message), "{call}: {error}");
    }
    assert_eq!(printed("{{ genPrivateKey \"x\" }}", here()), "Unknown type x");
}
