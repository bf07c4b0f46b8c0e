//! Documents of one file: from text to typed documents of each kind, with findings. References to other documents, the fleet's defaults and
//! the meaning of a file's place are left to `read` and `link`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use shared_expression::jq::JqPath;
use shared_manifest::{Content, Node, YamlBudget, YamlMode, parse_yaml_spanned};
use shared_model::{AppName, ClusterName, GroupName, ProjectName, RegionName, RolloutName, Severity, SourceName, StageName};

use crate::amount::Share;
use crate::fleet::{
    Apply, Approval, Conflicts, EachRegion, Heal, IgnoreDifference, MetricGate, OnDelete, OnFailure, PathChoice, Stage, Supersede, WhenLost,
};
use crate::fleet::{CLUSTER_LABEL, REGION_LABEL};
use crate::health::{HealthCheckExpr, decode_health};
use crate::helm::{ChartFrom, FileParameter, HelmSource, Parameter, ValuesFrom, ValuesKind, check_chart_name};
use crate::kinds::{API_VERSION, Kind};
use crate::label::{Labels, Requirement, Selector};
use crate::layers::{ImageLayer, KustomizeLayers, PatchLayer, PatchTarget, PostBuild, SubstituteStrategy};
use crate::near::nearest;
use crate::problem::ProblemCode;
use crate::project::KindGlob;
use crate::rule::Rule;
use crate::table::{At, Fields, Finding, Findings, Item, Mark, read_record};
use crate::template::Template;

/// The prefix of labels that agents will report about their clusters.
const FACTS_PREFIX: &str = "facts.capstan.dev/";

/// What one file says, whatever its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ParsedFile {
    /// It is not YAML.
    Broken(Finding),
    /// Its documents, without empty ones.
    Documents(Vec<Document>),
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Document {
    /// Of the fleet language.
    Ours(Box<Ours>),
    /// Of another API.
    Foreign {
        /// What to say where only ours may stand.
        finding: Finding,
        /// It looks like a slip in one of ours, so that it counts as one everywhere.
        suspicious: bool,
    },
}

