//! Who may use whom: the rules of the layers, judged from the manifests alone.

use super::Finding;
use super::architecture::{Layer, Map, PAGE};
use super::workspace::{Crate, Dependency, Workspace, top};

/// Uses nothing of ours: everything else is written in its words.
const VOCABULARY: &str = "shared/model";
/// Uses nothing of the product, so that both cannot be wrong together.
const JUDGE: &str = "e2e/fakekube";

/// Checks every dependency of every crate.
pub(super) fn check(workspace: &Workspace, map: &Map) -> Vec<Finding> {
    let mut findings = Vec::new();
    for of in &workspace.crates {
        let name = of.path.replace('/', "-");
        if of.name != name || of.path.matches('/').count() != 1 || !["hub", "agent", "shared", "e2e"].contains(&of.top()) {
            findings.push(Finding::new(
                of.manifest(),
                1,
                format!("the crate `{}` lies in `{}`", of.name, of.path),
                "a crate is one folder below hub, agent, shared or e2e and is named by its path: hub/plan is hub-plan",
            ));
        }
        for dependency in &of.dependencies {
            let refusal = match &dependency.ours {
                Some(used) => refuse_ours(map, of, dependency, used),
                None => refuse_foreign(map, of, dependency),
            };
            if let Some((what, remedy)) = refusal {
                findings.push(Finding::new(of.manifest(), workspace.line_of_dependency(of, dependency), what, remedy));
            }
        }
    }
    findings
}

type Refusal = Option<(String, String)>;

/// Why `of` may not use `used`, a crate of ours. The first rule that is broken counts.
fn refuse_ours(map: &Map, of: &Crate, dependency: &Dependency, used: &str) -> Refusal {
    let (Some(layer), Some(used_layer)) = (map.layer(&of.path), map.layer(used)) else {
        return None; // Said once, where the code map lacks it.
    };
    let path = &of.path;
    let refuse = |what: String, remedy: &str| Some((what, remedy.to_owned()));
    if path == VOCABULARY {
        return refuse(format!("`{VOCABULARY}` uses `{used}`"), "the vocabulary uses nothing of ours; what needs more belongs elsewhere");
    }
    if path == JUDGE && top(used) != "e2e" {
        return refuse(format!("`{JUDGE}` uses `{used}`"), "it shares no code with the product, so that both cannot be wrong together");
    }
    if matches!((of.top(), top(used)), ("hub", "agent") | ("agent", "hub")) {
        return refuse(format!("`{path}` uses `{used}`"), "hub and agent never see each other; they meet in shared/ and e2e/");
    }
    if layer == Layer::Development {
        return None;
    }
    if used_layer == Layer::Development && !(dependency.for_tests && layer != Layer::Pure) {
        return refuse(
            format!("`{path}` uses `{used}`, which is for development"),
            "only tests of edges and programs may use it (dev-dependencies)",
        );
    }
    if layer == Layer::Pure && used_layer != Layer::Pure {
        return refuse(format!("`{path}` is pure and uses `{used}`, which is not"), "take what it needs as an argument or a small trait");
    }
    if of.top() == "shared" && top(used) != "shared" && used_layer != Layer::Development {
        return refuse(format!("`{path}` uses `{used}`"), "what is shared knows neither hub nor agent; move the part that both need");
    }
    if layer == Layer::Edge && used_layer == Layer::Edge && of.top() == top(used) {
        return refuse(
            format!("`{path}` is an edge and uses the edge `{used}` of its own process"),
            "state what it needs as a small trait in domain words; the program joins both",
        );
    }
    if used_layer == Layer::Composition {
        return refuse(format!("`{path}` uses the program `{used}`"), "programs compose and are used by nobody but e2e/");
    }
    None
}

/// Why `of` may not name `dependency`, which comes from outside. Tests and what is for development are free.
fn refuse_foreign(map: &Map, of: &Crate, dependency: &Dependency) -> Refusal {
    let layer = map.layer(&of.path)?;
    let name = &dependency.name;
    if dependency.for_tests || layer == Layer::Development {
        return None;
    }
    if layer == Layer::Pure && !map.is_pure(name) {
        return Some((
            format!("`{}` is pure and names `{name}`", of.path),
            format!("if it does no I/O and knows no clock, chance or environment, add it to \"What pure crates may use\" in {PAGE}"),
        ));
    }
    let homes = map.homes(name)?;
    (!homes.contains(&of.path)).then(|| {
        let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
        (format!("`{}` names `{name}`", of.path), format!("its homes are {}; ask one of them through a trait", homes.join(", ")))
    })
}
