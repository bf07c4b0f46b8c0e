//! The fast path of the YAML reader reads as the general path or not at all: on generated texts that are spoiled at random, on every case of
//! `yaml_cases.jsonl`, and on manifests.

use serde_json::Value;
use shared_manifest::{YamlMode, fast_and_general_agree, fast_takes};

/// Numbers from a seed (splitmix64): a failing text is made again by its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }
}

/// Pieces of texts: usual ones, and odd ones, which are mostly errors or left to the general path.
struct Pieces {
    usual: &'static [&'static str],
    odd: &'static [&'static str],
}

const KEYS: Pieces = Pieces {
    usual: &[
        "name",
        "a",
        "b",
        "spec",
        "metadata",
        "app.kubernetes.io/name",
        "x y",
        "-k",
        "kéy",
        "a:b",
        "a#b",
        "\"q\"",
        "'s t'",
        "\"1\"",
        "note",
        "yet",
    ],
    odd: &[
        "y",
        "on",
        "no",
        "null",
        "1",
        "1.5",
        "\"\"",
        "<<",
        "~",
        "'it''s'",
        "\"e\\n\"",
        ":c",
        "2001-01-01",
        "? a",
        "&a b",
        "*a",
        "",
        "a ",
        "\"a\" ",
        "- a",
    ],
};

const PLAIN: Pieces = Pieces {
    usual: &[
        "v",
        "text",
        "nginx:1.2",
        "a b  c",
        "true",
        "yes",
        "N",
        "off",
        "null",
        "~",
        "0",
        "-1",
        "0o17",
        "017",
        "0x1F",
        "1_000",
        "1e3",
        "-.5",
        "2001-01-01",
        "2001-01-01 10:00:00",
        "2001-01-01T10:00:00Z",
        "1.10",
        "10Gi",
        "100m",
        "--flag=x",
        "-f",
        ":80",
        "=",
        "<<",
        "é ü",
        "日本語 text",
        "a#b",
        "a:b",
        "http://x.io/y?z#f",
        "a, b",
        "x]",
        "y}",
        "it's",
        "say \"hi\"",
        "back\\slash",
        "a #c",
        "a  # c",
        "$(X)",
        "${Y}",
        "😀",
        "---",
        "--- a",
        "\\",
    ],
    odd: &[
        ".inf",
        ".NaN",
        "{a",
        "[b",
        "a: b",
        "a:",
        "*",
        "*a",
        "&a",
        "!t",
        "@x",
        "`x`",
        "%x",
        "?x",
        "? x",
        "a\tb",
        ": a",
        "- ",
        "#",
        ",",
        "a\u{2028}b",
    ],
};

const QUOTED: Pieces = Pieces {
    usual: &[
        "\"\"",
        "''",
        "\"a\"",
        "'a'",
        "'a: b'",
        "\"a # b\"",
        "'it''s'",
        "''''",
        "\"\\\"\"",
        "\"a\\nb\"",
        "\"\\u00e9\\x41\"",
        "\"\\/\"",
        "\"\\ x\"",
        "\"tab\there\"",
        "'tab\there'",
        "\" lead and trail \"",
        "'y'",
        "\"1\"",
        "\"<<\"",
        "'é'",
        "\"\\\\\"",
        "'\\'",
        "\"a\\0b\"",
        "'a' # c",
        "'a'  ",
        "\"{}\"",
    ],
    odd: &[
        "\"\\ud83d\\ude00\"",
        "\"\\q\"",
        "'a\n",
        "\"a\n",
        "\"\\L\\P\\N\\_\"",
        "\"a\"# c",
        "\"a\" b",
        "\"a\": b",
        "'a'': b'",
        "\"\\U0001F600\"",
        "\"\\ud83d\"",
    ],
};

