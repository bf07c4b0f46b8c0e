//! Whose rights count, on a real API server: tenants' apps are written as their service accounts, what no tenant may bring is refused twice, and
//! the agent works with exactly the rights in `deploy/agent`.

#[allow(dead_code, reason = "the other test program uses what this one does not")]
mod bench;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_agentd::{FaultPoints, Flags, Guardrail, ProcessConfig, Seat, examine};
use agent_cluster::Cluster;
use anyhow::{Context as _, bail};
use bench::{TestAgent, config_map, manifest};
use e2e_cluster::{AuditEvent, ControlPlane, SharedControlPlane, require_control_plane};
use serde_json::{Value, json};
use shared_manifest::{YamlBudget, YamlMode, parse_yaml};
use shared_model::{AppState, ClusterUid, Health, ServiceAccount};

static PLANE: SharedControlPlane = SharedControlPlane::with_pods();

/// One of the installations in `deploy/agent`, under names of its own.
struct Installation<'a> {
    plane: &'a ControlPlane,
    own: String,
    team: String,
    other: String,
    user: String,
    uid: ClusterUid,
    disk: tempfile::TempDir,
    guardrail: String,
    sequence: Arc<AtomicU64>,
}

impl<'a> Installation<'a> {
    /// Applies what `kubectl kustomize` makes of `deploy/agent/VARIANT`. `ready` is a right that the agent has once it is in force.
    async fn of(plane: &'a ControlPlane, variant: &str, ready: &[&str]) -> anyhow::Result<Self> {
        let _ = tracing_subscriber::fmt().with_env_filter("info").with_test_writer().try_init();
        let fresh = plane.fresh_namespace().await?;
        let suffix = fresh.trim_start_matches("test-");
        let own = format!("capstan-{suffix}");
        let mut installation = Self {
            plane,
            team: format!("team-x{suffix}"),
            other: format!("team-y{suffix}"),
            user: format!("system:serviceaccount:{own}:capstan-agent"),
            uid: Cluster::with_client(plane.client().await?).uid().await?,
            own,
            disk: tempfile::tempdir()?,
            guardrail: String::new(),
            sequence: Arc::default(),
        };
        for namespace in [&installation.team, &installation.other] {
            plane.kubectl(&["create", "namespace", namespace]).await?;
        }
        let directory = format!("{}/../../deploy/agent/{variant}", env!("CARGO_MANIFEST_DIR"));
        let text = installation.rename(&plane.kubectl(&["kustomize", &directory]).await?);
        let mut stream = String::new();
        for document in parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST)? {
            let mut object = document.value;
            if object["kind"] == "ClusterRoleBinding" {
                // Only this name belongs to the whole cluster and to one installation.
                object["metadata"]["name"] = json!(format!("{}-{suffix}", object["metadata"]["name"].as_str().unwrap_or_default()));
            }
            if let Some(guardrail) = object.pointer("/data/guardrail.yaml").and_then(Value::as_str) {
                installation.guardrail = guardrail.to_owned();
            }
            stream.push_str(&format!("---\n{object}\n"));
        }
        plane.kubectl_reading(&stream, &["apply", "-f", "-"]).await?;
        let user = installation.user.clone();
        let mut question = vec!["auth", "can-i", "--as", &user];
        question.extend(ready);
        installation.until(&question, |answer| answer.trim() == "yes").await?;
        Ok(installation)
    }

    fn rename(&self, text: &str) -> String {
        text.replace("capstan-system", &self.own).replace("team-a", &self.team).replace("team-b", &self.other)
    }

    fn deployer(&self) -> ServiceAccount {
        format!("{}:deployer", self.team).parse().expect("an account")
    }

    fn groups(&self) -> [String; 2] {
        ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{}", self.own)]
    }

    /// The configuration of an agent here, for `namespaces` if any are named.
    fn config(&self, namespaces: &[&str]) -> anyhow::Result<ProcessConfig> {
        let path = self.disk.path().join("guardrail.yaml");
        std::fs::write(&path, &self.guardrail)?;
        let flags = Flags {
            hub: Some("127.0.0.1:1".to_owned()),
            enrolment: Some("127.0.0.1:1".to_owned()),
            namespace: Some(self.own.clone()),
            namespaces: (!namespaces.is_empty()).then(|| namespaces.iter().map(ToString::to_string).collect()),
            data_dir: Some(self.ledger("ledger")),
            guardrail: Some(path),
            kubeconfig: Some(self.plane.kubeconfig_for(&self.user, &self.groups().each_ref().map(String::as_str))?),
            ..Flags::default()
        };
        Ok(flags.resolve()?)
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    async fn start(&self, guardrail: Guardrail, ledger: &str) -> anyhow::Result<TestAgent> {
        let groups = self.groups();
        let client = self.plane.client_for(&self.user, &groups.each_ref().map(String::as_str)).await?;
        let instance = format!("agent-{}", self.sequence.fetch_add(1, Ordering::Relaxed));
        let ledger = self.ledger(ledger);
        let seat = Seat {
            cluster: Cluster::with_client(client),
            name: "test".parse()?,
            uid: self.uid.clone(),
            ledger: &ledger,
            namespace: &self.own,
            instance,
            guardrail,
        };
        TestAgent::sit(seat, FaultPoints::default(), self.sequence.clone()).await
    }

    async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["-n", &self.team];
        all.extend(args);
        self.plane.kubectl(&all).await
    }

    async fn until(&self, args: &[&str], good: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        bench::until(&format!("kubectl {args:?}"), || self.kubectl(args), good).await
    }

    /// What the agent asked for so far.
    async fn asked(&self) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.plane.audit_events().await?;
        events.retain(|event| event.user == self.user);
        Ok(events)
    }

    /// The agent's requests to change something outside of its own namespace, dry runs included.
    async fn writes(&self) -> anyhow::Result<Vec<AuditEvent>> {
        let mut events = self.asked().await?;
        events.retain(|event| {
            !matches!(event.verb.as_str(), "get" | "list" | "watch") && event.namespace.as_deref() != Some(self.own.as_str())
        });
        Ok(events)
    }

    async fn refused(&self) -> anyhow::Result<Vec<String>> {
        let refused = self.asked().await?.into_iter().filter(|event| event.code == 403);
        Ok(refused.map(|event| format!("{} {}", event.verb, event.uri)).collect())
    }

    async fn value_is(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let get = ["get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.value}"];
        self.until(&get, |found| found == value).await
    }
}

