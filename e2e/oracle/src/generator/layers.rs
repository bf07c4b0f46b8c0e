//! Layers of kustomizations: directories, their resource files, and one field of the kustomization after another, each with its own chance.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Value, json};

use super::known;
use super::objects::{self, Known};
use super::pen::{self, Style};
use super::words::{LABEL_VALUES, NAMES, odd_text, raw_scalar};
use super::{Case, configurations, patches, replacements};
use crate::Chance;

/// Makes a case.
pub(super) fn case(chance: &mut Chance) -> Case {
    let mut maker =
        Maker { chance, files: BTreeMap::new(), variables: Vec::new(), replaces: false, taken: Vec::new(), generated: Vec::new() };
    let depth = *maker.chance.pick(&[1, 1, 1, 2, 2, 2, 3, 3, 4]);
    let names = ["base", "overlay", "envs/prod", "top"];
    let mut known = Vec::new();
    let mut below: Vec<String> = Vec::new();
    for (level, dir) in names.iter().take(depth).enumerate() {
        if level > 0 && maker.chance.percent(15) {
            // A second base beside the first.
            let side = format!("side{level}");
            let mut more = Vec::new();
            let generated = std::mem::take(&mut maker.generated);
            maker.layer(&side, Role::Base, &[], &mut more, false);
            maker.generated.extend(generated);
            known.append(&mut more);
            below.push(side);
        }
        let role = if level == 0 { Role::Base } else { Role::Overlay };
        maker.layer(dir, role, &below, &mut known, level + 1 == depth);
        below = vec![(*dir).to_owned()];
    }
    Case { files: maker.files, dir: names[depth - 1].to_owned() }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Base,
    Overlay,
    Component,
}

struct Maker<'a> {
    chance: &'a mut Chance,
    files: BTreeMap<String, String>,
    variables: Vec<String>,
    /// Whether there are replacements.
    replaces: bool,
    /// Kinds and names in use, so that few cases fail by giving a name twice.
    taken: Vec<(String, String)>,
    /// Generated ConfigMaps and Secrets, by field and name, that later layers can merge with.
    generated: Vec<(&'static str, String)>,
}

