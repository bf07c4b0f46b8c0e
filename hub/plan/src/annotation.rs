//! Annotations of Argo CD, Flux and Helm that say how one object is treated. A value that is not understood, or that Capstan does not carry
//! out, is an error with a remedy and never dropped. What an app says for all its objects is left to `assemble`.

use std::collections::BTreeSet;

use shared_manifest::Object;
use shared_release::{Conflicts, Existing, Heal, Hook, HookDelete, Phase, Prune};

const CONFLICTS: &str = "capstan.dev/conflicts";
const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
const IGNORE_HEALTH: &str = "argocd.argoproj.io/ignore-healthcheck";
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";
const ARGO_HOOK_DELETE: &str = "argocd.argoproj.io/hook-delete-policy";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_HOOK_DELETE: &str = "helm.sh/hook-delete-policy";
const HOOK_WEIGHT: &str = "helm.sh/hook-weight";
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
const FLUX_PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
const FLUX_RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
const FLUX_SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
const FLUX_FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// What an object's annotations ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Treatment {
    pub(crate) wave: i32,
    pub(crate) hook: Option<HookWish>,
    /// Occasions at which the hook asks to run and that never come, as it writes them.
    pub(crate) unmet: Vec<String>,
    pub(crate) prune: Prune,
    pub(crate) heal: Heal,
    pub(crate) existing: Existing,
    pub(crate) recreate: bool,
    pub(crate) ignore_health: bool,
    /// What its own annotation says; what its app says otherwise.
    pub(crate) conflicts: Option<Conflicts>,
}

/// What a hook annotation asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HookWish {
    /// To run.
    Run(Hook),
    /// Never to be applied (Argo CD passes over rollback hooks as well).
    Ignored,
}

/// Argo CD's hooks and when they run; `None` is never.
const ARGO_HOOKS: [(&str, Option<Phase>); 7] = [
    ("PreSync", Some(Phase::PreSync)),
    ("Sync", Some(Phase::Sync)),
    ("PostSync", Some(Phase::PostSync)),
    ("SyncFail", Some(Phase::SyncFail)),
    ("Skip", None),
    ("PreDelete", Some(Phase::PreDelete)),
    ("PostDelete", Some(Phase::PostDelete)),
];

/// Helm's hooks and when they run; `None` is never. A test that is expected to fail went with Helm 2.
const HELM_HOOKS: [(&str, Option<Phase>); 11] = [
    ("pre-install", Some(Phase::PreSync)),
    ("pre-upgrade", Some(Phase::PreSync)),
    ("post-install", Some(Phase::PostSync)),
    ("post-upgrade", Some(Phase::PostSync)),
    ("pre-delete", Some(Phase::PreDelete)),
    ("post-delete", Some(Phase::PostDelete)),
    ("pre-rollback", None),
    ("post-rollback", None),
    ("test", Some(Phase::Test)),
    ("test-success", Some(Phase::Test)),
    ("test-failure", None),
];

/// An annotation that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd {
    pub(crate) annotation: &'static str,
    pub(crate) value: String,
    pub(crate) remedy: &'static str,
}

/// Reads all that `object` asks, with everything that cannot be carried out.
pub(crate) fn read(object: &Object) -> (Treatment, Vec<Odd>) {
    let mut reader = Reader { object, odd: Vec::new() };
    let mut treatment = Treatment::default();
    reader.hook(&mut treatment);
    treatment.wave = reader.wave();
    reader.sync_options(&mut treatment);
    reader.compare_options();
    let ignored = reader.one_of(IGNORE_HEALTH, &[("true", true), ("false", false)], "write \"true\" or \"false\"");
    treatment.ignore_health = ignored.unwrap_or(false);
    let keep = reader.one_of(RESOURCE_POLICY, &[("keep", ())], "write keep, or take it out").is_some();
    let disabled = [("disabled", true), ("enabled", false)];
    let unpruned = reader.one_of(FLUX_PRUNE, &disabled, "write disabled or enabled").unwrap_or(false);
    if keep || unpruned {
        treatment.prune = Prune::Never;
    }
    if reader.one_of(FLUX_RECONCILE, &disabled, "write disabled or enabled").unwrap_or(false) {
        // Neither applied, nor healed, nor pruned (`fluxcd/kustomize-controller`, #484).
        treatment.heal = Heal::None;
        treatment.existing = Existing::IfNotPresent;
        treatment.prune = Prune::Never;
    }
    let ssa = [
        ("Override", Existing::Override),
        ("Merge", Existing::Merge),
        ("IfNotPresent", Existing::IfNotPresent),
        ("Ignore", Existing::Ignore),
    ];
    let ssa = reader.one_of(FLUX_SSA, &ssa, "write Override, Merge, IfNotPresent or Ignore");
    treatment.existing = treatment.existing.max(ssa.unwrap_or_default());
    if treatment.existing == Existing::Ignore {
        treatment.heal = Heal::None;
        treatment.prune = Prune::Never;
    }
    // Flux's `force` and Argo CD's `Force=true` are about fields that cannot be changed, and say nothing about who holds a field.
    let force = [("enabled", true), ("disabled", false)];
    treatment.recreate |= reader.one_of(FLUX_FORCE, &force, "write enabled or disabled").unwrap_or(false);
    let conflicts = [("force", Conflicts::Force), ("report", Conflicts::Report)];
    treatment.conflicts = reader.one_of(CONFLICTS, &conflicts, "write force or report");
    (treatment, reader.odd)
}