const FLOW: Pieces = Pieces {
    usual: &[
        "{}",
        "[]",
        "{ }",
        "[ ]",
        "[a]",
        "[a, b]",
        "[ a , b ]",
        "{a: b}",
        "{a: b, c: 1}",
        "{a: [b, {c: d}]}",
        "[1, -2, true, ~]",
        "{\"a\":1}",
        "{\"a\": \"b\", \"c\":[1,2]}",
        "['x', \"y\"]",
        "[:a]",
        "[a:b, c]",
        "[\"a\\nb\"]",
        "[a b]",
        "[] # c",
        "{'a':b}",
        "{a: 'b'}",
        "[a,\n b]",
        "[\n  a\n]",
        "{\"a\": {\n\"b\": [\n1,\n 2\n  ]\n}\n}",
        "{\n  a: b,\n\n  c: d\n  }",
        "[é, 'ü']",
        "[a\n, b]",
        "[a#b]",
        "[-a]",
        "[a,]",
        "{a: b,}",
        "[a, ]",
        "[a #c\n]",
        "[a,\n# c\nb]",
        "[ # é\n 'a', # c\n\n b\n,\n]",
        "{a: b # c\n}",
        "{ #c\n}",
    ],
    odd: &[
        "{ a : b }",
        "[,]",
        "[a,#c\n]",
        "[a #c\nb]",
        "[a # c]",
        "{a: # c\nb}",
        "{\"a\": # c\nb}",
        "{\"a\" # c\n: b}",
        "{a}",
        "{a: }",
        "{a:}",
        "[a: b]",
        "[-]",
        "[- a]",
        "{y: 1}",
        "{a: b, a: c}",
        "[[[[]]]]",
        "[]x",
        "[]#c",
        "[a\n",
        "{a: b,\n",
        "[\n",
        "[é, 'ü': x]",
        "[a\n b]",
        "[a,\n--- b]",
        "[a,\n-b]",
        "{\"a\"\n: b}",
        "{a\n: b}",
        "{\"a\":\nb}",
        "[a,\n\tb]",
        "{a: b}: c",
        "['a\nb']",
        "[?a]",
        "[,]",
        "[a,,b]",
        "{a: b c: d}",
        "[\"a\"b]",
        "[%a]",
        "[a:]",
        "[a: ]",
        "{a:b}",
        "{\"a\":b, c:d}",
    ],
};

const BLOCKS: Pieces = Pieces {
    usual: &["|", "|-", "|+", ">", ">-", ">+", "|2", "|2-", "|-2", ">1", "|  ", "| # c", "|+1"],
    odd: &["|# c", "|0", "> x", "|--", "|22", "|-+", "|\t"],
};

const LINES: Pieces = Pieces {
    usual: &[
        "text",
        "more text here",
        "",
        "  deeper",
        "- a",
        "key: v",
        "# no comment",
        "\ttab",
        "trailing  ",
        "---",
        "é",
        "'q'",
        "\"d\"",
        "    far",
        " ",
        "a # b",
        "%x",
    ],
    odd: &["...", "\u{85}", "   \t"],
};

const COMMENTS: Pieces = Pieces { usual: &[" # c", "  # é: x", " #", "   ", " # a\tb"], odd: &["#", " \t# c", "\t", ":"] };

const BETWEEN: Pieces = Pieces {
    usual: &["\n", "# c\n", "  # c\n", "        # c\n", "\n\n", "   \n", "# é\n\n"],
    odd: &["\t\n", " \t# c\n", "...\n", "---\n", "%YAML 1.1\n"],
};

const MARKERS: Pieces = Pieces {
    usual: &["---\n", "--- # c\n", "---   \n", "---\n---\n", "---\n\n# c\n", "\n---\n"],
    odd: &["...\n", "--- a\n", "---\t\n", "--- |\n a\n"],
};

/// Writes manifests, mostly good ones.
struct Writer<'c> {
    chance: &'c mut Chance,
    /// Writes usual pieces only.
    careful: bool,
    text: String,
}

