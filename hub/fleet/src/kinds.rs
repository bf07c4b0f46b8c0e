//! The field tables of all kinds: every field that a fleet repository may hold, with its type, its rule and its meaning. Reading against
//! them is in `table`, printing them in `schema`, what the values become in `document`.

use crate::rule::Rule;
use crate::table::{Choose, Field, Record, Support, Type, Word};

/// The one API version of the fleet language.
pub const API_VERSION: &str = "capstan.dev/v1";

/// A kind of the fleet language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What all apps share: defaults and approver groups. At most one.
    Fleet,
    /// A region.
    Region,
    /// A cluster.
    Cluster,
    /// A tenant and what it may do.
    Project,
    /// How a change goes from cluster to cluster.
    Rollout,
    /// What runs where.
    App,
    /// Who is told what. Known, and refused until notifications are built.
    Notify,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [Self::Fleet, Self::Region, Self::Cluster, Self::Project, Self::Rollout, Self::App, Self::Notify];

    /// The word in `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Region => "Region",
            Self::Cluster => "Cluster",
            Self::Project => "Project",
            Self::Rollout => "Rollout",
            Self::App => "App",
            Self::Notify => "Notify",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    pub(crate) fn name_rule(self) -> Rule {
        match self {
            Self::Fleet | Self::Notify => Rule::Group,
            Self::Region => Rule::Region,
            Self::Cluster => Rule::Cluster,
            Self::Project => Rule::Project,
            Self::Rollout => Rule::Rollout,
            Self::App => Rule::App,
        }
    }

    /// The whole document. `None` for a kind that is only known by name.
    pub(crate) fn record(self) -> Option<&'static Record> {
        match self {
            Self::Fleet => Some(&FLEET),
            Self::Region => Some(&REGION),
            Self::Cluster => Some(&CLUSTER),
            Self::Project => Some(&PROJECT),
            Self::Rollout => Some(&ROLLOUT),
            Self::App => Some(&APP),
            Self::Notify => None,
        }
    }
}

const fn field(name: &'static str, of: Type, doc: &'static str) -> Field {
    Field { name, of, required: false, doc, support: Support::Honoured }
}

const fn required(name: &'static str, of: Type, doc: &'static str) -> Field {
    Field { name, of, required: true, doc, support: Support::Honoured }
}

const fn not_yet(name: &'static str, of: Type, doc: &'static str, missing: &'static str) -> Field {
    Field { name, of, required: false, doc, support: Support::NotYet(missing) }
}

const fn word(word: &'static str, doc: &'static str) -> Word {
    Word { word, doc }
}

const fn record(name: &'static str, doc: &'static str, fields: &'static [Field]) -> Record {
    Record { name, doc, fields, rule: Choose::Any }
}

macro_rules! metadata {
    ($kind:literal, $rule:expr) => {
        &record(concat!($kind, ".metadata"), "What it is called.", {
            const FIELDS: &[Field] = &[
                required("name", Type::Text($rule), "The name, unique among all of the kind: 1 to 63 lower-case letters, digits and '-'."),
                field(
                    "labels",
                    Type::Map(Rule::LabelKey, Rule::LabelValue),
                    "Labels, by Kubernetes' rules, by which it is selected and listed.",
                ),
                field(
                    "annotations",
                    Type::Map(Rule::LabelKey, Rule::Note),
                    "Notes for people and other tools. Capstan gives them no meaning.",
                ),
            ];
            FIELDS
        })
    };
}

macro_rules! document {
    ($kind:literal, $name_rule:expr, $doc:literal, $spec:ident) => {
        Record {
            name: $kind,
            doc: $doc,
            rule: Choose::Any,
            fields: &[
                required("apiVersion", Type::Text(Rule::Any), "Always capstan.dev/v1."),
                required("kind", Type::Text(Rule::Any), concat!("Always ", $kind, ".")),
                required("metadata", Type::Record(metadata!($kind, $name_rule)), "What it is called."),
                $spec,
            ],
        }
    };
}