/// One object that must not pass.
struct Case {
    name: String,
    object: Value,
    guardrail: String,
    rbac: String,
}

fn matrix(installation: &Installation<'_>) -> anyhow::Result<Vec<Case>> {
    let text = installation.rename(include_str!("tenants/matrix.yaml"));
    let Value::Array(cases) = manifest(&text) else { bail!("the matrix is no list") };
    let read = |case: Value| {
        let text = |field: &str, otherwise: &str| case[field].as_str().unwrap_or(otherwise).to_owned();
        anyhow::ensure!(case["rbac"] != "passes" || case["because"].is_string(), "{} does not say what refuses it", case["name"]);
        Ok(Case {
            name: case["name"].as_str().context("a case without a name")?.to_owned(),
            object: case["object"].clone(),
            guardrail: text("guardrail", "GuardrailRefused"),
            rbac: text("rbac", "Forbidden"),
        })
    };
    cases.into_iter().map(read).collect()
}

/// The reasons that an app's state gives.
fn codes(state: &AppState) -> Vec<&str> {
    let objects = state.unhealthy.iter().filter_map(|object| object.reason.as_ref());
    objects.chain(&state.reason).map(|reason| reason.code.as_str()).collect()
}

fn stands(state: Option<&AppState>, expected: &str) -> bool {
    match (state, expected) {
        (Some(state), "passes") => state.wanted.is_some() && state.applied == state.wanted,
        (Some(state), code) => codes(state).contains(&code),
        (None, _) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_tenant_may_bring_is_refused_by_the_guardrail_and_by_its_rights_without_it() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let installation = Installation::of(PLANE.get().await?, "tenants", &["watch", "secrets", "-A"]).await?;
    let cases = matrix(&installation)?;
    let both = cases.iter().filter(|case| case.rbac == "Forbidden" && case.guardrail == "GuardrailRefused").count();
    assert!(both >= 40, "{both} objects are refused by both");
    let apps: Vec<(String, Vec<Value>)> =
        cases.iter().enumerate().map(|(n, case)| (format!("case-{n:02}"), vec![case.object.clone()])).collect();
    let apps: Vec<(&str, Vec<Value>)> = apps.iter().map(|(name, objects)| (name.as_str(), objects.clone())).collect();
    let run = async |guardrail: Guardrail, expected: fn(&Case) -> &str| {
        let mut agent = installation.start(guardrail, "ledger").await?;
        agent.runs_as = apps.iter().map(|(name, _)| ((*name).to_owned(), installation.deployer())).collect();
        agent.publish(&apps)?;
        let unexpected = |states: &BTreeMap<String, AppState>| -> Vec<String> {
            let wrong = cases.iter().zip(&apps).filter(|(case, (app, _))| !stands(states.get(*app), expected(case)));
            wrong
                .map(|(case, (app, _))| format!("{}: {:?} in place of {}", case.name, states.get(*app).map(codes), expected(case)))
                .collect()
        };
        let outcome = agent.wait(|states| unexpected(states).is_empty()).await;
        let states = match outcome {
            Ok(states) => states,
            Err(_) => bail!("not as expected:\n{}", unexpected(&agent.states()).join("\n")),
        };
        agent.stop().await;
        Ok(states)
    };

    let strict = installation.config(&[])?.agent.guardrail;
    run(strict, |case| &case.guardrail).await?;
    let sent: Vec<String> = installation.writes().await?.into_iter().map(|event| format!("{} {}", event.verb, event.uri)).collect();
    assert!(sent.is_empty(), "the guardrail lets nothing reach the API server: {sent:?}");

    let states = run(Guardrail::open("nowhere"), |case| &case.rbac).await?;
    for (case, (app, _)) in cases.iter().zip(&apps).filter(|(case, _)| case.rbac == "Forbidden") {
        let reasons = states[*app].unhealthy.iter().filter_map(|object| object.reason.as_ref());
        let named = reasons
            .map(|reason| &reason.message)
            .any(|message| message.contains(&format!("service account {} may not", installation.deployer())));
        assert!(named, "{}: {:?}", case.name, states[*app].unhealthy);
    }
    let passes = cases.iter().filter(|case| case.rbac == "passes").count();
    let writes = installation.writes().await?;
    let accepted: Vec<&AuditEvent> = writes.iter().filter(|event| event.code < 300).collect();
    assert_eq!(accepted.len(), passes, "{accepted:?}");
    assert!(writes.iter().all(|event| event.acts_as.as_deref() == Some(installation.deployer().user().as_str())), "{writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_app_is_written_as_its_service_account_and_never_with_the_agents_own_rights() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let installation = Installation::of(PLANE.get().await?, "tenants", &["watch", "secrets", "-A"]).await?;
    let Installation { team, other, .. } = &installation;
    let mut guardrail = installation.config(&[])?.agent.guardrail;
    // So that it is the API server who refuses another tenant's account.
    guardrail.impersonate.iter_mut().flatten().for_each(|rule| rule.only_in_accounts_namespace = false);
    let mut agent = installation.start(guardrail, "ledger").await?;
    let web = |account: &ServiceAccount| BTreeMap::from([("web".to_owned(), account.clone())]);
    agent.runs_as = web(&installation.deployer());
    let mut copied = config_map(team, "settings", "1");
    copied["metadata"]["annotations"] = json!({"capstan.dev/tracking-id": format!("other:/ConfigMap:{team}/settings")});
    let all = vec![copied, config_map(team, "old", "1")];
    agent.publish(&[("web", all.clone())])?;
    agent.wait_applied("web").await?;
    let annotations = installation.kubectl(&["get", "configmap", "settings", "-o", "jsonpath={.metadata.annotations}"]).await?;
    assert!(annotations.contains(&format!("web:/ConfigMap:{team}/settings")) && !annotations.contains("other:"), "{annotations}");

    installation.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"value":"2"}}"#]).await?;
    agent.wait(|apps| apps["web"].drift.iter().any(|drift| drift.healed.is_some())).await?;
    installation.value_is("settings", "1").await?;

    // A deletion that its account may not do is named, and done once it may.
    let verbs = |verbs: &str| format!(r#"[{{"op":"replace","path":"/rules/0/verbs","value":{verbs}}}]"#);
    installation.kubectl(&["patch", "role", "deployer", "--type=json", "-p", &verbs(r#"["create","patch"]"#)]).await?;
    let user = installation.deployer().user();
    let may_delete = ["auth", "can-i", "--as", &user, "delete", "configmaps"];
    installation.until(&may_delete, |answer| !answer.starts_with("yes")).await?;
    agent.publish_withdrawing(&[("web", all[..1].to_vec())], &[("web", &["old"])], false)?;
    agent.wait(|apps| codes(&apps["web"]).contains(&"Forbidden")).await?;
    installation.kubectl(&["patch", "role", "deployer", "--type=json", "-p", &verbs(r#"["create","patch","delete"]"#)]).await?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    let writes = installation.writes().await?;
    assert!(writes.len() >= 5 && writes.iter().all(|event| event.acts_as.as_deref() == Some(user.as_str())), "{writes:?}");
    let asked = installation.asked().await?;
    assert!(
        asked.iter().filter(|event| event.acts_as.is_some()).all(|event| matches!(event.verb.as_str(), "patch" | "delete")),
        "{asked:?}"
    );

    // Neither no account nor another one does in its place.
    let drift = ["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"value":"3"}}"#];
    agent.runs_as.clear();
    agent.publish(&[("web", all[..1].to_vec())])?;
    agent.wait(|apps| codes(&apps["web"]).contains(&"AccountRefused")).await?;
    installation.kubectl(&drift).await?;
    agent.runs_as = web(&format!("{other}:deployer").parse()?);
    agent.publish(&[("web", all[..1].to_vec())])?;
    let apps =
        agent.wait(|apps| codes(&apps["web"]).contains(&"ImpersonationForbidden") || codes(&apps["web"]).contains(&"Drifted")).await?;
    assert_ne!(apps["web"].health, Health::Missing);
    agent.publish(&[("web", vec![config_map(team, "settings", "4")])])?;
    agent.wait(|apps| codes(&apps["web"]).contains(&"ImpersonationForbidden")).await?;
    installation.value_is("settings", "3").await?;
    agent.runs_as = web(&installation.deployer());
    agent.publish(&[("web", vec![config_map(team, "settings", "5")])])?;
    installation.value_is("settings", "5").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_the_listed_rights_applies_heals_prunes_and_remembers() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let installation = Installation::of(PLANE.get().await?, "cluster", &["delete", "statefulsets", "-A"]).await?;
    let user = installation.user.clone();
    installation.until(&["auth", "can-i", "--as", &user, "watch", "secrets", "-A"], |answer| answer.trim() == "yes").await?;
    installation.until(&["auth", "can-i", "--as", &user, "watch", "runtimeclasses.node.k8s.io"], |answer| answer.trim() == "yes").await?;
    let own = ["get", "deployment", "capstan-agent", "-n", &installation.own, "-o", "jsonpath={.status.availableReplicas}"];
    installation.until(&own, |available| available == "1").await?;

    let team = &installation.team;
    let place = format!("{team}-made");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}});
    let mut secret = manifest(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: {team}}}\n"));
    secret["stringData"] = json!({"token": "x"});
    let deployment = manifest(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api, namespace: {place}}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    spec: {{containers: [{{name: api, image: example.test/api:1}}]}}\n"
    ));
    let all = vec![config_map(team, "settings", "1"), config_map(team, "old", "1"), secret, deployment, namespace];
    let guardrail = installation.config(&[])?.agent.guardrail;
    let agent = installation.start(guardrail.clone(), "ledger").await?;
    agent.publish(&[("web", all.clone())])?;
    agent.wait(|apps| apps["web"].health == Health::Healthy && apps["web"].applied == apps["web"].wanted).await?;
    installation.kubectl(&["delete", "configmap", "settings"]).await?;
    installation.value_is("settings", "1").await?;
    let rest: Vec<Value> = all.into_iter().filter(|object| object["metadata"]["name"] != "old").collect();
    agent.publish_withdrawing(&[("web", rest)], &[("web", &["old"])], false)?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    let copies = ["get", "secrets", "-n", &installation.own, "-o", "name"];
    installation.until(&copies, |names| names.contains("content-0")).await?;
    let lease = ["get", "lease", "capstan-agent", "-n", &installation.own, "-o", "jsonpath={.spec.holderIdentity}"];
    installation.until(&lease, |holder| holder.starts_with("agent-")).await?;
    agent.stop().await;

    let again = installation.start(guardrail, "another-disk").await?;
    installation.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"value":"2"}}"#]).await?;
    again.wait(|apps| apps["web"].drift.iter().any(|drift| drift.healed.is_some())).await?;
    installation.value_is("settings", "1").await?;
    assert_eq!(installation.refused().await?, Vec::<String>::new(), "no right is missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_rights_on_the_cluster_keeps_its_namespaces_and_doctor_says_what_is_missing() -> anyhow::Result<()> {
    require_control_plane!(controllers);
    let plane = PLANE.get().await?;
    let installation = Installation::of(plane, "namespaces", &["delete", "statefulsets"]).await?;
    let (team, other) = (installation.team.as_str(), installation.other.as_str());
    let config = installation.config(&[team])?;
    let may = installation.kubectl(&["auth", "can-i", "--as", &installation.user, "list", "configmaps", "-A"]).await;
    assert!(may.is_err(), "it has no right on the cluster");
    let agent = installation.start(config.agent.guardrail.clone(), "ledger").await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team}});
    let mut made = namespace.clone();
    made["metadata"]["annotations"] = json!({"test/if-not-present": "true"});
    let web = vec![config_map(team, "settings", "1"), config_map(team, "old", "1"), made];
    let outside = vec![
        config_map(other, "x", "1"),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "x"}, "value": 1}),
    ];
    agent.publish(&[("web", web.clone()), ("outside", outside)])?;
    let apps = agent.wait(|apps| stands(apps.get("web"), "passes") && stands(apps.get("outside"), "GuardrailRefused")).await?;
    assert_eq!(apps["outside"].unhealthy.len(), 2, "both objects outside are refused");
    installation.kubectl(&["delete", "configmap", "settings"]).await?;
    installation.value_is("settings", "1").await?;
    agent.publish_withdrawing(&[("web", vec![web[0].clone(), web[2].clone()])], &[("web", &["old"])], false)?;
    agent.wait(|apps| apps["web"].withdrawn.len() == 1).await?;
    installation.until(&["get", "secrets", "-n", &installation.own, "-o", "name"], |names| names.contains("content-0")).await?;
    let watched: Vec<AuditEvent> = installation.asked().await?.into_iter().filter(|event| event.verb == "watch").collect();
    assert!(!watched.is_empty() && watched.iter().all(|event| event.namespace.as_deref() == Some(team)), "{watched:?}");
    assert_eq!(installation.refused().await?, Vec::<String>::new(), "nothing is asked that it may not");
    agent.stop().await;

    let says = async |hop: &str| {
        let findings = examine(&config).await;
        findings.into_iter().find(|finding| finding.hop == hop).map(|finding| finding.outcome).context("no such hop")
    };
    let here = says("api-server").await?.map_err(anyhow::Error::msg)?;
    let uid = plane.kubectl(&["get", "namespace", &installation.own, "-o", "jsonpath={.metadata.uid}"]).await?;
    assert!(here.contains(&uid), "it is known by its own namespace: {here}");
    assert!(says("rights").await?.is_ok_and(|text| text.contains("for what its index asks")));
    installation.kubectl(&["delete", "rolebinding", "capstan-agent"]).await?;
    let may_list = ["auth", "can-i", "--as", &installation.user, "list", "configmaps"];
    installation.until(&may_list, |answer| !answer.starts_with("yes")).await?;
    let lacks = says("rights").await?.expect_err("its rights are gone");
    assert!(lacks.contains(&format!("list configmaps in {team}")) && lacks.contains("deploy/agent"), "{lacks}");
    Ok(())
}
