//! Source files: each is reached by a `mod` or a target, says what it is for, and no crate is empty.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use super::Finding;
use super::architecture::{Layer, Map};
use super::tokens;
use super::workspace::Workspace;

/// The crate that makes TLS configurations for all.
const TLS_HOME: &str = "shared/identity";

/// Checks every `.rs` file.
pub(super) fn check(workspace: &Workspace, map: &Map) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reached = BTreeSet::new();
    for root in workspace.crates.iter().flat_map(|of| &of.roots) {
        reach(workspace, root, &folder(root), &mut reached);
    }
    for (path, text) in workspace.files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        if !reached.contains(path.as_str()) {
            findings.push(Finding::new(path, 1, "no `mod` and no target reaches this file", "add its `mod`, or delete it"));
        }
        if !text.starts_with("//!") {
            let remedy = "begin with a `//!` line that says what the module is for and what it leaves to others";
            findings.push(Finding::new(path, 1, "the file does not say what it is for", remedy));
        }
        let tokens = tokens::of(text);
        findings.extend(check_code(path, &tokens));
        let Some(of) = workspace.crate_of(path) else { continue };
        if of.roots.contains(path) && is_empty(&tokens) {
            findings.push(Finding::new(path, 1, "nothing is in here", "an empty crate or target is clutter: fill it or delete it"));
        }
        let product = map.layer(&of.path).is_some_and(|layer| layer != Layer::Development);
        if product && of.path != TLS_HOME && path.starts_with(&format!("{}/src/", of.path)) {
            findings.extend(check_tls(path, &tokens));
        }
    }
    findings
}

/// Adds `file` and what its `mod`s reach; `directory` is where its child modules lie.
fn reach(workspace: &Workspace, file: &str, directory: &str, reached: &mut BTreeSet<String>) {
    if reached.insert(file.to_owned()) {
        follow(workspace, file, &tokens::of(workspace.text(file)), directory, false, reached);
    }
}

/// Follows the `mod`s among `tokens` of `file`, whose modules lie in `directory`; `nested` inside a `mod` with a body.
fn follow(workspace: &Workspace, file: &str, tokens: &[TokenTree], directory: &str, nested: bool, reached: &mut BTreeSet<String>) {
    let mut path = None;
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        match rest {
            [module, TokenTree::Ident(name), end, ..] if tokens::is_word(module, "mod") => {
                let name = name.to_string();
                let name = name.strip_prefix("r#").unwrap_or(&name);
                let own = path.take();
                if let Some(body) = tokens::group(end, Delimiter::Brace) {
                    let directory = join(directory, &own.unwrap_or_else(|| name.to_owned()));
                    follow(workspace, file, &tokens::inside(body), &directory, true, reached);
                } else if let Some(own) = own {
                    let from = if nested { directory.to_owned() } else { folder(file) };
                    let file = join(&from, &own);
                    reach(workspace, &file, &folder(&file), reached);
                } else if let flat = join(directory, &format!("{name}.rs"))
                    && workspace.files.contains_key(&flat)
                {
                    reach(workspace, &flat, &join(directory, name), reached);
                } else {
                    let directory = join(directory, name);
                    reach(workspace, &join(&directory, "mod.rs"), &directory, reached);
                }
                at += 3;
                continue;
            }
            [include, mark, group, ..] if tokens::is_word(include, "include") && tokens::is_mark(mark, '!') => {
                if let TokenTree::Group(group) = group
                    && let [name] = &tokens::inside(group)[..]
                    && let Some(name) = tokens::string(name)
                {
                    reach(workspace, &join(&folder(file), &name), directory, reached);
                }
            }
            [hash, attribute, ..] if tokens::is_mark(hash, '#') => {
                if let Some(attribute) = tokens::group(attribute, Delimiter::Bracket)
                    && let [word, equals, value] = &tokens::inside(attribute)[..]
                    && tokens::is_word(word, "path")
                    && tokens::is_mark(equals, '=')
                {
                    path = tokens::string(value);
                }
            }
            [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::Brace => {
                follow(workspace, file, &tokens::inside(group), directory, nested, reached);
            }
            _ => {}
        }
        at += 1;
    }
}

fn folder(file: &str) -> String {
    file.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

/// `more` as seen from `directory`, with `..` taken out.
fn join(directory: &str, more: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in more.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Only inner attributes, which documentation is too.
fn is_empty(tokens: &[TokenTree]) -> bool {
    tokens
        .iter()
        .all(|token| tokens::is_mark(token, '#') || tokens::is_mark(token, '!') || tokens::group(token, Delimiter::Bracket).is_some())
}

/// Unfinished code, and tests that are switched off without a word.
fn check_code(path: &str, tokens: &[TokenTree]) -> Vec<Finding> {
    let mut findings = Vec::new();
    tokens::every_level(tokens, &mut |tokens| {
        for pair in tokens.windows(2) {
            let unfinished = ["todo", "unimplemented"].into_iter().find(|word| tokens::is_word(&pair[0], word));
            if let Some(word) = unfinished.filter(|_| tokens::is_mark(&pair[1], '!')) {
                findings.push(Finding::new(
                    path,
                    tokens::line(&pair[0]),
                    format!("`{word}!`"),
                    "write it, or leave the feature out and say so",
                ));
            }
            if tokens::is_mark(&pair[0], '#')
                && let Some(attribute) = tokens::group(&pair[1], Delimiter::Bracket)
                && let [word] = &tokens::inside(attribute)[..]
                && tokens::is_word(word, "ignore")
            {
                let remedy = "say why: `#[ignore = \"…\"]`, or let it run";
                findings.push(Finding::new(path, tokens::line(&pair[0]), "a test is ignored without a reason", remedy));
            }
        }
    });
    findings
}

/// TLS configurations that are made outside their home.
fn check_tls(path: &str, tokens: &[TokenTree]) -> Vec<Finding> {
    let mut findings = Vec::new();
    tokens::every_level(tokens, &mut |tokens| {
        for window in tokens.windows(4) {
            let [subject, first, second, TokenTree::Ident(call)] = window else { continue };
            let subject = ["ServerConfig", "ClientConfig"].into_iter().find(|word| tokens::is_word(subject, word));
            if let Some(subject) = subject
                && tokens::is_mark(first, ':')
                && tokens::is_mark(second, ':')
                && call.to_string().starts_with("builder")
            {
                let remedy = format!("{TLS_HOME} makes them all; take the configuration as an argument");
                findings.push(Finding::new(path, tokens::line(&window[0]), format!("a TLS `{subject}` is made here"), remedy));
            }
        }
    });
    findings
}