macro_rules! words {
    ($($word:literal: $doc:literal),+ $(,)?) => {
        Type::Word(&[$(word($word, $doc)),+])
    };
}

const VARS: Type = Type::Map(Rule::VarName, Rule::Template);
const REGIONS: Type = Type::List(&Type::Text(Rule::RegionOrAll), true);
const REGIONS_DOC: &str = "Only clusters of these regions. \"*\" stands for every region.";

macro_rules! on_failure {
    () => {
        words! {
            "hold": "Stop where it is and wait for a person.",
            "rollback": "Go back to what ran before, on every cluster that the rollout has reached.",
        }
    };
}
macro_rules! when_lost {
    () => {
        words! {
            "wait": "Wait for the cluster to come back.",
            "skip": "Go on without it; it follows when it is back.",
        }
    };
}

static EXPRESSION: Record = record(
    "matchExpressions",
    "One requirement, as in Kubernetes.",
    &[
        required("key", Type::Text(Rule::LabelKey), "The label."),
        required(
            "operator",
            words! {
                "In": "The label has one of the values.",
                "NotIn": "The label has none of the values, or is not there.",
                "Exists": "The label is there.",
                "DoesNotExist": "The label is not there.",
            },
            "How the label is compared.",
        ),
        field("values", Type::List(&Type::Text(Rule::LabelValue), true), "The values, for In and NotIn."),
    ],
);

static SELECTOR: Record = record(
    "clusters",
    "Which clusters, by a Kubernetes label selector. A cluster has its own labels, those of its region, and the labels \"region\" and \
     \"cluster\" with the two names. All that is said must hold; {} takes every cluster.",
    &[
        field("matchLabels", Type::Map(Rule::LabelKey, Rule::LabelValue), "Labels that a cluster must have."),
        field("matchExpressions", Type::List(&Type::Record(&EXPRESSION), false), "Requirements on labels."),
        field("names", Type::List(&Type::Text(Rule::Cluster), true), "Only clusters of these names."),
    ],
);

static FLEET: Record = document!("Fleet", Rule::Group, "What all apps share. A repository has at most one.", FLEET_SPEC_FIELD);
const FLEET_SPEC_FIELD: Field = field("spec", Type::Record(&FLEET_SPEC), "What all apps share.");

static FLEET_SPEC: Record = record(
    "Fleet.spec",
    "What all apps share.",
    &[
        field("defaults", Type::Record(&DEFAULTS), "What holds for apps that do not say otherwise."),
        field("approverGroups", Type::List(&Type::Record(&APPROVERS), false), "Who may approve, by group."),
    ],
);

static DEFAULTS: Record = record(
    "Fleet.spec.defaults",
    "What holds for apps that do not say otherwise.",
    &[
        field("project", Type::Text(Rule::Project), "The project of apps that name none."),
        field("rollout", Type::Text(Rule::Rollout), "The rollout of apps that name none."),
        field("serviceAccount", Type::Text(Rule::ServiceAccount), SERVICE_ACCOUNT_DOC),
        field("prune", Type::Flag, PRUNE_DOC),
        field("heal", HEAL, HEAL_DOC),
        field("apply", APPLY, APPLY_DOC),
        field("conflicts", CONFLICTS, CONFLICTS_DOC),
        field("createNamespace", Type::Flag, CREATE_NAMESPACE_DOC),
        field("onDelete", ON_DELETE, ON_DELETE_DOC),
    ],
);

static APPROVERS: Record = record(
    "Fleet.spec.approverGroups",
    "A group of approvers.",
    &[
        required("name", Type::Text(Rule::Group), "The group, as an approval names it."),
        required("members", Type::List(&Type::Text(Rule::Any), true), "Its members, as they sign in at the hub."),
    ],
);

static REGION: Record = document!("Region", Rule::Region, "A region: clusters that share labels and variables.", REGION_SPEC_FIELD);
const REGION_SPEC_FIELD: Field = field("spec", Type::Record(&REGION_SPEC), "What its clusters share.");