/// The way from one directory of the tree to another.
fn relative(from: &str, to: &str) -> String {
    let (mut from, mut to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    while !from.is_empty() && !to.is_empty() && from[0] == to[0] {
        from.remove(0);
        to.remove(0);
    }
    let mut steps = vec![".."; from.len()];
    steps.extend(to);
    steps.join("/")
}

impl Maker<'_> {
    /// Writes the directory `dir`, whose kustomization builds on the directories `below`. `known` is what it can speak of.
    fn layer(&mut self, dir: &str, role: Role, below: &[String], known: &mut Vec<Known>, top: bool) {
        let mut fields = json!({});
        if self.chance.percent(60) || role == Role::Component {
            let version = if role == Role::Component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
            fields["apiVersion"] = json!(version);
            fields["kind"] = json!(if role == Role::Component { "Component" } else { "Kustomization" });
        }
        self.resources(dir, role, below, known, &mut fields);
        self.names_and_labels(&mut fields);
        self.generators(dir, known, &mut fields);
        if !known.is_empty() {
            self.changes(dir, known, &mut fields);
            self.copies(dir, known, &mut fields);
        }
        self.plugins(dir, known, &mut fields);
        self.settings(dir, top, &mut fields);
        if role == Role::Overlay && self.chance.percent(20) {
            let component = format!("{dir}/part");
            self.layer(&component, Role::Component, &[], known, false);
            fields["components"] = json!([relative(dir, &component)]);
        }
        if self.chance.permille(4) {
            fields[*self.chance.pick(&["unknownField", "resource", "metadata"])] = json!({"name": "x"});
        }
        if let Value::Object(map) = &fields
            && map.keys().all(|key| key == "apiVersion" || key == "kind")
        {
            fields["namePrefix"] = json!("only-");
        }
        let style = if self.chance.percent(50) { Style::plain() } else { Style::of(self.chance).strict() };
        let text = pen::file(self.chance, style, &[fields]);
        let name =
            *self.chance.pick(&["kustomization.yaml", "kustomization.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization"]);
        self.files.insert(format!("{dir}/{name}"), text);
    }

    fn write(&mut self, dir: &str, stem: &str, extension: &str, text: String) -> String {
        let mut number = 0;
        loop {
            let name = if number == 0 { format!("{stem}.{extension}") } else { format!("{stem}-{number}.{extension}") };
            let path = format!("{dir}/{name}");
            if let Entry::Vacant(free) = self.files.entry(path) {
                free.insert(text);
                return name;
            }
            number += 1;
        }
    }

    fn write_yaml(&mut self, dir: &str, stem: &str, documents: &[Value]) -> String {
        let style = Style::of(self.chance);
        let text = pen::file(self.chance, style, documents);
        self.write(dir, stem, "yaml", text)
    }

    fn fresh_name(&mut self, kind: &str) -> String {
        let name = self.chance.pick(NAMES);
        let number = self.taken.iter().filter(|(other, known)| other == kind && known.starts_with(name)).count();
        let name = if number == 0 { (*name).to_owned() } else { format!("{name}-{number}") };
        self.taken.push((kind.to_owned(), name.clone()));
        name
    }

    fn resources(&mut self, dir: &str, role: Role, below: &[String], known: &mut Vec<Known>, fields: &mut Value) {
        let mut resources: Vec<Value> = below.iter().map(|other| json!(relative(dir, other))).collect();
        let count = match role {
            Role::Base => self.chance.between(1, 6),
            Role::Overlay => *self.chance.pick(&[0, 0, 0, 1, 2]),
            Role::Component => *self.chance.pick(&[0, 0, 1]),
        };
        let mut made: Vec<Value> = Vec::new();
        for _ in 0..count {
            let name = self.fresh_name("object");
            let value = objects::object(self.chance, known, &name);
            known.push(Known::of(value.clone()));
            made.push(value);
        }
        if self.chance.permille(3) && !made.is_empty() {
            made.push(made[0].clone());
        }
        while !made.is_empty() {
            let share = self.chance.between(1, 3).min(made.len());
            let mut documents: Vec<Value> = made.drain(..share).collect();
            if self.chance.percent(6) {
                let kind = if documents.iter().all(|value| value["kind"] == "ConfigMap") { "ConfigMapList" } else { "List" };
                documents = vec![json!({"apiVersion": "v1", "kind": kind, "items": documents})];
            }
            let stem = *self.chance.pick(&["app", "resources", "sub/more"]);
            let name = self.write_yaml(dir, stem, &documents);
            resources.push(json!(if self.chance.percent(8) { format!("./{name}") } else { name }));
        }
        if self.chance.permille(3) {
            resources.push(json!("missing.yaml"));
        }
        if self.chance.percent(10) {
            self.chance.shuffle(&mut resources);
        }
        if !below.is_empty() && self.chance.percent(5) {
            let (bases, files): (Vec<Value>, Vec<Value>) =
                resources.into_iter().partition(|path| path.as_str().is_some_and(|path| path.contains("..")));
            fields["bases"] = Value::Array(bases);
            resources = files;
        }
        if !resources.is_empty() {
            fields["resources"] = Value::Array(resources);
        }
    }

    fn generators(&mut self, dir: &str, known: &mut Vec<Known>, fields: &mut Value) {
        for (field, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            if !self.chance.percent(25) {
                continue;
            }
            let mut entries = Vec::new();
            for _ in 0..self.chance.between(1, 2) {
                let earlier: Vec<String> =
                    self.generated.iter().filter(|(other, _)| *other == field).map(|(_, name)| name.clone()).collect();
                let mut entry = self.sources(dir);
                if !earlier.is_empty() && self.chance.percent(if fields.get("namespace").is_none() { 50 } else { 5 }) {
                    entry["name"] = json!(self.chance.pick(&earlier));
                    entry["behavior"] = json!(self.chance.pick(&["merge", "merge", "replace"]));
                } else {
                    let name = format!("{}-gen", self.fresh_name(field));
                    entry["name"] = json!(name);
                    let mut metadata = json!({"name": name});
                    if self.chance.percent(4) {
                        entry["namespace"] = json!("prod");
                        metadata["namespace"] = json!("prod");
                    }
                    known.push(Known::of(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata})));
                    if entry.get("namespace").is_none() {
                        self.generated.push((field, name));
                    }
                    if self.chance.percent(10) {
                        entry["behavior"] = json!(self.chance.pick(&["create", "create", "create", "create", "unspecified"]));
                    }
                }
                if field == "secretGenerator" && self.chance.percent(40) {
                    entry["type"] = json!(self.chance.pick(&["Opaque", "kubernetes.io/tls", "example.com/own"]));
                }
                if self.chance.percent(20) {
                    entry["options"] = self.options();
                }
                entries.push(entry);
            }
            fields[field] = Value::Array(entries);
        }
        if self.chance.percent(10) {
            fields["generatorOptions"] = self.options();
        }
    }

    fn options(&mut self) -> Value {
        let mut options = json!({});
        if self.chance.percent(50) {
            options["disableNameSuffixHash"] = json!(self.chance.percent(70));
        }
        if self.chance.percent(25) {
            options["immutable"] = json!(true);
        }
        if self.chance.percent(35) {
            options["labels"] = json!({"gen": "yes", (if known::ODD_KEYS && self.chance.percent(3) { "n" } else { "num" }): "1"});
        }
        if self.chance.percent(35) {
            options["annotations"] = json!({"gen": odd_text(self.chance)});
        }
        options
    }

    fn sources(&mut self, dir: &str) -> Value {
        let mut entry = json!({});
        if self.chance.percent(65) {
            let literals = [
                "a=b",
                "b='single'",
                "c=\"double\"",
                "d=",
                "e=x=y",
                "f=two words",
                "g='un\"even'",
                "h=1",
                "i=true",
                "j=  blank ",
                "k=line\\n",
                "l=\"open",
                "m=ä",
                "n={\"x\": 1}",
                "o=#no",
                "p=$(NAME)",
                "q='",
                "r=\"\"",
                "s.t-u_v=w",
            ];
            let mut chosen: Vec<Value> = Vec::new();
            for literal in literals {
                if self.chance.percent(12) {
                    chosen.push(json!(literal));
                }
            }
            if chosen.is_empty() {
                chosen.push(json!("only=one"));
            }
            if self.chance.percent(10) {
                self.chance.shuffle(&mut chosen);
            }
            entry["literals"] = Value::Array(chosen);
        }
        if self.chance.percent(45) {
            let mut files = Vec::new();
            for _ in 0..self.chance.between(1, 2) {
                let text = odd_text(self.chance);
                let stem = *self.chance.pick(&["file", "conf/app", "x.y"]);
                let name = self.write(dir, stem, "txt", text);
                let key = format!("file-{}", self.files.len());
                files.push(json!(if self.chance.percent(60) { format!("{key}={name}") } else { name }));
            }
            entry["files"] = Value::Array(files);
        }
        if self.chance.percent(25) {
            let lines =
                ["E1=one", "# comment", "", "E2=two words", "E3=\"quoted\"", "  E4=x", "E5=", "E6=a=b", "E7='q' ", "E8=ü", "E9=# x"];
            let mut text = String::new();
            for line in lines {
                if self.chance.percent(50) {
                    text.push_str(line);
                    text.push_str(if self.chance.percent(5) { "\r\n" } else { "\n" });
                }
            }
            let name = self.write(dir, "vars", "env", text);
            entry[if self.chance.percent(90) { "envs" } else { "env" }] = json!(name);
            if entry.get("envs").is_some() {
                entry["envs"] = json!([name]);
            }
        }
        entry
    }

    fn names_and_labels(&mut self, fields: &mut Value) {
        if self.chance.percent(25) {
            fields["namePrefix"] = json!(self.chance.pick(&["pre-", "dev-", "x"]));
        }
        if self.chance.percent(15) {
            fields["nameSuffix"] = json!(self.chance.pick(&["-v1", "-suf", "x"]));
        }
        if self.chance.percent(20) {
            fields["namespace"] = json!(self.chance.pick(&["prod", "staging", "default", "team-a"]));
        }
        if self.chance.percent(15) {
            fields["commonLabels"] = json!({"app": self.chance.pick(LABEL_VALUES), "managed": "yes"});
        }
        if self.chance.percent(20) {
            let mut entries = Vec::new();
            for index in 0..self.chance.between(1, 2) {
                let mut entry = json!({"pairs": {(format!("label-{index}")): self.chance.pick(LABEL_VALUES), "env": format!("e{index}")}});
                if self.chance.percent(30) {
                    entry["includeSelectors"] = json!(self.chance.percent(80));
                }
                if self.chance.percent(30) {
                    entry["includeTemplates"] = json!(true);
                }
                if self.chance.percent(20) {
                    entry["fields"] = json!([{"path": "spec/extra/labels", "create": self.chance.percent(70), "kind": self.chance.pick(&["Deployment", "Widget", "Service"])}]);
                }
                entries.push(entry);
            }
            fields["labels"] = Value::Array(entries);
        }
        if self.chance.percent(15) {
            let value = if self.chance.percent(50) { odd_text(self.chance) } else { raw_scalar(self.chance) };
            let value = if value.starts_with(pen::RAW) && self.chance.percent(97) { "plain".to_owned() } else { value };
            fields["commonAnnotations"] = json!({"who": "team", "example.com/text": value});
        }
    }

    fn changes(&mut self, dir: &str, known: &[Known], fields: &mut Value) {
        if self.chance.percent(36) {
            let mut entries = Vec::new();
            for _ in 0..*self.chance.pick(&[1, 1, 2, 3]) {
                let mut files = Vec::new();
                let entry = patches::entry(self.chance, known, &mut |chance, text| {
                    let name = format!("patch-{}.yaml", chance.below(100_000));
                    files.push((name.clone(), text));
                    name
                });
                for (name, text) in files {
                    self.files.insert(format!("{dir}/{name}"), text);
                }
                entries.push(entry);
            }
            fields["patches"] = Value::Array(entries);
        }
        if self.chance.percent(14) {
            let mut entries = Vec::new();
            for _ in 0..self.chance.between(1, 2) {
                let aim = self.chance.pick(known);
                let patch = patches::strategic(self.chance, aim);
                if self.chance.percent(50) {
                    entries.push(json!(pen::plainly(self.chance, &patch)));
                } else {
                    let mut documents = vec![patch];
                    if self.chance.percent(25) {
                        let aim = self.chance.pick(known);
                        documents.push(patches::strategic(self.chance, aim));
                    }
                    entries.push(json!(self.write_yaml(dir, "merge", &documents)));
                }
            }
            fields["patchesStrategicMerge"] = Value::Array(entries);
        }
        if self.chance.percent(10) {
            let aim = self.chance.pick(known);
            let body = patches::json_patch(self.chance, aim);
            let text = patches::write(self.chance, true, &body);
            let mut target = json!({"version": aim.version(), "kind": aim.kind, "name": aim.name});
            if !aim.group().is_empty() {
                target["group"] = json!(aim.group());
            }
            let mut entry = json!({"target": target});
            if self.chance.percent(50) {
                entry["patch"] = json!(text);
            } else {
                entry["path"] = json!(self.write(dir, "json6902", "yaml", text));
            }
            fields["patchesJson6902"] = json!([entry]);
        }
        if self.chance.percent(20) {
            let mut entries = Vec::new();
            for _ in 0..self.chance.between(1, 2) {
                let name = *self.chance.pick(&[
                    "nginx",
                    "redis",
                    "registry.example.com/team/app",
                    "localhost:5000/x",
                    "db",
                    "a/b/c",
                    "*/nginx",
                    "nothing",
                ]);
                let mut entry = json!({"name": name});
                for (key, value, chance) in [
                    ("newName", "mirror.example.com/new", 40),
                    ("newTag", "v2", 50),
                    ("digest", "sha256:24a0c4b4", 15),
                    ("tagSuffix", "-suffix", 10),
                ] {
                    if self.chance.percent(chance) {
                        entry[key] = json!(value);
                    }
                }
                if entry.get("digest").is_some() && self.chance.percent(80) {
                    entry.as_object_mut().map(|map| map.remove("tagSuffix"));
                }
                if entry.get("newTag").is_some() && self.chance.percent(85) {
                    entry.as_object_mut().map(|map| map.remove("tagSuffix"));
                }
                if self.chance.permille(5) {
                    entry["newTag"] = json!(1.10);
                }
                entries.push(entry);
            }
            fields[if self.chance.percent(95) { "images" } else { "imageTags" }] = Value::Array(entries);
        }
        let scalable: Vec<&Known> =
            known.iter().filter(|known| matches!(known.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet")).collect();
        if !scalable.is_empty() && self.chance.percent(18) {
            let name = &self.chance.pick(&scalable).name;
            let mut entries = vec![json!({"name": name, "count": self.chance.below(9)})];
            if self.chance.percent(1) {
                entries.push(json!({"name": "nobody", "count": 2}));
            }
            fields["replicas"] = Value::Array(entries);
        }
    }

    fn copies(&mut self, dir: &str, known: &[Known], fields: &mut Value) {
        let may_replace = known::TYPES_OF_REPLACEMENTS || self.variables.is_empty();
        if may_replace && self.chance.percent(18) {
            self.replaces = true;
            let mut entries: Vec<Value> = (0..self.chance.between(1, 2)).map(|_| replacements::replacement(self.chance, known)).collect();
            if self.chance.percent(25) {
                let one = replacements::replacement(self.chance, known);
                let one = if self.chance.percent(50) { one } else { json!([one]) };
                entries.push(json!({"path": self.write_yaml(dir, "replacement", &[one])}));
            }
            fields["replacements"] = Value::Array(entries);
        }
        let may_have_variables = known::TYPES_OF_REPLACEMENTS || !self.replaces;
        if may_have_variables && self.chance.percent(12) {
            let variables = replacements::variables(self.chance, known, &mut self.variables);
            if variables.as_array().is_some_and(|list| !list.is_empty()) {
                fields["vars"] = variables;
            }
        }
    }

    fn plugins(&mut self, dir: &str, known: &[Known], fields: &mut Value) {
        if !known.is_empty() && self.chance.percent(12) {
            let entry = configurations::transformer(self.chance, known);
            fields["transformers"] = json!([self.plugin(dir, "transformer", &entry)]);
        }
        if self.chance.percent(8) {
            let name = format!("{}-plug", self.fresh_name("plugin"));
            let entry = configurations::generator(self.chance, &name);
            fields["generators"] = json!([self.plugin(dir, "generator", &entry)]);
        }
        if !known.is_empty() && self.chance.percent(4) {
            let entry = configurations::validator(self.chance, known);
            fields["validators"] = json!([self.plugin(dir, "validator", &entry)]);
        }
    }

    /// A plugin's configuration inline, in a file, or in a directory with a kustomization.
    fn plugin(&mut self, dir: &str, stem: &str, entry: &Value) -> String {
        match self.chance.below(5) {
            0 | 1 => pen::plainly(self.chance, entry),
            2 => {
                let inner = format!("{dir}/{stem}s");
                let name = self.write_yaml(&inner, stem, std::slice::from_ref(entry));
                let text = pen::plainly(self.chance, &json!({"resources": [name]}));
                self.files.insert(format!("{inner}/kustomization.yaml"), text);
                format!("{stem}s")
            }
            _ => self.write_yaml(dir, stem, std::slice::from_ref(entry)),
        }
    }

    fn settings(&mut self, dir: &str, top: bool, fields: &mut Value) {
        if self.chance.percent(10) {
            let value = configurations::field_specifications(self.chance);
            fields["configurations"] = json!([self.write_yaml(dir, "configuration", &[value])]);
        }
        if self.chance.percent(5) {
            let text = configurations::definitions().to_string();
            fields["crds"] = json!([self.write(dir, "crd", "json", text)]);
        }
        if self.chance.percent(if top { 6 } else { 2 }) {
            if self.chance.percent(70) {
                let schema = configurations::schema();
                let text = if self.chance.percent(50) { schema.to_string() } else { pen::plainly(self.chance, &schema) };
                fields["openapi"] = json!({"path": self.write(dir, "schema", "json", text)});
            } else {
                fields["openapi"] = json!({"version": if self.chance.percent(95) { "v1.21.2" } else { "v1.20.4" }});
            }
        }
        if self.chance.percent(if top { 15 } else { 3 }) {
            let mut options = json!({"order": self.chance.pick(&["legacy", "fifo"])});
            if options["order"] == "legacy" && self.chance.percent(40) {
                options["legacySortOptions"] = json!({"orderFirst": ["Deployment", "Namespace"], "orderLast": ["ConfigMap", "Service"]});
            }
            fields["sortOptions"] = options;
        }
        if self.chance.percent(10) {
            let all = ["managedByLabel", "originAnnotations", "transformerAnnotations"];
            let chosen: Vec<&str> = all.into_iter().filter(|_| self.chance.percent(45)).collect();
            fields["buildMetadata"] = json!(chosen);
        }
    }
}
