//! `capstan test`: asks for the tests of an app's release, waits for their end, and says how each went (Helm's `helm test`, for a fleet).

use std::time::Duration;

use hub_api::{Named, TestAppRequest, TestView, TestWord};
use hub_client::Client;
use tokio::time::{Instant, sleep};

use crate::Exit;
use crate::args::TestArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, Rows, print_list};
use crate::text::{count, plain};

/// How long to wait between two looks at the hub.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How much longer than the tests may take their end is waited for: two heartbeats of the agent.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) async fn run(client: &Client, args: TestArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let seconds = u32::try_from(args.timeout.as_secs()).unwrap_or(u32::MAX);
    let request = TestAppRequest { cluster: args.cluster.as_ref().map(ToString::to_string), seconds: Some(seconds) };
    let asked = client.request_tests(&args.app, &request).await?;
    let deadline = Instant::now() + args.timeout + GRACE;
    let views = loop {
        let now = client.tests(&args.app, args.cluster.as_ref()).await?;
        let views: Vec<TestView> = asked.iter().map(|asked| as_asked(asked, &now)).collect();
        if views.iter().all(|view| view.outcome.is_end()) || Instant::now() >= deadline {
            break views;
        }
        sleep(LOOK_AGAIN_AFTER).await;
    };
    let late: Vec<String> = views.iter().filter(|view| !view.outcome.is_end()).map(Named::name).collect();
    let good = views.iter().all(|view| matches!(view.outcome, TestWord::Succeeded | TestWord::NoTests));
    for view in views.iter().filter(|view| view.outcome != TestWord::Succeeded) {
        if let Some(reason) = &view.reason {
            console.say(&plain(&format!("{}: {}: {}", view.name(), reason.code, reason.message)))?;
        }
    }
    print_list(console, format, views, "nothing was tested", table)?;
    if !late.is_empty() {
        let message = format!("{} did not end within {}", late.join(", "), count(seconds as usize, "second"));
        return Err(Failure::timed_out(message, format!("`capstan status {}` says how the app is", args.app)));
    }
    Ok(if good { Exit::Ok } else { Exit::Differs })
}

/// How what was asked for stands now. Another request in its place, or none, is its end.
fn as_asked(asked: &TestView, now: &[TestView]) -> TestView {
    let Some(found) = now.iter().find(|view| view.name() == asked.name()) else { return asked.clone() };
    if asked.outcome.is_end() || found.request == asked.request {
        return if asked.outcome.is_end() { asked.clone() } else { found.clone() };
    }
    let message = match &found.request {
        Some(other) => format!("the tests were asked for again (request {other}) before these ended"),
        None => "the app's release changed before the tests began".to_owned(),
    };
    let reason = hub_api::ReasonView { severity: hub_api::SeverityWord::Warning, code: "TestCancelled".to_owned(), message };
    TestView { outcome: TestWord::Cancelled, reason: Some(reason), ..asked.clone() }
}

fn table(views: &[TestView]) -> Rows {
    let mut cells = Vec::new();
    for view in views {
        if view.tests.is_empty() {
            cells.push(vec![view.cluster.clone(), "-".to_owned(), view.outcome.to_string(), "-".to_owned(), String::new()]);
        }
        cells.extend(view.tests.iter().map(|test| {
            vec![
                view.cluster.clone(),
                test.object.to_string(),
                test.outcome.to_string(),
                test.ended.clone().or_else(|| test.began.clone()).unwrap_or_else(|| "-".to_owned()),
                test.message.clone().unwrap_or_default(),
            ]
        }));
    }
    Rows { headings: &["CLUSTER", "TEST", "OUTCOME", "WHEN", "MESSAGE"], cells }
}