static REGION_SPEC: Record = record(
    "Region.spec",
    "What its clusters share.",
    &[field("vars", VARS, "Variables of its clusters, as ${vars.NAME}. They win over those of an app.")],
);

static CLUSTER: Record = document!("Cluster", Rule::Cluster, "A cluster.", CLUSTER_SPEC_FIELD);
const CLUSTER_SPEC_FIELD: Field = field("spec", Type::Record(&CLUSTER_SPEC), "Where it is and what it sets.");

static CLUSTER_SPEC: Record = record(
    "Cluster.spec",
    "Where it is and what it sets.",
    &[
        field("region", Type::Text(Rule::Region), "Its region. A file in regions/NAME/ need not say it."),
        field("vars", VARS, "Its variables, as ${vars.NAME}. They win over those of its region and of an app."),
    ],
);

static PROJECT: Record = document!("Project", Rule::Project, "A tenant and what its apps may do.", PROJECT_SPEC_FIELD);
const PROJECT_SPEC_FIELD: Field = required("spec", Type::Record(&PROJECT_SPEC), "What its apps may do.");

static KIND_GLOB: Record = record(
    "kinds",
    "Kinds of objects.",
    &[
        field("group", Type::Text(Rule::Glob), "The API group, with * and ?; empty or left out is the core group."),
        required("kind", Type::Text(Rule::Glob), "The kind, with * and ?."),
    ],
);

static PROJECT_SPEC: Record = Record {
    name: "Project.spec",
    doc: "What its apps may do. What is not said is not permitted, but for kinds.",
    rule: Choose::AtLeastOne(&["clusters", "regions"]),
    fields: &[
        field("description", Type::Text(Rule::Note), "Who it is, for people."),
        required(
            "sources",
            Type::List(&Type::Text(Rule::Glob), true),
            "Sources of manifests, by name, with * and ?. \"fleet\" is the fleet repository itself.",
        ),
        required("namespaces", Type::List(&Type::Text(Rule::Glob), true), "Namespaces, with * and ?."),
        field(
            "serviceAccount",
            Type::Text(Rule::ServiceAccount),
            "The service account that all its apps are written with: NAME in each app's namespace, or NAMESPACE:NAME. None of them may choose another.",
        ),
        field("clusters", Type::Record(&SELECTOR), "Which clusters."),
        field("regions", REGIONS, REGIONS_DOC),
        field("kinds", Type::List(&Type::Record(&KIND_GLOB), false), "Kinds in namespaces. All if left out, none if empty."),
        field("clusterKinds", Type::List(&Type::Record(&KIND_GLOB), false), "Kinds outside namespaces. None if left out."),
        field("deniedKinds", Type::List(&Type::Record(&KIND_GLOB), false), "Kinds that are not permitted, whatever else is said."),
    ],
};

static ROLLOUT: Record = document!("Rollout", Rule::Rollout, "How a change goes from cluster to cluster.", ROLLOUT_SPEC_FIELD);
const ROLLOUT_SPEC_FIELD: Field = required("spec", Type::Record(&ROLLOUT_SPEC), "The stages and what holds for them.");

static ROLLOUT_SPEC: Record = record(
    "Rollout.spec",
    "The stages and what holds for them.",
    &[
        field("defaults", Type::Record(&STAGE_DEFAULTS), "What holds for stages that do not say otherwise."),
        required(
            "stages",
            Type::List(&Type::Record(&STAGE), true),
            "The stages, one after another. The first that matches a cluster takes it; a cluster that none takes is an error.",
        ),
        field(
            "supersede",
            words! {
                "queue": "A newer commit waits for the end of the one that is under way.",
                "replace": "A newer commit takes its place and begins with the first stage.",
            },
            "What a newer commit does to a rollout that is under way. queue if left out.",
        ),
    ],
);