/// One document of the fleet language.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ours {
    /// Where it begins.
    pub(crate) mark: Mark,
    pub(crate) kind: Kind,
    /// Its name, if that can be told, and where it stands.
    pub(crate) name: Option<At<String>>,
    /// What it says; `None` if there are findings.
    pub(crate) body: Option<Body>,
    pub(crate) findings: Vec<Finding>,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Fleet(FleetDoc),
    Region(RegionDoc),
    Cluster(ClusterDoc),
    Project(ProjectDoc),
    Rollout(RolloutDoc),
    App(Box<AppDoc>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct FleetDoc {
    pub(crate) approvers: BTreeMap<GroupName, BTreeSet<String>>,
    pub(crate) project: Option<At<ProjectName>>,
    pub(crate) rollout: Option<At<RolloutName>>,
    pub(crate) service_account: Option<String>,
    pub(crate) prune: Option<bool>,
    pub(crate) heal: Option<Heal>,
    pub(crate) apply: Option<Apply>,
    pub(crate) conflicts: Option<Conflicts>,
    pub(crate) create_namespace: Option<bool>,
    pub(crate) on_delete: Option<OnDelete>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RegionDoc {
    pub(crate) labels: Labels,
    pub(crate) vars: BTreeMap<String, Template>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterDoc {
    pub(crate) labels: Labels,
    pub(crate) region: Option<At<RegionName>>,
    pub(crate) vars: BTreeMap<String, Template>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProjectDoc {
    pub(crate) description: String,
    pub(crate) sources: BTreeSet<String>,
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) service_account: Option<String>,
    pub(crate) target: TargetDoc,
    pub(crate) kinds: Option<Vec<KindGlob>>,
    pub(crate) cluster_kinds: Vec<KindGlob>,
    pub(crate) denied_kinds: Vec<KindGlob>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RolloutDoc {
    pub(crate) supersede: Supersede,
    pub(crate) stages: Vec<StageDoc>,
}

/// A stage whose target is still to be checked; `stage.target` is empty until then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageDoc {
    pub(crate) stage: Stage,
    pub(crate) target: TargetDoc,
    pub(crate) approval_group: Option<At<GroupName>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppDoc {
    pub(crate) labels: Labels,
    pub(crate) project: Option<At<ProjectName>>,
    pub(crate) namespace: Option<At<Template>>,
    pub(crate) service_account: Option<At<String>>,
    pub(crate) create_namespace: Option<bool>,
    pub(crate) source: At<SourceDoc>,
    pub(crate) target: TargetDoc,
    pub(crate) vars: BTreeMap<String, Template>,
    pub(crate) kustomize: KustomizeLayers<At<Template>>,
    pub(crate) post_build: Option<PostBuild<At<Template>>>,
    pub(crate) depends_on: Vec<At<AppName>>,
    pub(crate) rollout: Option<At<RolloutName>>,
    pub(crate) prune: Option<bool>,
    pub(crate) heal: Option<Heal>,
    pub(crate) apply: Option<Apply>,
    pub(crate) conflicts: Option<Conflicts>,
    pub(crate) on_delete: Option<OnDelete>,
    pub(crate) ignore_differences: Vec<IgnoreDifference>,
    pub(crate) health_check_exprs: Vec<HealthCheckExpr>,
}

/// `source` as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SourceDoc {
    pub(crate) name: Option<SourceName>,
    pub(crate) path: PathChoice,
    pub(crate) helm: Option<HelmSource<At<Template>>>,
}

/// `clusters` and `regions` as written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TargetDoc {
    pub(crate) names: Vec<At<ClusterName>>,
    pub(crate) selector: Selector,
    /// `None` is every region.
    pub(crate) regions: Option<Vec<At<RegionName>>>,
    /// Where `clusters`, or else `regions`, stands.
    pub(crate) mark: Option<Mark>,
}

/// Reads the text of a file.
pub(crate) fn parse_file(text: &str) -> ParsedFile {
    match parse_yaml_spanned(text, YamlMode::Kustomize, YamlBudget::CONFIGURATION) {
        Err(error) => ParsedFile::Broken(Finding {
            mark: Mark { line: error.line.max(1), column: error.column.max(1) },
            severity: Severity::Error,
            code: ProblemCode::InvalidYaml,
            message: error.problem.to_string(),
            hint: None,
        }),
        Ok(nodes) => ParsedFile::Documents(nodes.iter().map(parse_document).collect()),
    }
}

fn parse_document(node: &Node) -> Document {
    let mark = Mark::of(node);
    let (api_version, kind) = (text_of(node, "apiVersion"), text_of(node, "kind"));
    match (&api_version, &kind) {
        (Some(version), Some(kind)) if version.value == API_VERSION => match Kind::parse(&kind.value) {
            Some(known) => Document::Ours(Box::new(parse_ours(node, known))),
            None => foreign(kind.mark(), ProblemCode::UnknownKind, unknown_kind(&kind.value), true),
        },
        (Some(version), None) if version.value == API_VERSION => {
            let message = "the document has no \"kind\"".to_owned();
            foreign(mark, ProblemCode::MissingField, (message, Some(format!("the kinds are {}", kinds()))), true)
        }
        (Some(version), _) => {
            let group = version.value.rsplit_once('/').map_or("", |(group, _)| group);
            let near = nearest(group, ["capstan.dev"]).is_some();
            let message = format!("apiVersion \"{}\" is not that of the fleet language", version.value);
            let hint = if group == "capstan.dev" || near {
                format!("this hub knows {API_VERSION}")
            } else {
                format!("only documents of {API_VERSION} stand here; manifests belong below apps/, in files not called app.yaml")
            };
            foreign(version.mark(), ProblemCode::BadApiVersion, (message, Some(hint)), near)
        }
        (None, kind) => {
            let suspicious = kind.as_ref().is_some_and(|kind| Kind::parse(&kind.value).is_some()) || misspelt(node);
            let message = "the document has no \"apiVersion\"".to_owned();
            foreign(mark, ProblemCode::MissingField, (message, Some(format!("write apiVersion: {API_VERSION}"))), suspicious)
        }
    }
}

fn foreign(at: Mark, code: ProblemCode, (message, hint): (String, Option<String>), suspicious: bool) -> Document {
    let finding = Finding { mark: at, severity: Severity::Error, code, message, hint };
    Document::Foreign { finding, suspicious }
}

fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

fn unknown_kind(kind: &str) -> (String, Option<String>) {
    let hint = match nearest(kind, Kind::ALL.map(Kind::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("the kinds are {}", kinds()),
    };
    (format!("\"{kind}\" is no kind of {API_VERSION}"), Some(hint))
}

/// A document without `apiVersion` that has a field nearly called so.
fn misspelt(node: &Node) -> bool {
    let Content::Map(entries) = &node.content else { return false };
    entries.iter().any(|(key, _)| nearest(&key.text, ["apiVersion"]).is_some())
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Content::Map(entries) = &node.content else { return None };
    entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
}

fn text_of(node: &Node, name: &str) -> Option<At<String>> {
    let value = entry(node, name)?;
    let Content::String(text) = &value.content else { return None };
    Some(Mark::of(value).at(text.clone()))
}

fn parse_ours(node: &Node, kind: Kind) -> Ours {
    let mut findings = Findings::default();
    let named = entry(node, "metadata").and_then(|metadata| text_of(metadata, "name"));
    let name = named.filter(|name| kind.name_rule().check(&name.value).is_ok());
    let body = match kind.record() {
        None => {
            let message = format!("kind {} is not supported yet; nobody is told anything because of this document", kind.as_str());
            findings.error(Mark::of(node), ProblemCode::NotHonoured, message, None);
            None
        }
        Some(record) => {
            let fields = read_record(node, record, &mut findings);
            let body = fields.and_then(|fields| decode(kind, fields, &mut findings));
            if body.is_none() && findings.is_empty() {
                let message = "BUG: the document follows its table and cannot be read all the same; please report it".to_owned();
                findings.error(Mark::of(node), ProblemCode::InvalidValue, message, None);
            }
            body.filter(|_| findings.is_empty())
        }
    };
    Ours { mark: Mark::of(node), kind, name, body, findings: findings.into_list() }
}

fn decode(kind: Kind, mut fields: Fields, findings: &mut Findings) -> Option<Body> {
    let mut metadata = fields.record("metadata")?.value;
    let labels = metadata.map("labels").map(|labels| labels.value).unwrap_or_default();
    if matches!(kind, Kind::Region | Kind::Cluster) {
        reserved(&labels, findings);
    }
    let labels = plain(labels);
    let spec = fields.record("spec").map(|spec| spec.value);
    match kind {
        Kind::Fleet => decode_fleet(spec.unwrap_or_default(), findings).map(Body::Fleet),
        Kind::Region => {
            let vars = vars(&mut spec.unwrap_or_default())?;
            Some(Body::Region(RegionDoc { labels, vars }))
        }
        Kind::Cluster => {
            let mut spec = spec.unwrap_or_default();
            let vars = vars(&mut spec)?;
            Some(Body::Cluster(ClusterDoc { labels, region: name(&mut spec, "region")?, vars }))
        }
        Kind::Project => decode_project(spec?, findings).map(Body::Project),
        Kind::Rollout => decode_rollout(spec?, findings).map(Body::Rollout),
        Kind::App => decode_app(labels, spec?, findings).map(|app| Body::App(Box::new(app))),
        Kind::Notify => None,
    }
}

/// A cluster's own `region` label would contradict where it is, and its own facts what agents say.
fn reserved(labels: &BTreeMap<String, At<String>>, findings: &mut Findings) {
    for (label, value) in labels {
        if [REGION_LABEL, CLUSTER_LABEL].contains(&label.as_str()) {
            let message = format!("the label \"{label}\" is given by Capstan: every cluster has it with the {label}'s name");
            findings.error(value.mark(), ProblemCode::InvalidValue, message, Some("take it out".to_owned()));
        } else if label.starts_with(FACTS_PREFIX) {
            let message = format!("the label \"{label}\" is kept for what agents report about their clusters");
            findings.error(value.mark(), ProblemCode::InvalidValue, message, Some("use another prefix".to_owned()));
        }
    }
}

fn decode_fleet(mut spec: Fields, findings: &mut Findings) -> Option<FleetDoc> {
    let mut approvers = BTreeMap::new();
    for group in spec.records("approverGroups") {
        let mark = group.mark();
        let mut group = group.value;
        let Some(name) = required_name::<GroupName>(&mut group, "name") else { continue };
        let members: BTreeSet<String> = plain_list(group.texts("members")).into_iter().collect();
        if approvers.insert(name.value.clone(), members).is_some() {
            findings.error(mark, ProblemCode::DuplicateName, format!("two groups of approvers are called {}", name.value), None);
        }
    }
    let mut defaults = spec.record("defaults").map(|defaults| defaults.value).unwrap_or_default();
    Some(FleetDoc {
        approvers,
        project: name(&mut defaults, "project")?,
        rollout: name(&mut defaults, "rollout")?,
        service_account: defaults.text("serviceAccount").map(|account| account.value),
        prune: flag(&mut defaults, "prune"),
        heal: heal(&mut defaults)?,
        apply: apply(&mut defaults)?,
        conflicts: conflicts(&mut defaults)?,
        create_namespace: flag(&mut defaults, "createNamespace"),
        on_delete: on_delete(&mut defaults)?,
    })
}

fn decode_project(mut spec: Fields, findings: &mut Findings) -> Option<ProjectDoc> {
    let has_kinds = spec.list("kinds");
    Some(ProjectDoc {
        description: spec.text("description").map(|text| text.value).unwrap_or_default(),
        sources: plain_list(spec.texts("sources")).into_iter().collect(),
        namespaces: plain_list(spec.texts("namespaces")).into_iter().collect(),
        service_account: spec.text("serviceAccount").map(|account| account.value),
        target: target(&mut spec, findings)?,
        kinds: has_kinds.map(|list| list.value.into_iter().filter_map(kind_glob_item).collect()),
        cluster_kinds: spec.records("clusterKinds").into_iter().filter_map(|glob| kind_glob(glob.value)).collect(),
        denied_kinds: spec.records("deniedKinds").into_iter().filter_map(|glob| kind_glob(glob.value)).collect(),
    })
}

fn kind_glob_item(item: At<Item>) -> Option<KindGlob> {
    if let Item::Record(fields) = item.value { kind_glob(fields) } else { None }
}

fn kind_glob(mut fields: Fields) -> Option<KindGlob> {
    Some(KindGlob { group: fields.text("group").map(|text| text.value).unwrap_or_default(), kind: fields.text("kind")?.value })
}

fn decode_rollout(mut spec: Fields, findings: &mut Findings) -> Option<RolloutDoc> {
    let supersede = match spec.word("supersede").map(|word| word.value) {
        None | Some("queue") => Supersede::Queue,
        Some("replace") => Supersede::Replace,
        Some(_) => return None,
    };
    let built_in = Policy {
        max_concurrency: Share::Count(1),
        soak: std::time::Duration::ZERO,
        deadline: std::time::Duration::from_secs(30 * 60),
        max_failures: Share::Count(0),
        on_failure: OnFailure::Hold,
        when_lost: WhenLost::Wait,
    };
    let defaults = match spec.record("defaults") {
        Some(mut defaults) => built_in.with(&mut defaults.value, findings)?,
        None => built_in,
    };
    let mut stages: Vec<StageDoc> = Vec::new();
    for stage in spec.records("stages") {
        let mark = stage.mark();
        let Some(stage) = decode_stage(stage.value, &defaults, findings) else { continue };
        if stages.iter().any(|other| other.stage.name == stage.stage.name) {
            findings.error(mark, ProblemCode::DuplicateName, format!("two stages are called {}", stage.stage.name), None);
        }
        stages.push(stage);
    }
    (!stages.is_empty()).then_some(RolloutDoc { supersede, stages })
}

/// What a rollout's defaults and its stages both say.
#[derive(Clone)]
struct Policy {
    max_concurrency: Share,
    soak: std::time::Duration,
    deadline: std::time::Duration,
    max_failures: Share,
    on_failure: OnFailure,
    when_lost: WhenLost,
}

impl Policy {
    fn with(&self, fields: &mut Fields, findings: &mut Findings) -> Option<Self> {
        let max_concurrency = fields.share("maxConcurrency");
        if let Some(zero) = max_concurrency.as_ref().filter(|share| matches!(share.value, Share::Count(0) | Share::Percent(0))) {
            let message = "\"maxConcurrency\" of 0 lets nothing begin; use \"approval\" to have a person begin a stage".to_owned();
            findings.error(zero.mark(), ProblemCode::InvalidValue, message, None);
        }
        let deadline = fields.duration("deadline");
        if let Some(zero) = deadline.as_ref().filter(|deadline| deadline.value.is_zero()) {
            findings.error(zero.mark(), ProblemCode::InvalidValue, "\"deadline\" of 0 fails every cluster at once".to_owned(), None);
        }
        Some(Self {
            max_concurrency: max_concurrency.map_or(self.max_concurrency, |share| share.value),
            soak: fields.duration("soak").map_or(self.soak, |soak| soak.value),
            deadline: deadline.map_or(self.deadline, |deadline| deadline.value),
            max_failures: fields.share("maxFailures").map_or(self.max_failures, |share| share.value),
            on_failure: match fields.word("onFailure").map(|word| word.value) {
                None => self.on_failure,
                Some("hold") => OnFailure::Hold,
                Some("rollback") => OnFailure::Rollback,
                Some(_) => return None,
            },
            when_lost: match fields.word("whenLost").map(|word| word.value) {
                None => self.when_lost,
                Some("wait") => WhenLost::Wait,
                Some("skip") => WhenLost::Skip,
                Some(_) => return None,
            },
        })
    }
}

fn decode_stage(mut fields: Fields, defaults: &Policy, findings: &mut Findings) -> Option<StageDoc> {
    let policy = defaults.with(&mut fields, findings)?;
    let target = target(&mut fields, findings)?;
    let each_region = match fields.word("eachRegion").map(|word| word.value) {
        None | Some("parallel") => EachRegion::Parallel,
        Some("sequential") => EachRegion::Sequential,
        Some(_) => return None,
    };
    let gates = fields.records("gate").into_iter().filter_map(|gate| decode_gate(gate.value)).collect();
    let mut approval_group = None;
    let approval = fields.record("approval").and_then(|approval| {
        let mut approval = approval.value;
        let group = required_name::<GroupName>(&mut approval, "group")?;
        approval_group = Some(group.clone());
        Some(Approval {
            group: group.value,
            count: approval.count("count").map_or(1, |count| count.value),
            expires: approval.duration("expires").map_or(std::time::Duration::from_secs(24 * 3600), |expires| expires.value),
        })
    });
    let stage = Stage {
        name: required_name::<StageName>(&mut fields, "name")?.value,
        target: crate::fleet::Target::default(),
        each_region,
        max_concurrency: policy.max_concurrency,
        soak: policy.soak,
        deadline: policy.deadline,
        max_failures: policy.max_failures,
        on_failure: policy.on_failure,
        when_lost: policy.when_lost,
        gates,
        approval,
    };
    Some(StageDoc { stage, target, approval_group })
}

fn decode_gate(mut fields: Fields) -> Option<MetricGate> {
    let mut prometheus = fields.record("prometheus")?.value;
    Some(MetricGate {
        name: required_name::<StageName>(&mut fields, "name")?.value,
        url: template(&mut prometheus, "url")?.value,
        query: prometheus.text("query")?.value,
        min: fields.number("min").map(|min| min.value),
        max: fields.number("max").map(|max| max.value),
    })
}

fn decode_app(labels: Labels, mut spec: Fields, findings: &mut Findings) -> Option<AppDoc> {
    let target = target(&mut spec, findings)?;
    let source = spec.record("source")?;
    let source_mark = source.mark();
    let source = decode_source(source.value, findings)?;
    let namespace = template(&mut spec, "namespace");
    let create_namespace = spec.flag("createNamespace");
    if let Some(create) = create_namespace.as_ref().filter(|create| create.value && namespace.is_none()) {
        let message = "\"createNamespace\" needs \"namespace\": there is none to create".to_owned();
        findings.error(create.mark(), ProblemCode::FieldConflict, message, None);
    }
    let depends_on = spec.records("dependsOn").into_iter().filter_map(|mut dependency| required_name(&mut dependency.value, "app"));
    let depends_on = depends_on.collect();
    Some(AppDoc {
        labels,
        project: name(&mut spec, "project")?,
        namespace,
        service_account: spec.text("serviceAccount"),
        create_namespace: create_namespace.map(|create| create.value),
        source: source_mark.at(source),
        target,
        vars: vars(&mut spec)?,
        kustomize: decode_kustomize(spec.record("kustomize").map(|fields| fields.value).unwrap_or_default()),
        post_build: spec.record("postBuild").map(|fields| decode_post_build(fields.value)),
        depends_on,
        rollout: name(&mut spec, "rollout")?,
        prune: flag(&mut spec, "prune"),
        heal: heal(&mut spec)?,
        apply: apply(&mut spec)?,
        conflicts: conflicts(&mut spec)?,
        on_delete: on_delete(&mut spec)?,
        ignore_differences: spec.records("ignoreDifferences").into_iter().filter_map(|item| decode_ignore(item.value)).collect(),
        health_check_exprs: decode_health(spec.records("healthCheckExprs"), findings),
    })
}

fn decode_source(mut fields: Fields, findings: &mut Findings) -> Option<SourceDoc> {
    let name = name(&mut fields, "name")?.map(|name| name.value);
    let helm = match fields.record("helm") {
        Some(helm) => Some(decode_helm(helm.value, findings)?),
        None => None,
    };
    let path = if let Some(helm) = &helm {
        let ChartFrom::Here(chart) = &helm.chart else {
            return decoded_source(name, PathChoice::One(Template::parse(".").ok()?), Some(helm.clone()));
        };
        PathChoice::One(chart.value.clone())
    } else if fields.holds_text("path") {
        PathChoice::One(template(&mut fields, "path")?.value)
    } else {
        let paths = plain_list(fields.record("path")?.value.texts("firstOf"));
        PathChoice::FirstOf(paths.iter().filter_map(|path| Template::parse(path).ok()).collect())
    };
    decoded_source(name, path, helm)
}

fn decoded_source(name: Option<SourceName>, path: PathChoice, helm: Option<HelmSource<At<Template>>>) -> Option<SourceDoc> {
    // The fleet repository by its name in projects is the same as leaving the name out.
    let name = name.filter(|name| name.as_str() != crate::project::FLEET_SOURCE);
    Some(SourceDoc { name, path, helm })
}

fn decode_helm(mut fields: Fields, findings: &mut Findings) -> Option<HelmSource<At<Template>>> {
    let chart = chart_from(&mut fields, findings)?;
    let file_parameter =
        |mut fields: Fields| Some(FileParameter { name: fields.text("name")?.value, path: template(&mut fields, "path")? });
    let parameter = |mut fields: Fields| {
        let (name, value) = (fields.text("name")?.value, template(&mut fields, "value")?);
        Some(Parameter { name, value, force_string: flag(&mut fields, "forceString").unwrap_or(false) })
    };
    let values_files = fields.texts("valuesFiles").map(|list| list.value).unwrap_or_default();
    Some(HelmSource {
        chart,
        release_name: template(&mut fields, "releaseName"),
        values_files: values_files.iter().filter_map(parsed_template).collect(),
        ignore_missing_values_files: flag(&mut fields, "ignoreMissingValueFiles").unwrap_or(false),
        values_from: fields.records("valuesFrom").into_iter().filter_map(|item| values_from(item.value)).collect(),
        values: fields.values("values").map(|values| values.value).unwrap_or_default(),
        parameters: fields.records("parameters").into_iter().filter_map(|item| parameter(item.value)).collect(),
        file_parameters: fields.records("fileParameters").into_iter().filter_map(|item| file_parameter(item.value)).collect(),
        skip_crds: flag(&mut fields, "skipCrds").unwrap_or(false),
        skip_hooks: flag(&mut fields, "skipHooks").unwrap_or(false),
        skip_tests: flag(&mut fields, "skipTests").unwrap_or(false),
        skip_schema_validation: flag(&mut fields, "skipSchemaValidation").unwrap_or(false),
        kube_version: fields.text("kubeVersion").map(|text| text.value),
        api_versions: plain_list(fields.texts("apiVersions")),
    })
}

fn values_from(mut fields: Fields) -> Option<ValuesFrom<At<Template>>> {
    let kind = match fields.word("kind")?.value {
        "Secret" => ValuesKind::Secret,
        _ => ValuesKind::ConfigMap,
    };
    Some(ValuesFrom {
        kind,
        name: template(&mut fields, "name")?,
        path: template(&mut fields, "path")?,
        key: fields.text("valuesKey").map_or_else(|| "values.yaml".to_owned(), |key| key.value),
        target_path: fields.text("targetPath").map(|path| path.value).filter(|path| !path.is_empty()),
        is_literal: flag(&mut fields, "literal").unwrap_or(false),
        is_optional: flag(&mut fields, "optional").unwrap_or(false),
    })
}

/// Where the chart is: `repo` makes `chart` a name, and without it `chart` is a path.
fn chart_from(fields: &mut Fields, findings: &mut Findings) -> Option<ChartFrom<At<Template>>> {
    let chart = template(fields, "chart")?;
    let (repo, version) = (fields.text("repo"), template(fields, "version"));
    let source = required_name::<SourceName>(fields, "source");
    let mut conflict = |mark, message: &str, hint: &str| {
        findings.error(mark, ProblemCode::FieldConflict, message.to_owned(), Some(hint.to_owned()));
    };
    if let (Some(repo), Some(_)) = (&repo, &source) {
        conflict(repo.mark(), "\"repo\" and \"source\" exclude each other: both say where the chart is", "take one of them out");
    }
    let Some(repo) = repo else {
        if let Some(version) = &version {
            let message = "\"version\" needs \"repo\": a chart in a directory has the version of its commit";
            conflict(version.mark(), message, "name the repository, or take it out");
        }
        let checked = Rule::Path.check(chart.value.as_str());
        if let Err(message) = checked {
            findings.error(chart.mark(), ProblemCode::InvalidValue, format!("\"chart\" of App.spec.source.helm: {message}"), None);
        }
        let source = source.filter(|source| source.value.as_str() != crate::project::FLEET_SOURCE);
        return Some(match source {
            Some(source) => ChartFrom::Source { name: source.value, path: chart },
            None => ChartFrom::Here(chart),
        });
    };
    let no_name = chart.value.constant().and_then(|name| check_chart_name(name).err());
    if let Some(message) = no_name {
        findings.error(chart.mark(), ProblemCode::InvalidValue, format!("\"chart\" of App.spec.source.helm: {message}"), None);
    }
    let version = version.or_else(|| Some(repo.mark().at(Template::parse("").ok()?)))?;
    Some(ChartFrom::Repository { repository: repo.value, name: chart, version })
}

fn decode_kustomize(mut fields: Fields) -> KustomizeLayers<At<Template>> {
    let image = |mut image: Fields| {
        let (new_name, new_tag, digest) = (template(&mut image, "newName"), template(&mut image, "newTag"), template(&mut image, "digest"));
        Some(ImageLayer { name: image.text("name")?.value, new_name, new_tag, digest })
    };
    let patch = |mut patch: Fields| {
        let target = patch.record("target").map(|target| decode_patch_target(target.value));
        Some(PatchLayer { patch: patch.text("patch")?.value, target })
    };
    let images = fields.records("images").into_iter().filter_map(|item| image(item.value)).collect();
    let patches = fields.records("patches").into_iter().filter_map(|item| patch(item.value)).collect();
    let components = fields.texts("components").map(|list| list.value).unwrap_or_default();
    let mut common = fields.record("commonMetadata").map(|common| common.value).unwrap_or_default();
    KustomizeLayers {
        name_prefix: template(&mut fields, "namePrefix"),
        name_suffix: template(&mut fields, "nameSuffix"),
        target_namespace: template(&mut fields, "targetNamespace"),
        components: components.iter().filter_map(parsed_template).collect(),
        ignore_missing_components: flag(&mut fields, "ignoreMissingComponents").unwrap_or(false),
        images,
        patches,
        common_labels: templates(&mut common, "labels"),
        common_annotations: templates(&mut common, "annotations"),
    }
}

fn decode_patch_target(mut fields: Fields) -> PatchTarget {
    let mut text = |field| fields.text(field).map(|text| text.value).unwrap_or_default();
    PatchTarget {
        group: text("group"),
        version: text("version"),
        kind: text("kind"),
        name: text("name"),
        namespace: text("namespace"),
        label_selector: text("labelSelector"),
        annotation_selector: text("annotationSelector"),
    }
}

fn decode_post_build(mut fields: Fields) -> PostBuild<At<Template>> {
    let strategy = match fields.word("substituteStrategy").map(|word| word.value) {
        Some("Always") => SubstituteStrategy::Always,
        _ => SubstituteStrategy::WithVariables,
    };
    PostBuild { substitute: templates(&mut fields, "substitute"), strategy, is_strict: flag(&mut fields, "strict").unwrap_or(true) }
}

fn decode_ignore(mut fields: Fields) -> Option<IgnoreDifference> {
    Some(IgnoreDifference {
        group: fields.text("group").map(|text| text.value).unwrap_or_default(),
        kind: fields.text("kind")?.value,
        name: fields.text("name").map(|text| text.value),
        namespace: fields.text("namespace").map(|text| text.value),
        json_pointers: plain_list(fields.texts("jsonPointers")),
        jq_path_expressions: plain_list(fields.texts("jqPathExpressions")).iter().filter_map(|text| JqPath::parse(text).ok()).collect(),
        managed_fields_managers: plain_list(fields.texts("managedFieldsManagers")),
    })
}

fn target(fields: &mut Fields, findings: &mut Findings) -> Option<TargetDoc> {
    let clusters = fields.record("clusters");
    let regions = fields.texts("regions");
    let mark = clusters.as_ref().map(At::mark).or(regions.as_ref().map(At::mark));
    let mut clusters = clusters.map(|clusters| clusters.value).unwrap_or_default();
    let names = clusters.texts("names").map(|names| names.value).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| parsed::<ClusterName>(&name)).collect();
    let mut requirements = Vec::new();
    for (key, value) in clusters.map("matchLabels").map(|labels| labels.value).unwrap_or_default() {
        fact(&key, value.mark(), findings);
        requirements.push(Requirement::In(key, BTreeSet::from([value.value])));
    }
    for expression in clusters.records("matchExpressions") {
        let mark = expression.mark();
        requirements.extend(requirement(expression.value, mark, findings));
    }
    let regions = match regions {
        None => None,
        Some(regions) => {
            let all = regions.value.iter().any(|region| region.value == "*");
            if all && regions.value.len() > 1 {
                let message = "\"*\" is every region, and others are listed beside it".to_owned();
                findings.error(regions.mark(), ProblemCode::FieldConflict, message, None);
            }
            (!all).then(|| regions.value.iter().filter_map(parsed::<RegionName>).collect())
        }
    };
    Some(TargetDoc { names, selector: Selector { requirements }, regions, mark })
}

fn requirement(mut fields: Fields, mark: Mark, findings: &mut Findings) -> Option<Requirement> {
    let key = fields.text("key")?;
    fact(&key.value, key.mark(), findings);
    let key = key.value;
    let operator = fields.word("operator")?.value;
    let values: BTreeSet<String> = plain_list(fields.texts("values")).into_iter().collect();
    let takes_values = matches!(operator, "In" | "NotIn");
    if takes_values == values.is_empty() {
        let message = if takes_values { format!("{operator} needs \"values\"") } else { format!("{operator} takes no \"values\"") };
        findings.error(mark, ProblemCode::FieldConflict, message, None);
        return None;
    }
    match operator {
        "In" => Some(Requirement::In(key, values)),
        "NotIn" => Some(Requirement::NotIn(key, values)),
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::DoesNotExist(key)),
        _ => None,
    }
}

/// Facts may only narrow, and placement does not look at them yet: a selector that asked for one would match nothing in silence.
fn fact(key: &str, mark: Mark, findings: &mut Findings) {
    if key.starts_with(FACTS_PREFIX) {
        let message = format!("the label \"{key}\" is not honoured yet: placement does not look at what agents report");
        findings.error(mark, ProblemCode::NotHonoured, message, Some("write a label of your own into the Cluster document".to_owned()));
    }
}

fn heal(fields: &mut Fields) -> Option<Option<Heal>> {
    match fields.word("heal").map(|word| word.value) {
        None => Some(None),
        Some("correct") => Some(Some(Heal::Correct)),
        Some("report") => Some(Some(Heal::Report)),
        Some("none") => Some(Some(Heal::None)),
        Some(_) => None,
    }
}

fn apply(fields: &mut Fields) -> Option<Option<Apply>> {
    match fields.word("apply").map(|word| word.value) {
        None => Some(None),
        Some("isolated") => Some(Some(Apply::Isolated)),
        Some("transactional") => Some(Some(Apply::Transactional)),
        Some(_) => None,
    }
}

fn conflicts(fields: &mut Fields) -> Option<Option<Conflicts>> {
    match fields.word("conflicts").map(|word| word.value) {
        None => Some(None),
        Some("force") => Some(Some(Conflicts::Force)),
        Some("report") => Some(Some(Conflicts::Report)),
        Some(_) => None,
    }
}

fn on_delete(fields: &mut Fields) -> Option<Option<OnDelete>> {
    match fields.word("onDelete").map(|word| word.value) {
        None => Some(None),
        Some("cascade") => Some(Some(OnDelete::Cascade)),
        Some("orphan") => Some(Some(OnDelete::Orphan)),
        Some(_) => None,
    }
}

fn flag(fields: &mut Fields, field: &str) -> Option<bool> {
    fields.flag(field).map(|flag| flag.value)
}

fn vars(fields: &mut Fields) -> Option<BTreeMap<String, Template>> {
    let vars = fields.map("vars").map(|vars| vars.value).unwrap_or_default();
    vars.into_iter().map(|(name, text)| Some((name, Template::parse(&text.value).ok()?))).collect()
}

fn template(fields: &mut Fields, field: &str) -> Option<At<Template>> {
    parsed_template(&fields.text(field)?)
}

fn templates(fields: &mut Fields, field: &str) -> BTreeMap<String, At<Template>> {
    let texts = fields.map(field).map(|texts| texts.value).unwrap_or_default();
    texts.into_iter().filter_map(|(name, text)| Some((name, parsed_template(&text)?))).collect()
}

/// A text that the table has checked before.
fn parsed_template(text: &At<String>) -> Option<At<Template>> {
    Some(text.mark().at(Template::parse(&text.value).ok()?))
}

/// A name that may be left out; the outer `None` is one that breaks its rule, which the table has found before.
fn name<T: FromStr>(fields: &mut Fields, field: &str) -> Option<Option<At<T>>> {
    match fields.text(field) {
        None => Some(None),
        Some(text) => parsed(&text).map(Some),
    }
}

fn required_name<T: FromStr>(fields: &mut Fields, field: &str) -> Option<At<T>> {
    parsed(&fields.text(field)?)
}

fn parsed<T: FromStr>(text: &At<String>) -> Option<At<T>> {
    Some(text.mark().at(text.value.parse().ok()?))
}

fn plain(map: BTreeMap<String, At<String>>) -> BTreeMap<String, String> {
    map.into_iter().map(|(key, value)| (key, value.value)).collect()
}

fn plain_list(list: Option<At<Vec<At<String>>>>) -> Vec<String> {
    list.map(|list| list.value.into_iter().map(|text| text.value).collect()).unwrap_or_default()
}