impl Writer<'_> {
    fn piece(&mut self, pieces: &Pieces) -> &'static str {
        let odd = !self.careful && self.chance.one_in(6);
        self.chance.pick(if odd { pieces.odd } else { pieces.usual })
    }

    fn put(&mut self, pieces: &Pieces) {
        let piece = self.piece(pieces);
        self.text.push_str(piece);
    }

    fn odd(&mut self, count: usize) -> bool {
        !self.careful && self.chance.one_in(count)
    }

    fn stream(&mut self) {
        if self.chance.one_in(3) {
            self.text.push_str("---\n");
        }
        for document in 0..=self.chance.below(2) {
            if document > 0 {
                self.put(&MARKERS);
            }
            if self.chance.one_in(12) {
                self.text.push_str("# comment\n");
            }
            let indent = if self.chance.one_in(16) { 2 } else { 0 };
            match self.chance.below(8) {
                0 => self.list(indent, 0, false),
                1 if self.chance.one_in(2) => {
                    self.put(&FLOW);
                    self.line_end();
                }
                2 if self.odd(2) => self.scalar(0),
                _ => self.map(indent, 0, false),
            }
        }
    }

    fn spaces(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n(' ', count));
    }

    fn line_end(&mut self) {
        if self.chance.one_in(12) {
            self.put(&COMMENTS);
        }
        self.text.push('\n');
        if self.chance.one_in(24) {
            self.put(&BETWEEN);
        }
    }

    /// `started`: the first key follows a dash in the same line.
    fn map(&mut self, indent: usize, depth: usize, mut started: bool) {
        for entry in 0..=self.chance.below(4) {
            if !std::mem::take(&mut started) {
                self.spaces(indent);
            }
            let key = self.piece(&KEYS);
            self.text.push_str(key);
            if !self.odd(8) {
                let inside = usize::from(key.ends_with(['"', '\'']));
                self.text.insert_str(self.text.len() - inside, &entry.to_string());
            }
            self.text.push(':');
            if self.odd(16) {
                let odd = self.chance.pick(&["", "  ", "\t", " \t"]);
                self.text.push_str(odd);
            }
            self.value(indent, depth);
        }
    }

    fn value(&mut self, indent: usize, depth: usize) {
        match self.chance.below(if depth > 4 { 6 } else { 10 }) {
            0 => self.line_end(),
            1..=5 => {
                self.text.push(' ');
                self.scalar(indent + 1);
            }
            6 | 7 => {
                self.line_end();
                let step = 1 + self.chance.below(3);
                self.map(indent + step, depth + 1, false);
            }
            8 => {
                self.line_end();
                self.list(indent, depth + 1, false);
            }
            _ => {
                self.line_end();
                let step = 1 + self.chance.below(3);
                self.list(indent + step, depth + 1, false);
            }
        }
    }

    fn list(&mut self, indent: usize, depth: usize, mut started: bool) {
        for _ in 0..=self.chance.below(3) {
            if !std::mem::take(&mut started) {
                self.spaces(indent);
            }
            self.text.push('-');
            match self.chance.below(if depth > 4 { 5 } else { 9 }) {
                0 => self.line_end(),
                1..=3 => {
                    self.text.push(' ');
                    self.scalar(indent + 1);
                }
                4..=6 => {
                    let step = 1 + self.chance.below(2);
                    self.spaces(step);
                    self.map(indent + 1 + step, depth + 1, true);
                }
                7 => {
                    self.text.push(' ');
                    self.list(indent + 2, depth + 1, true);
                }
                _ => {
                    self.line_end();
                    self.map(indent + 2, depth + 1, false);
                }
            }
        }
    }

    /// A scalar whose further lines stand at `indent` or deeper.
    fn scalar(&mut self, indent: usize) {
        match self.chance.below(16) {
            0..=6 => {
                self.put(&PLAIN);
                while self.chance.one_in(5) {
                    self.text.push('\n');
                    self.continuation(indent);
                    self.put(&PLAIN);
                }
                self.line_end();
            }
            7..=9 => {
                self.put(&QUOTED);
                self.line_end();
            }
            10 | 11 => self.quoted_lines(indent),
            12 | 13 => {
                self.put(&FLOW);
                self.line_end();
            }
            _ => self.block(indent),
        }
    }

    fn continuation(&mut self, indent: usize) {
        while self.chance.one_in(6) {
            let empty = self.chance.pick(&["\n", "  \n", "          \n"]);
            self.text.push_str(empty);
        }
        let deeper = self.chance.below(3);
        self.spaces(indent + deeper);
        if self.odd(20) {
            self.text.pop();
        }
    }

    fn quoted_lines(&mut self, indent: usize) {
        let quote = self.chance.pick(&["\"", "'"]);
        self.text.push_str(quote);
        for line in 0..=self.chance.below(3) {
            if line > 0 {
                let end =
                    if quote == "\"" { self.chance.pick(&["\n", "\\\n", " \n", "  \\\n"]) } else { self.chance.pick(&["\n", "  \n"]) };
                self.text.push_str(end);
                self.continuation(indent);
            }
            let text = self
                .chance
                .pick(&["a b", "word", "", "x: y", "# z", "''", "\\n", "\\ ", "é", "- a", "end ", " start", "\\\"", "\\t", "a\tb", "c\t"]);
            self.text.push_str(text);
        }
        self.text.push_str(quote);
        self.line_end();
    }

    fn block(&mut self, indent: usize) {
        self.put(&BLOCKS);
        self.line_end();
        let step = self.chance.below(3);
        for _ in 0..=self.chance.below(4) {
            if !self.odd(12) {
                self.spaces(indent + step);
            }
            self.put(&LINES);
            self.text.push('\n');
        }
        while self.chance.one_in(4) {
            let empty = self.chance.pick(&["\n", " \n", "        \n"]);
            self.text.push_str(empty);
        }
    }
}