const MAX_CONCURRENCY: Field = field(
    "maxConcurrency",
    Type::Share,
    "How many clusters of the stage may be in change at once: a number or a percentage. 1 if left out.",
);
const SOAK: Field = field("soak", Type::Duration, "How long a cluster must have been healthy with the change. 0 if left out.");
const DEADLINE: Field = field("deadline", Type::Duration, "How long a cluster may take until it counts as failed. 30m if left out.");
const MAX_FAILURES: Field =
    field("maxFailures", Type::Share, "How many clusters of the stage may fail: a number or a percentage. 0 if left out.");
const ON_FAILURE: Field = field("onFailure", on_failure!(), "What to do when more fail. hold if left out.");
const WHEN_LOST: Field = field("whenLost", when_lost!(), "What to do about a cluster that is not heard from. wait if left out.");

static STAGE_DEFAULTS: Record = record(
    "Rollout.spec.defaults",
    "What holds for stages that do not say otherwise.",
    &[MAX_CONCURRENCY, SOAK, DEADLINE, MAX_FAILURES, ON_FAILURE, WHEN_LOST],
);

static STAGE: Record = Record {
    name: "Rollout.spec.stages",
    doc: "A stage.",
    rule: Choose::AtLeastOne(&["clusters", "regions"]),
    fields: &[
        required("name", Type::Text(Rule::Stage), "The stage's name, unique in the rollout."),
        field("clusters", Type::Record(&SELECTOR), "Which clusters."),
        field("regions", REGIONS, REGIONS_DOC),
        field(
            "eachRegion",
            words! {
                "parallel": "All regions of the stage together.",
                "sequential": "One region after another.",
            },
            "How the stage goes through its regions. parallel if left out.",
        ),
        MAX_CONCURRENCY,
        SOAK,
        DEADLINE,
        MAX_FAILURES,
        ON_FAILURE,
        WHEN_LOST,
        not_yet(
            "gate",
            Type::List(&Type::Record(&GATE), false),
            "Measurements that must be within their limits before the stage is done.",
            "the hub asks no Prometheus so far; use \"approval\" to have a person look",
        ),
        field("approval", Type::Record(&APPROVAL), "Who must agree before the stage begins."),
    ],
};

static GATE: Record = Record {
    name: "gate",
    doc: "A measurement.",
    rule: Choose::AtLeastOne(&["max", "min"]),
    fields: &[
        required("name", Type::Text(Rule::Stage), "Its name."),
        required("prometheus", Type::Record(&PROMETHEUS), "The query."),
        field("max", Type::Number, "The highest value that passes."),
        field("min", Type::Number, "The lowest value that passes."),
    ],
};

static PROMETHEUS: Record = record(
    "prometheus",
    "A query.",
    &[
        required("url", Type::Text(Rule::Template), "The server, with variables."),
        required("query", Type::Text(Rule::Any), "The PromQL query; it yields one value."),
    ],
);

static APPROVAL: Record = record(
    "approval",
    "Who must agree.",
    &[
        required("group", Type::Text(Rule::Group), "The group of approvers, from Fleet."),
        field("count", Type::Count(1, 100), "How many of them. 1 if left out."),
        field("expires", Type::Duration, "How long an approval holds. 24h if left out."),
    ],
);

static APP: Record = document!("App", Rule::App, "What runs where.", APP_SPEC_FIELD);
const APP_SPEC_FIELD: Field = required("spec", Type::Record(&APP_SPEC), "What runs where.");