struct Reader<'a> {
    object: &'a Object,
    odd: Vec<Odd>,
}

impl Reader<'_> {
    fn refuse(&mut self, annotation: &'static str, value: &str, remedy: &'static str) {
        self.odd.push(Odd { annotation, value: value.to_owned(), remedy });
    }

    /// The meaning of an annotation's value; `None` if it is not there or was refused.
    fn one_of<T: Copy>(&mut self, annotation: &'static str, values: &[(&str, T)], remedy: &'static str) -> Option<T> {
        let value = self.object.annotation(annotation)?;
        match values.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Some(*meaning),
            None => {
                self.refuse(annotation, value, remedy);
                None
            }
        }
    }

    /// Argo CD's hook, else Helm's, which are mapped as Argo CD maps them (`gitops-engine/pkg/sync/hook/helm`): install and upgrade are one.
    fn hook(&mut self, treatment: &mut Treatment) {
        let (annotation, phases): (_, &[(&str, Option<Phase>)]) =
            match (self.object.annotation(ARGO_HOOK), self.object.annotation(HELM_HOOK)) {
                (Some(_), _) => (ARGO_HOOK, &ARGO_HOOKS),
                (None, Some(_)) => (HELM_HOOK, &HELM_HOOKS),
                (None, None) => return,
            };
        let mut run = BTreeSet::new();
        for word in self.words(annotation) {
            match phases.iter().find(|(name, _)| *name == word) {
                Some((_, Some(phase))) => drop(run.insert(*phase)),
                Some((_, None)) => treatment.unmet.push(word),
                // What Helm 2 called a hook is an ordinary object since.
                None if annotation == HELM_HOOK && word == "crd-install" => return,
                None => self.refuse(annotation, &word, "this is no hook; write one that Argo CD or Helm has, or take it out"),
            }
        }
        let delete = self.hook_delete(if annotation == ARGO_HOOK { ARGO_HOOK_DELETE } else { HELM_HOOK_DELETE });
        treatment.hook = Some(if run.is_empty() { HookWish::Ignored } else { HookWish::Run(Hook { phases: run, delete }) });
    }

    fn hook_delete(&mut self, annotation: &'static str) -> BTreeSet<HookDelete> {
        let policies = [
            ("HookSucceeded", "hook-succeeded", HookDelete::HookSucceeded),
            ("HookFailed", "hook-failed", HookDelete::HookFailed),
            ("BeforeHookCreation", "before-hook-creation", HookDelete::BeforeHookCreation),
        ];
        let mut delete = BTreeSet::new();
        for word in self.words(annotation) {
            match policies.iter().find(|(argo, helm, _)| word == *argo || word == *helm) {
                Some((_, _, policy)) => drop(delete.insert(*policy)),
                None => self.refuse(annotation, &word, "write HookSucceeded, HookFailed or BeforeHookCreation, or Helm's words for them"),
            }
        }
        if delete.is_empty() { BTreeSet::from([HookDelete::BeforeHookCreation]) } else { delete }
    }

    fn words(&self, annotation: &str) -> Vec<String> {
        let value = self.object.annotation(annotation).unwrap_or_default();
        value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Argo CD's wave, else Helm's weight, else 0 (`gitops-engine/pkg/sync/syncwaves`). Argo CD takes a value that is no number for 0; here
    /// it is refused, as it was meant to order something.
    fn wave(&mut self) -> i32 {
        for annotation in [SYNC_WAVE, HOOK_WEIGHT] {
            if let Some(value) = self.object.annotation(annotation) {
                return value.trim().parse().unwrap_or_else(|_| {
                    self.refuse(annotation, value, "write a whole number in quotes, as in \"-1\"");
                    0
                });
            }
        }
        0
    }

    /// `Prune` says what happens when the object leaves the source, `Delete` when the app is removed. A release has one policy for both, and
    /// takes the more careful of the two.
    fn sync_options(&mut self, treatment: &mut Treatment) {
        let Some(value) = self.object.annotation(SYNC_OPTIONS) else { return };
        let options: Vec<&str> = value.split(',').map(str::trim).filter(|option| !option.is_empty()).collect();
        let forced = options.contains(&"Force=true");
        for option in options {
            match option {
                "Prune=false" | "Delete=false" => treatment.prune = Prune::Never,
                "Prune=confirm" | "Delete=confirm" => treatment.prune = treatment.prune.max(Prune::Confirm),
                "Force=true" => treatment.recreate = true,
                // Together with Force it means "delete and create", which is what Force means here.
                "Replace=true" if forced => {}
                // What these ask is so anyway: server-side apply, deletions last, kinds awaited, only what differs is written, one owner.
                "Prune=true" | "Delete=true" | "Force=false" | "Replace=false" | "ServerSideApply=true" | "PruneLast=true" | "PruneLast=false"
                | "SkipDryRunOnMissingResource=true" | "SkipDryRunOnMissingResource=false" | "ApplyOutOfSyncOnly=true"
                | "ApplyOutOfSyncOnly=false" | "RespectIgnoreDifferences=true" | "FailOnSharedResource=true"
                // There is no check at the client.
                | "Validate=true" | "Validate=false"
                // These are options of a whole Application, without meaning at an object.
                | "CreateNamespace=true" | "CreateNamespace=false"
                // Both end with object and dependants gone.
                | "PrunePropagationPolicy=foreground" | "PrunePropagationPolicy=background" => {}
                "Replace=true" => self.refuse(
                    SYNC_OPTIONS,
                    option,
                    "objects are applied by the server, which needs no replacing; take it out, or add Force=true to recreate what cannot be changed",
                ),
                _ => self.refuse(SYNC_OPTIONS, option, "this option is not carried out; take it out"),
            }
        }
    }

    fn compare_options(&mut self) {
        let Some(value) = self.object.annotation(COMPARE_OPTIONS) else { return };
        for option in value.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            if !matches!(option, "IgnoreExtraneous" | "ServerSideDiff=true" | "IncludeMutationWebhook=true") {
                self.refuse(COMPARE_OPTIONS, option, "this option is not carried out; take it out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(phases: &[Phase], delete: &[HookDelete]) -> Option<HookWish> {
        Some(HookWish::Run(Hook { phases: phases.iter().copied().collect(), delete: delete.iter().copied().collect() }))
    }

    fn treated(annotations: &[(&str, &str)]) -> (Treatment, Vec<Odd>) {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}});
        let mut object = Object::from_value(value).expect("an object");
        annotations.iter().for_each(|(name, value)| object.set_annotation(name, value));
        read(&object)
    }

    #[test]
    fn annotations_of_argo_cd_flux_and_helm_mean_what_they_mean_there() {
        let plain = Treatment::default;
        for (annotations, expected) in [
            (vec![], plain()),
            (vec![(SYNC_WAVE, "-5")], Treatment { wave: -5, ..plain() }),
            (vec![(HOOK_WEIGHT, "3")], Treatment { wave: 3, ..plain() }),
            (vec![(SYNC_WAVE, "1"), (HOOK_WEIGHT, "3")], Treatment { wave: 1, ..plain() }),
            (vec![(SYNC_OPTIONS, "Prune=false")], Treatment { prune: Prune::Never, ..plain() }),
            (vec![(SYNC_OPTIONS, "Delete=false, Prune=confirm")], Treatment { prune: Prune::Never, ..plain() }),
            (vec![(SYNC_OPTIONS, "Prune=confirm")], Treatment { prune: Prune::Confirm, ..plain() }),
            (vec![(SYNC_OPTIONS, "Replace=true,Force=true")], Treatment { recreate: true, ..plain() }),
            (vec![(SYNC_OPTIONS, "ServerSideApply=true,Validate=false,PruneLast=true,")], plain()),
            (vec![(COMPARE_OPTIONS, "IgnoreExtraneous")], plain()),
            (vec![(RESOURCE_POLICY, "keep")], Treatment { prune: Prune::Never, ..plain() }),
            (vec![(FLUX_PRUNE, "disabled")], Treatment { prune: Prune::Never, ..plain() }),
            (vec![(FLUX_PRUNE, "enabled")], plain()),
            (
                vec![(FLUX_RECONCILE, "disabled")],
                Treatment { heal: Heal::None, existing: Existing::IfNotPresent, prune: Prune::Never, ..plain() },
            ),
            (vec![(FLUX_SSA, "IfNotPresent")], Treatment { existing: Existing::IfNotPresent, ..plain() }),
            (vec![(FLUX_SSA, "Override")], plain()),
            (vec![(FLUX_SSA, "Merge")], Treatment { existing: Existing::Merge, ..plain() }),
            (vec![(FLUX_SSA, "Ignore")], Treatment { existing: Existing::Ignore, heal: Heal::None, prune: Prune::Never, ..plain() }),
            (vec![(IGNORE_HEALTH, "true")], Treatment { ignore_health: true, ..plain() }),
            (vec![(FLUX_FORCE, "enabled")], Treatment { recreate: true, ..plain() }),
            (vec![(CONFLICTS, "report")], Treatment { conflicts: Some(Conflicts::Report), ..plain() }),
            (vec![(CONFLICTS, "force")], Treatment { conflicts: Some(Conflicts::Force), ..plain() }),
            (vec![(ARGO_HOOK, "PreDelete")], Treatment { hook: run(&[Phase::PreDelete], &[HookDelete::BeforeHookCreation]), ..plain() }),
            (
                vec![(HELM_HOOK, "post-delete"), (HELM_HOOK_DELETE, "hook-succeeded")],
                Treatment { hook: run(&[Phase::PostDelete], &[HookDelete::HookSucceeded]), ..plain() },
            ),
            (vec![(HELM_HOOK, "crd-install")], plain()),
            (vec![(HELM_HOOK, "test")], Treatment { hook: run(&[Phase::Test], &[HookDelete::BeforeHookCreation]), ..plain() }),
            (
                vec![(HELM_HOOK, "test-success"), (HOOK_WEIGHT, "2"), (HELM_HOOK_DELETE, "hook-succeeded")],
                Treatment { wave: 2, hook: run(&[Phase::Test], &[HookDelete::HookSucceeded]), ..plain() },
            ),
            (vec![(HELM_HOOK, "test-failure")], Treatment { hook: Some(HookWish::Ignored), unmet: vec!["test-failure".into()], ..plain() }),
            (vec![(ARGO_HOOK, "Skip")], Treatment { hook: Some(HookWish::Ignored), unmet: vec!["Skip".into()], ..plain() }),
            (
                vec![(HELM_HOOK, "pre-install,pre-upgrade"), (HOOK_WEIGHT, "-1")],
                Treatment { wave: -1, hook: run(&[Phase::PreSync], &[HookDelete::BeforeHookCreation]), ..plain() },
            ),
            (
                vec![(HELM_HOOK, "post-install, pre-delete"), (HELM_HOOK_DELETE, "hook-succeeded,hook-failed")],
                Treatment {
                    hook: run(&[Phase::PostSync, Phase::PreDelete], &[HookDelete::HookSucceeded, HookDelete::HookFailed]),
                    ..plain()
                },
            ),
            (
                vec![(ARGO_HOOK, "PostSync,SyncFail"), (HELM_HOOK, "test"), (HELM_HOOK_DELETE, "hook-failed")],
                Treatment { hook: run(&[Phase::PostSync, Phase::SyncFail], &[HookDelete::BeforeHookCreation]), ..plain() },
            ),
        ] {
            assert_eq!(treated(&annotations), (expected, Vec::new()), "{annotations:?}");
        }
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name_and_value() {
        for (annotation, value, refused) in [
            (SYNC_WAVE, "first", "first"),
            (SYNC_WAVE, "99999999999", "99999999999"),
            (HOOK_WEIGHT, "", ""),
            (SYNC_OPTIONS, "Prune=false,Replace=true", "Replace=true"),
            (SYNC_OPTIONS, "Prune=maybe", "Prune=maybe"),
            (SYNC_OPTIONS, "ServerSideApply=false", "ServerSideApply=false"),
            (SYNC_OPTIONS, "PrunePropagationPolicy=orphan", "PrunePropagationPolicy=orphan"),
            (COMPARE_OPTIONS, "X=1", "X=1"),
            (IGNORE_HEALTH, "yes", "yes"),
            (RESOURCE_POLICY, "delete", "delete"),
            (FLUX_PRUNE, "Disabled", "Disabled"),
            (FLUX_RECONCILE, "off", "off"),
            (FLUX_SSA, "merge", "merge"),
            (FLUX_FORCE, "true", "true"),
            (CONFLICTS, "yield", "yield"),
            (ARGO_HOOK, "PreSync,Now", "Now"),
            (HELM_HOOK, "before-install", "before-install"),
        ] {
            let (_, odd) = treated(&[(annotation, value)]);
            let found: Vec<_> = odd.iter().map(|odd| (odd.annotation, odd.value.as_str())).collect();
            assert_eq!(found, [(annotation, refused)]);
        }
    }
}