const NOISE: [&str; 44] = [
    " ", "  ", "\n", "\n\n", "\t", ":", ": ", "- ", "-", "#", " #", "'", "\"", "\\", "|", ">", "{", "}", "[", "]", ",", "&a ", "*a",
    "!!str ", "? ", "---\n", "...\n", "\r\n", "\r", "\u{85}", "\u{a0}", "\u{feff}", "\u{2028}", "é", "\0", "\u{7f}", "%", "@", "<<: ", "y",
    "0", "\\\n", "''", "a",
];

/// Changes a text at random: characters come and go, lines come twice, move sideways, vanish or change places.
fn spoil(chance: &mut Chance, text: &mut String) {
    let place = |chance: &mut Chance, text: &str| {
        let mut at = chance.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    match chance.below(8) {
        0..=2 => {
            let at = place(chance, text);
            let noise = chance.pick(&NOISE);
            text.insert_str(at, noise);
        }
        3 => {
            let at = place(chance, text);
            if at < text.len() {
                text.remove(at);
            }
        }
        4 => {
            text.truncate(text.trim_end_matches('\n').len());
        }
        _ => {
            let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            if lines.is_empty() {
                return;
            }
            let at = chance.below(lines.len());
            match chance.below(5) {
                0 => lines.insert(at, lines[at].clone()),
                1 => {
                    lines.remove(at);
                }
                2 => {
                    let other = chance.below(lines.len());
                    lines.swap(at, other);
                }
                3 => lines[at].insert_str(0, chance.pick(&[" ", "  ", "    "])),
                _ => {
                    if lines[at].starts_with(' ') {
                        lines[at].remove(0);
                    }
                }
            }
            *text = lines.concat();
        }
    }
}

fn generated(seed: u64) -> String {
    let mut chance = Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let careful = chance.one_in(2);
    let mut writer = Writer { chance: &mut chance, careful, text: String::new() };
    writer.stream();
    let mut text = writer.text;
    while chance.one_in(if careful { 3 } else { 2 }) {
        spoil(&mut chance, &mut text);
    }
    if chance.one_in(24) {
        text = text.replace('\n', "\r\n");
    }
    text
}

/// Checks the texts of these seeds; how many of them the fast path reads.
fn check(seeds: std::ops::Range<u64>) -> usize {
    let mut taken = 0;
    for seed in seeds {
        let text = generated(seed);
        taken += usize::from(fast_takes(&text, YamlMode::Kustomize));
        if let Err(difference) = fast_and_general_agree(&text) {
            panic!("seed {seed}:\n{text}\n{difference}");
        }
    }
    taken
}

#[test]
fn values_of_charts_as_people_write_them_take_the_fast_path() {
    let empty_block = "a:\n  affinity: |\n\n  # -- A comment\n  b: ~\nc: >-\nd:\n  - |\n  - x\n";
    let ports = "tcp:\n  9000: 30090\n  \"8080\": x\nudp: {53: kube-system/dns:53}\n";
    for text in [empty_block, ports] {
        assert!(fast_takes(text, YamlMode::Kubernetes), "{text}");
        fast_and_general_agree(text).unwrap();
        fast_and_general_agree(text.trim_end()).unwrap();
    }
    for text in [
        "a: |+\n\nb: 1\n",
        "a: |2\nb: 1\n",
        "a: |\n   \nb: 1\n",
        "a: |\n\n\n",
        "a: |\n",
        "010: x\n",
        "1_000: x\n",
        "-1: x\n",
        "1: x\n\"1\": y\n",
    ] {
        fast_and_general_agree(text).unwrap();
    }
}

#[test]
fn manifests_as_people_and_tools_write_them_take_the_fast_path() {
    for text in [include_str!("stored_wanted.yaml"), include_str!("drift.yaml"), include_str!("diff.yaml"), USUAL] {
        for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
            assert!(fast_takes(text, mode), "{text}");
            assert!(fast_takes(text.trim_end(), mode), "{text}");
        }
        fast_and_general_agree(text).unwrap();
        fast_and_general_agree(text.trim_end()).unwrap();
        let windows = text.replace('\n', "\r\n");
        assert!(fast_takes(&windows, YamlMode::Kustomize), "{text}");
        fast_and_general_agree(&windows).unwrap();
    }
}