const PRUNE_DOC: &str = "Whether objects that leave the source are deleted. false if left out everywhere: they stay and are reported.";
const HEAL_DOC: &str = "What to do about changes that others make in the cluster. correct if left out everywhere.";
const SERVICE_ACCOUNT_DOC: &str = "The service account whose rights its objects are written with: NAME in the app's namespace, or NAMESPACE:NAME. The agent's own rights if left out everywhere.";
const CREATE_NAMESPACE_DOC: &str = "Whether the app's namespace is created where it is missing. false if left out everywhere.";
const ON_DELETE_DOC: &str = "What becomes of the objects when the app is removed, after an approval. If left out everywhere: cascade where prune is true, else orphan.";
const HEAL: Type = words! {
    "correct": "Put it right at once.",
    "report": "Say so and leave it.",
    "none": "Do not look.",
};
const APPLY_DOC: &str = "What an object that the API server refuses means for the others of its app. isolated if left out everywhere.";
const APPLY: Type = words! {
    "isolated": "Objects that need it wait, the others go on.",
    "transactional": "Nothing is written until a dry run of all objects is accepted.",
};
const CONFLICTS_DOC: &str = "What happens when another field manager holds a field with another value. An object's annotation capstan.dev/conflicts says it for that object. force if left out everywhere.";
const CONFLICTS: Type = words! {
    "force": "The field is taken over, and the report names whom it was taken from.",
    "report": "The object is left as it is, and the report names managers and fields.",
};
const ON_DELETE: Type = words! {
    "cascade": "They are deleted.",
    "orphan": "They stay, and Capstan lets go of them.",
};

static APP_SPEC: Record = Record {
    name: "App.spec",
    doc: "What runs where.",
    rule: Choose::AtLeastOne(&["clusters", "regions"]),
    fields: &[
        field("project", Type::Text(Rule::Project), "The project that limits it. Without one, here and in Fleet, nothing does."),
        field("namespace", Type::Text(Rule::Namespace), "The namespace of objects that name none, with variables."),
        field("createNamespace", Type::Flag, CREATE_NAMESPACE_DOC),
        field("serviceAccount", Type::Text(Rule::ServiceAccount), SERVICE_ACCOUNT_DOC),
        required("source", Type::Record(&SOURCE), "Where its manifests are."),
        field("clusters", Type::Record(&SELECTOR), "Which clusters."),
        field("regions", REGIONS, REGIONS_DOC),
        field("vars", VARS, "Variables, as ${vars.NAME}; their values may have variables too. Those of region and cluster win over them."),
        field("kustomize", Type::Record(&KUSTOMIZE), KUSTOMIZE_DOC),
        field("postBuild", Type::Record(&POST_BUILD), POST_BUILD_DOC),
        field("dependsOn", Type::List(&Type::Record(&DEPENDENCY), false), "Apps that must be healthy first, judged for each cluster."),
        field(
            "rollout",
            Type::Text(Rule::Rollout),
            "How a change goes from cluster to cluster. Without one, here and in Fleet, to all at once.",
        ),
        field("prune", Type::Flag, PRUNE_DOC),
        field("heal", HEAL, HEAL_DOC),
        field("apply", APPLY, APPLY_DOC),
        field("conflicts", CONFLICTS, CONFLICTS_DOC),
        field("onDelete", ON_DELETE, ON_DELETE_DOC),
        field("ignoreDifferences", Type::List(&Type::Record(&IGNORE), false), IGNORE_DOC),
        field(
            "healthCheckExprs",
            Type::List(&Type::Record(&HEALTH), false),
            "Health of kinds in CEL, in Flux's words. It replaces what Capstan knows of the kind.",
        ),
    ],
};

static SOURCE: Record = Record {
    name: "App.spec.source",
    doc: "Where its manifests are.",
    rule: Choose::ExactlyOne(&["path", "helm"]),
    fields: &[
        field("name", Type::Text(Rule::Source), "The source, as configured on the hub. The fleet repository if left out."),
        field(
            "path",
            Type::TextOr(Rule::Path, &FIRST_OF),
            "The directory, with variables: relative to this file, or to the root of the source that \"name\" names.",
        ),
        field("helm", Type::Record(&HELM), "A Helm chart."),
    ],
};

const KUSTOMIZE_DOC: &str = "What is laid over the kustomization at source.path, as Flux's Kustomization does. Where there is none, one that \
     lists all YAML files below is made up, as Flux makes one. Over a chart it is laid once the chart is rendered.";
const POST_BUILD_DOC: &str = "Variables of the manifests, which are replaced after the build as Flux does.";

