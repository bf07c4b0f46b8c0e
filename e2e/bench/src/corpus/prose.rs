//! Sentences as they stand in the descriptions of custom resource definitions, and comments in manifests.

use e2e_oracle::Chance;

const WORDS: [&str; 96] = [
    "the",
    "of",
    "a",
    "to",
    "is",
    "and",
    "that",
    "in",
    "if",
    "be",
    "this",
    "for",
    "or",
    "not",
    "are",
    "with",
    "by",
    "an",
    "field",
    "value",
    "specified",
    "container",
    "pod",
    "will",
    "set",
    "object",
    "name",
    "must",
    "may",
    "resource",
    "default",
    "defaults",
    "more",
    "one",
    "when",
    "used",
    "list",
    "volume",
    "key",
    "which",
    "can",
    "node",
    "service",
    "from",
    "should",
    "only",
    "number",
    "template",
    "request",
    "namespace",
    "selector",
    "label",
    "labels",
    "scheduling",
    "expressions",
    "required",
    "optional",
    "empty",
    "ignored",
    "limits",
    "matching",
    "terms",
    "affinity",
    "probe",
    "seconds",
    "handler",
    "path",
    "secret",
    "reference",
    "controller",
    "status",
    "condition",
    "metadata",
    "update",
    "cannot",
    "running",
    "started",
    "cluster",
    "server",
    "requirements",
    "it",
    "has",
    "no",
    "other",
    "at",
    "all",
    "type",
    "same",
    "image",
    "runtime",
    "queue",
    "replica",
    "gateway",
    "health",
    "policy",
    "storage",
];

const ENDINGS: [&str; 6] = [
    "This field is immutable.",
    "Defaults to \"Always\".",
    "More info: https://kubernetes.io/docs/concepts/workloads/pods/#pod-template",
    "Cannot be updated.",
    "It's an error to set both.",
    "This is an alpha field and requires enabling a feature gate: 'true' or 'false'.",
];

/// Some sentences in one line.
pub(crate) fn sentences(dice: &mut Chance, count: usize) -> String {
    let mut text = String::new();
    for sentence in 0..count {
        if sentence > 0 {
            text.push(' ');
        }
        if sentence > 0 && dice.percent(20) {
            text.push_str(ENDINGS[dice.below(ENDINGS.len())]);
            continue;
        }
        let words = dice.between(6, 18);
        for word in 0..words {
            let next = WORDS[dice.below(WORDS.len())];
            if word == 0 {
                text.extend(next.chars().take(1).flat_map(char::to_uppercase));
                text.push_str(&next[1..]);
            } else {
                text.push(' ');
                text.push_str(next);
                if word + 1 < words && dice.percent(8) {
                    text.push(',');
                }
            }
        }
        text.push('.');
    }
    text
}

/// `text` in lines of at most `columns` characters where the words allow it.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
