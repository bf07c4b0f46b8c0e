//! The layers of the agent's configuration.

use agent_agentd::{DEFAULT_ADMIN, DEFAULT_DATA_DIR, DEFAULT_NAMESPACE, Flags, Guardrail, ProcessConfig, SettingsError, Token};
use clap::Parser;
use shared_session::Secret;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

/// What the command line `arguments` comes to with a file of this content.
fn resolve(file: &str, arguments: &[&str]) -> Result<ProcessConfig, SettingsError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.yaml");
    std::fs::write(&path, file).expect("written");
    let path = path.to_str().expect("UTF-8");
    let line = ["capstan-agent", "--config", path].into_iter().chain(arguments.iter().copied());
    Arguments::try_parse_from(line).expect("a command line").flags.resolve()
}

const ADDRESSES: &str = "hub: hub.example.com:7443\nenrolment: hub.example.com:7444\n";

#[test]
fn what_nobody_sets_is_as_documented() {
    let config = resolve(ADDRESSES, &[]).expect("complete");
    assert_eq!(config.agent.data_dir.to_str(), Some(DEFAULT_DATA_DIR));
    assert_eq!(config.agent.namespace, DEFAULT_NAMESPACE);
    assert_eq!(config.agent.guardrail, Guardrail::open(DEFAULT_NAMESPACE));
    assert_eq!(config.agent.admin_listen, DEFAULT_ADMIN.parse().ok());
    assert_eq!((config.logs.format.as_str(), config.logs.filter.as_str()), ("json", "info,kube_client=off"));
    assert!(config.kubeconfig.is_none() && config.agent.token.is_none() && config.agent.ca_pin.is_none());
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = format!("{ADDRESSES}namespace: from-file\ndataDir: /from/file\nadminListen: none\ntokenFile: /from/file/token\n");
    let config = resolve(&file, &["--namespace", "from-flag", "--hub", "other:1", "--token", "word"]).expect("complete");
    assert_eq!((config.agent.namespace.as_str(), config.agent.data_dir.to_str()), ("from-flag", Some("/from/file")));
    assert_eq!((config.agent.hub.to_string(), config.agent.enrolment.to_string()), ("other:1".into(), "hub.example.com:7444".into()));
    assert_eq!(config.agent.admin_listen, None);
    assert_eq!(config.agent.token, Some(Token::Text(Secret::new(b"word".to_vec()))));
}

#[test]
fn what_is_wrong_is_said_with_its_remedy() {
    let cases: [(&str, &[&str], &str); 8] = [
        ("", &[], "hub is not set; take it from the command that `capstan cluster add` printed (flag --hub, environment CAPSTAN_AGENT_HUB"),
        ("hub: a:1\n", &[], "enrolment is not set"),
        ("hub: a:1\nenrolment: nowhere\n", &[], "\"nowhere\" is no hub address; write HOST:PORT"),
        (ADDRESSES, &["--ca-pin", "sha256:12"], "the CA pin is wrong"),
        (ADDRESSES, &["--admin-listen", "everywhere"], "\"everywhere\" is no address to listen at"),
        (ADDRESSES, &["--log-format", "xml"], "\"xml\" is no log format; use json or text"),
        ("hub: a:1\nhubb: b:1\n", &[], "unknown field `hubb`"),
        ("hub: a:1\nenrolment: a:2\ntoken: x\ntokenFile: y\n", &[], "both token and tokenFile are set"),
    ];
    for (file, arguments, expected) in cases {
        let error = resolve(file, arguments).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_agent_is_for_the_whole_cluster_or_for_namespaces_that_are_not_its_own() {
    let installed = |arguments: &[&str]| resolve(ADDRESSES, arguments).map(|config| config.agent.guardrail.installed_for);
    assert_eq!(installed(&[]).expect("complete"), None);
    assert_eq!(installed(&["--namespaces", ""]).expect("complete"), None, "an empty variable is none");
    let two = installed(&["--namespaces", "team-b, team-a"]).expect("complete").expect("some");
    assert_eq!(two.iter().map(String::as_str).collect::<Vec<_>>(), ["team-a", "team-b"]);
    for (names, part) in [("team-a,capstan-system", "is the agent's own namespace"), ("team-*", "is no namespace")] {
        let error = installed(&["--namespaces", names]).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_token_is_never_shown() {
    let config = resolve(ADDRESSES, &["--token", "canary-4711"]).expect("complete");
    assert!(!format!("{config:?}").contains("canary-4711"));
}

#[test]
fn the_guardrail_is_read_whole_or_refused() {
    let read = |text: &str| {
        let disk = tempfile::tempdir().expect("a directory");
        let path = disk.path().join("guardrail.yaml");
        std::fs::write(&path, text).expect("written");
        resolve(&format!("{ADDRESSES}guardrail: {}\n", path.display()), &[])
            .map(|config| config.agent.guardrail)
            .map_err(|error| error.to_string())
    };
    let spec = "spec: {namespaces: [\"team-*\"], deny: [\"*.rbac.authorization.k8s.io\"], deletionsPerHour: 5, crashLines: false}\n";
    let guardrail = read(&format!("apiVersion: capstan.dev/v1\nkind: Guardrail\nmetadata: {{name: owner}}\n{spec}")).expect("a guardrail");
    assert_eq!((guardrail.own_namespace.as_str(), guardrail.deletions_per_hour, guardrail.deny.len()), (DEFAULT_NAMESPACE, Some(5), 1));
    assert!(!guardrail.crash_lines, "lines of logs stay in the cluster where its owner says so");
    for (text, part) in [
        ("apiVersion: capstan.dev/v1\nkind: Guardrail\nspec: {deny: [secrets]}\n", "spec.deny: \"secrets\" names no kind"),
        ("apiVersion: capstan.dev/v1\nkind: Guardrail\nspec: {denied: []}\n", "unknown field `denied`"),
        (
            "apiVersion: capstan.dev/v1\nkind: Guardrail\nspec: {impersonate: [{apps: [a], serviceAccounts: [deployer]}]}\n",
            "\"deployer\" names no service account; write NAMESPACE:NAME",
        ),
        ("apiVersion: capstan.dev/v1\nkind: Guardrail\nspec: {impersonate: [{apps: [a]}]}\n", "needs apps, and serviceAccounts"),
        ("apiVersion: capstan.dev/v1\nkind: App\n", "a guardrail is capstan.dev/v1 and Guardrail"),
    ] {
        let error = read(text).expect_err(part);
        assert!(error.contains(part) && error.contains("guardrail.yaml"), "{error}");
    }
}