static KUSTOMIZE: Record = record(
    "App.spec.kustomize",
    KUSTOMIZE_DOC,
    &[
        field("namePrefix", Type::Text(Rule::Template), "Stands before every name, with variables."),
        field("nameSuffix", Type::Text(Rule::Template), "Stands after every name, with variables."),
        field(
            "targetNamespace",
            Type::Text(Rule::Namespace),
            "The namespace of every object, also of those that name another, with variables; spec.namespace is only for those that name none.",
        ),
        field(
            "components",
            Type::List(&Type::Text(Rule::Path), false),
            "Directories of kustomize components, relative to source.path (to this file, or to the root of the source that source.name names, where the \
             source is a chart), with variables; after those of the kustomization.",
        ),
        field("ignoreMissingComponents", Type::Flag, "Whether components that are not there are passed over. false if left out."),
        field("images", Type::List(&Type::Record(&IMAGE), false), "Images by name; they win over those of the kustomization."),
        field("patches", Type::List(&Type::Record(&PATCH), false), "Patches, after those of the kustomization."),
        field(
            "commonMetadata",
            Type::Record(&COMMON_METADATA),
            "Labels and annotations of all objects, set after all else; selectors and pod templates stay as they are.",
        ),
    ],
);

static IMAGE: Record = Record {
    name: "App.spec.kustomize.images",
    doc: "An image and what stands for it.",
    rule: Choose::AtLeastOne(&["newName", "newTag", "digest"]),
    fields: &[
        required("name", Type::Text(Rule::Any), "The image's name in the manifests, without tag."),
        field("newName", Type::Text(Rule::Template), "The name that stands for it, with variables."),
        field("newTag", Type::Text(Rule::Template), "The tag, with variables."),
        field("digest", Type::Text(Rule::Template), "The digest, with variables. It stands for a tag."),
    ],
};

static PATCH: Record = record(
    "App.spec.kustomize.patches",
    "A patch.",
    &[
        required(
            "patch",
            Type::Text(Rule::Patch),
            "A strategic merge patch or a JSON patch (RFC 6902), as YAML. ${…} in it is not replaced by the fleet, but by postBuild.",
        ),
        field("target", Type::Record(&PATCH_TARGET), "What it is for; what the patch itself names if left out."),
    ],
);

static PATCH_TARGET: Record = record(
    "App.spec.kustomize.patches.target",
    "What a patch is for: all that is said must hold. Texts are regular expressions for the whole.",
    &[
        field("group", Type::Text(Rule::Note), "The API group."),
        field("version", Type::Text(Rule::Note), "The version."),
        field("kind", Type::Text(Rule::Note), "The kind."),
        field("name", Type::Text(Rule::Note), "The name."),
        field("namespace", Type::Text(Rule::Note), "The namespace."),
        field("labelSelector", Type::Text(Rule::Note), "A label selector, as kubectl takes it."),
        field("annotationSelector", Type::Text(Rule::Note), "The same for annotations."),
    ],
);

static COMMON_METADATA: Record = record(
    "App.spec.kustomize.commonMetadata",
    "Labels and annotations of all objects.",
    &[
        field("labels", Type::Map(Rule::LabelKey, Rule::Template), "Labels; the values with variables."),
        field("annotations", Type::Map(Rule::LabelKey, Rule::Template), "Annotations; the values with variables."),
    ],
);

static POST_BUILD: Record = record(
    "App.spec.postBuild",
    POST_BUILD_DOC,
    &[
        field(
            "substitute",
            Type::Map(Rule::SubstituteName, Rule::Template),
            "The variables: NAME is ${NAME} in a manifest, with Flux's forms such as ${NAME:=default}. The values are text of the fleet and may \
             have its variables, as in \"${region}-${vars.x}\"; a \"${\" that is meant literally is written \"$${\" here. An object with the label or \
             annotation \"kustomize.toolkit.fluxcd.io/substitute: disabled\" stays as it is.",
        ),
        field(
            "substituteStrategy",
            words! {
                "WithVariables": "Manifests without variables here stay as they are.",
                "Always": "Also if there are no variables here, for the sake of defaults in the manifests.",
            },
            "When variables are replaced. WithVariables if left out.",
        ),
        field(
            "strict",
            Type::Flag,
            "Whether a variable that is not set and has no default is an error; otherwise it is empty. true if left out.",
        ),
        not_yet(
            "substituteFrom",
            Type::List(&Type::Record(&SUBSTITUTE_FROM), false),
            "ConfigMaps and Secrets with variables.",
            "the hub reads no objects of clusters; write the values into substitute, or as vars of the Region or Cluster",
        ),
    ],
);