/// One of each thing that the fast path reads.
const USUAL: &str = r#"# A comment
---
# Another
apiVersion: v1  # with a version
kind: ConfigMap
metadata:
  name: "quoted"
  labels: {app: web, tier: 'front'}
  annotations: {}
  finalizers: []
data:
  literal: |
    #!/bin/sh
    	tab and: colon

    last
  kept: |+
    a

  stripped: |-
    a
  folded: >-
    a
    b

    c
      d
  indented: |2
      deep
    less
--- # the next one
---
apiVersion: apps/v1
kind: Deployment
spec:
  description: A plain text that is longer
    than its line, as kustomize prints it – “ü”
  note: 'it''s
    quoted

    text'
  escaped: "a\tb\u00e9 \
    \ c"
  tabs: "it's	\"tabbed\""
  empty:
  containers:
  - name: a
    args: ["--x=1", --y, -z] # some
    ports:
      - containerPort: 80
        hostPort: 0o17
  -
    name: b
    command:
    - - nested
      - "list"
    -
    tolerations: [
      {"key": "a", "value": null},
      # none
      {
        "key": "b"
      },
    ]
  date: 2001-01-01
  "key in quotes": true
  last: |
    no line feed behind this"#;

#[test]
fn every_case_that_was_measured_is_read_as_by_the_general_path() {
    for line in include_str!("yaml_cases.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let yaml = case["yaml"].as_str().unwrap();
        for text in [yaml.to_owned(), format!("spec:{yaml}"), format!("a:\n  spec:{yaml}  b: c\n"), format!("-{yaml}- b\n")] {
            fast_and_general_agree(&text).unwrap();
        }
    }
}

#[test]
fn generated_texts_are_read_as_by_the_general_path() {
    let taken = check(0..6_000);
    assert!(taken > 1_500, "the fast path reads {taken}");
}

/// As many as were run when the reader was written.
const MANY: u64 = 5_000_000;

#[test]
#[ignore = "minutes in a release build; for changes of the reader"]
fn very_many_generated_texts_are_read_as_by_the_general_path() {
    let taken = check(1 << 32..(1 << 32) + MANY);
    println!("{taken} of {MANY} read by the fast path");
}