static SUBSTITUTE_FROM: Record = record(
    "App.spec.postBuild.substituteFrom",
    "A ConfigMap or Secret with variables.",
    &[
        required("kind", Type::Text(Rule::Any), "ConfigMap or Secret."),
        required("name", Type::Text(Rule::Any), "Its name."),
        field("optional", Type::Flag, "Whether it may be missing."),
    ],
);

static FIRST_OF: Record = record(
    "App.spec.source.path",
    "The first directory that is there.",
    &[required("firstOf", Type::List(&Type::Text(Rule::Path), true), "Directories, the most special first.")],
);

static HELM: Record = record(
    "App.spec.source.helm",
    "A Helm chart.",
    &[
        required(
            "chart",
            Type::Text(Rule::Template),
            "With \"repo\", the chart's name in it. Without, the directory or archive of the chart: relative to this file, or to the root of the source \
             that \"source\" or else source.name names. With variables.",
        ),
        field(
            "repo",
            Type::Text(Rule::ChartRepository),
            "The repository of charts: its address (https:// or oci://) or its name in the hub's configuration, which has to have it.",
        ),
        field("source", Type::Text(Rule::Source), "The source that the chart is in, if it is another one than that of the values."),
        field(
            "version",
            Type::Text(Rule::ChartVersion),
            "The version of a chart in a repository, with variables: one version, a range such as \"^1.4\", or the digest of one archive. The newest \
             if left out.",
        ),
        field("releaseName", Type::Text(Rule::ReleaseName), "The name of the release, with variables. The app's if left out."),
        field(
            "valuesFiles",
            Type::List(&Type::Text(Rule::Path), false),
            "Files of values, with variables: relative to this file, or to the root of the source that source.name names. Later ones win over earlier, \
             and all win over the chart's own.",
        ),
        field("ignoreMissingValueFiles", Type::Flag, "Whether files of values that are not there are passed over. false if left out."),
        field("values", Type::Values, "Values, whose texts have variables. They win over those of the files."),
        field(
            "parameters",
            Type::List(&Type::Record(&PARAMETER), false),
            "Single values as helm --set takes them. They win over all others, and later ones over earlier.",
        ),
        field("fileParameters", Type::List(&Type::Record(&FILE_PARAMETER), false), "Single values that are the contents of files."),
        field(
            "valuesFrom",
            Type::List(&Type::Record(&VALUES_FROM), false),
            "ConfigMaps and Secrets with values, whose manifests are in the app's source. They win over valuesFiles, later ones over earlier; values \
             wins over them, and what has a targetPath over everything that is merged.",
        ),
        field("skipCrds", Type::Flag, "Whether the definitions in the chart's crds/ are left out. false if left out."),
        field("skipHooks", Type::Flag, "Whether hooks are left out. false if left out."),
        field("skipTests", Type::Flag, "Whether tests are left out. false if left out: they run when somebody asks for them."),
        field("skipSchemaValidation", Type::Flag, "Whether the values are not checked against the chart's schema. false if left out."),
        field(
            "kubeVersion",
            Type::Text(Rule::Any),
            "The version of Kubernetes that the chart is told. That of the cluster if left out, as far as it is known.",
        ),
        field(
            "apiVersions",
            Type::List(&Type::Text(Rule::Any), false),
            "API versions that the chart is told, beside those of the cluster.",
        ),
    ],
);

static PARAMETER: Record = record(
    "App.spec.source.helm.parameters",
    "A single value.",
    &[
        required("name", Type::Text(Rule::Any), "Where it goes, as in image.tag or hosts[0].name."),
        required(
            "value",
            Type::Text(Rule::Template),
            "The value, with variables. Numbers, true, false and null are taken for what they look like.",
        ),
        field("forceString", Type::Flag, "Whether it is text, whatever it looks like. false if left out."),
    ],
);

static FILE_PARAMETER: Record = record(
    "App.spec.source.helm.fileParameters",
    "A single value that is the content of a file.",
    &[
        required("name", Type::Text(Rule::Any), "Where it goes."),
        required("path", Type::Text(Rule::Path), "The file, with variables; as in valuesFiles."),
    ],
);

static VALUES_FROM: Record = record(
    "App.spec.source.helm.valuesFrom",
    "A ConfigMap or Secret with values.",
    &[
        required("kind", words! {"ConfigMap": "A ConfigMap.", "Secret": "A Secret. What is in it reaches no message."}, "Its kind."),
        required("name", Type::Text(Rule::Template), "Its name, with variables."),
        required(
            "path",
            Type::Text(Rule::Path),
            "The file with its manifest, perhaps among others, with variables; as in valuesFiles. The hub reads no objects of clusters.",
        ),
        field("valuesKey", Type::Text(Rule::Any), "The key of the values in data, stringData or binaryData. values.yaml if left out."),
        field(
            "targetPath",
            Type::Text(Rule::TargetPath),
            "Where the value goes, as in auth.password or hosts[0].name: as helm --set takes it. Values go to the root if left out.",
        ),
        field("literal", Type::Flag, "With targetPath: whether the value is text, whatever it looks like. false if left out."),
        field("optional", Type::Flag, "Whether the file, the object or the key may be missing. false if left out."),
    ],
);

static DEPENDENCY: Record =
    record("dependsOn", "An app that must be healthy first.", &[required("app", Type::Text(Rule::App), "Its name.")]);

const IGNORE_DOC: &str = "Fields that others may change, in Argo CD's words, with RespectIgnoreDifferences: what another tool applies is left to it, and of \
    anything else the live value stays. Flux's ignore is the same; its paths are jsonPointers, group and kind are \"*\" where it has no target, and \
    objects that its target finds by labels, annotations or a regular expression are named one by one or by globs.";

const POINTERS_DOC: &str =
    "The fields, as RFC 6901 pointers. An index counts the elements of the manifest, wherever they are in the live object.";

static IGNORE: Record = Record {
    name: "ignoreDifferences",
    doc: "Fields that others may change.",
    rule: Choose::AtLeastOne(&["jsonPointers", "jqPathExpressions", "managedFieldsManagers"]),
    fields: &[
        field("group", Type::Text(Rule::Glob), "The API group, with * and ?; empty or left out is the core group."),
        required("kind", Type::Text(Rule::Glob), "The kind, with * and ?."),
        field("name", Type::Text(Rule::Any), "The object's name; any if left out."),
        field("namespace", Type::Text(Rule::Any), "The object's namespace; any if left out."),
        field("jsonPointers", Type::List(&Type::Text(Rule::JsonPointer), false), POINTERS_DOC),
        field(
            "jqPathExpressions",
            Type::List(&Type::Text(Rule::JqPath), false),
            "The fields, as paths in jq's words with [], select(…) and ?.",
        ),
        field(
            "managedFieldsManagers",
            Type::List(&Type::Text(Rule::Any), false),
            "Field managers, as kubectl shows them with --show-managed-fields; what they hold is left to them.",
        ),
    ],
};

static HEALTH: Record = record(
    "healthCheckExprs",
    "Health of a kind.",
    &[
        required("apiVersion", Type::Text(Rule::Any), "The API version of the kind; its group counts."),
        field("kind", Type::Text(Rule::Any), "The kind; every kind of the group without a rule of its own if left out."),
        required("current", Type::Text(Rule::Cel), "CEL: true when healthy."),
        field("inProgress", Type::Text(Rule::Cel), "CEL: true while on its way. It is asked first."),
        field("failed", Type::Text(Rule::Cel), "CEL: true when failed. It is asked before current."),
    ],
);
