//! Steps that the API server was asked to do and has not answered: a few of each kind at once, so that a kind whose webhook or conversion hangs
//! holds up itself alone. Whoever waits for them waits for progress, not for the last; what is late is taken in when it comes.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use agent_plan::Step;
use futures_util::FutureExt as _;
use shared_model::{AppName, GroupKind, ObjectKey, Timestamp};
use tokio::task::JoinSet;

use crate::agent::IN_FLIGHT;

/// How long nothing may come in before the rest of a group is left to come in later: a hundred times what a write takes.
const PROGRESS: Duration = Duration::from_millis(750);

/// How long a step that is not answered holds up what comes after it in its own app, which may need it: longer than an API server under load
/// takes, shorter than a webhook may hang (10 s unless it says otherwise), whose kind is to hold up itself alone.
const HOLDS_UP_FOR: Duration = Duration::from_secs(5);

/// The steps under way, each with what comes of it.
pub(crate) struct UnderWay<T> {
    tasks: JoinSet<(Step, Option<T>)>,
    busy: BTreeMap<Arc<ObjectKey>, Begun>,
    in_flight: BTreeMap<GroupKind, usize>,
}

/// A step that was begun.
struct Begun {
    app: AppName,
    order: u32,
    at: Timestamp,
}

impl Begun {
    /// When it holds up its app no longer. A clock that was set back makes it no younger than `now`.
    fn lets_go_at(&self, now: Timestamp) -> Timestamp {
        self.at.min(now) + HOLDS_UP_FOR
    }
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), busy: BTreeMap::new(), in_flight: BTreeMap::new() }
    }
}

impl<T: Send + 'static> UnderWay<T> {
    /// Whether something is under way to this object, for whichever app, so that nothing else must be begun.
    pub(crate) fn is_busy(&self, object: &ObjectKey) -> bool {
        self.busy.contains_key(object)
    }

    /// Until when a step has to wait for one of its app that comes before it and is not answered yet.
    pub(crate) fn holds_up(&self, step: &Step, now: Timestamp) -> Option<Timestamp> {
        let before = self.busy.values().filter(|begun| begun.app == step.app && begun.order < step.order);
        before.map(|begun| begun.lets_go_at(now)).filter(|until| now < *until).max()
    }

    /// Begins whatever of `waiting` its kind has room for, and says how many; a step to a busy object is left out, as it is planned again.
    pub(crate) fn begin<F>(
        &mut self,
        waiting: &mut BTreeMap<GroupKind, VecDeque<Step>>,
        now: Timestamp,
        attempt: impl Fn(&Step) -> F,
    ) -> usize
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut begun = 0;
        for (kind, steps) in waiting.iter_mut() {
            while self.in_flight.get(kind).is_none_or(|count| *count < IN_FLIGHT) {
                let Some(step) = steps.pop_front() else { break };
                if self.is_busy(&step.object) {
                    continue;
                }
                self.busy.insert(step.object.clone(), Begun { app: step.app.clone(), order: step.order, at: now });
                *self.in_flight.entry(kind.clone()).or_default() += 1;
                begun += 1;
                // A panic in one attempt is an attempt without an outcome: it is planned again.
                let work = AssertUnwindSafe(attempt(&step)).catch_unwind();
                self.tasks.spawn(async move { (step, work.await.ok()) });
            }
        }
        waiting.retain(|_, steps| !steps.is_empty());
        begun
    }

    /// The next step that is done; `None` if nothing is under way. Cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(Step, Option<T>)> {
        let (step, outcome) = self.tasks.join_next().await?.ok()?;
        self.busy.remove(&step.object);
        if let Some(count) = self.in_flight.get_mut(&step.object.kind) {
            *count -= 1;
        }
        Some((step, outcome))
    }

    /// The next step that is done, if one is soon.
    pub(crate) async fn next_soon(&mut self) -> Option<(Step, Option<T>)> {
        tokio::time::timeout(PROGRESS, self.next()).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use agent_plan::StepKind;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("valid")
    }

    fn step(kind: &str, name: &str) -> Step {
        let object = ObjectKey::new(GroupKind::new("", kind), Some("web"), name);
        Step { order: 1, app: "web".parse().expect("valid"), object: Arc::new(object), kind: StepKind::Delete { uid: "u".to_owned() } }
    }

    fn by_kind(steps: impl IntoIterator<Item = Step>) -> BTreeMap<GroupKind, VecDeque<Step>> {
        let mut waiting: BTreeMap<GroupKind, VecDeque<Step>> = BTreeMap::new();
        for step in steps {
            waiting.entry(step.object.kind.clone()).or_default().push_back(step);
        }
        waiting
    }

    async fn act(name: String) -> String {
        match name.as_str() {
            "hangs" => std::future::pending().await,
            "panics" => panic!("on purpose"),
            _ => name,
        }
    }

    #[tokio::test]
    async fn a_kind_that_hangs_is_left_to_come_later_and_others_are_done() {
        let mut under_way = UnderWay::default();
        let hanging = (0..20).map(|_| step("Widget", "hangs")).enumerate().map(|(n, mut step)| {
            Arc::make_mut(&mut step.object).namespace = Some(format!("n{n}"));
            step
        });
        let others = (0..20).map(|n| step("ConfigMap", &format!("c{n}")));
        let mut waiting = by_kind(hanging.chain(others));
        let attempt = |step: &Step| act(step.object.name.clone());
        let mut done = 0;
        under_way.begin(&mut waiting, at(0), attempt);
        while let Some((step, outcome)) = under_way.next_soon().await {
            assert_eq!((step.object.kind.kind.as_str(), outcome.is_some()), ("ConfigMap", true));
            done += 1;
            under_way.begin(&mut waiting, at(0), attempt);
        }
        assert_eq!((done, under_way.busy.len(), waiting.values().map(VecDeque::len).sum::<usize>()), (20, IN_FLIGHT, 20 - IN_FLIGHT));
        let mut again = by_kind([step("Widget", "hangs")]);
        Arc::make_mut(&mut again.values_mut().next().expect("one")[0].object).namespace = Some("n0".to_owned());
        under_way.begin(&mut again, at(0), attempt);
        assert_eq!(under_way.busy.len(), IN_FLIGHT, "what is busy is not begun twice");
    }

    #[tokio::test]
    async fn an_attempt_that_panics_is_an_attempt_without_an_outcome() {
        let mut under_way = UnderWay::default();
        under_way.begin(&mut by_kind([step("ConfigMap", "panics")]), at(0), |step: &Step| act(step.object.name.clone()));
        let (step, outcome) = under_way.next().await.expect("it ended");
        assert!(outcome.is_none() && !under_way.is_busy(&step.object) && under_way.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_not_answered_holds_up_what_comes_after_it_in_its_app_and_only_for_a_while() {
        let mut under_way = UnderWay::default();
        under_way.begin(&mut by_kind([step("Service", "hangs")]), at(0), |step: &Step| act(step.object.name.clone()));
        let after = Step { order: 2, ..step("Deployment", "api") };
        assert_eq!(under_way.holds_up(&after, at(1)), Some(at(5)));
        assert_eq!(under_way.holds_up(&after, at(-9)), Some(at(-4)), "a clock that was set back");
        assert_eq!(under_way.holds_up(&after, at(5)), None);
        assert_eq!(under_way.holds_up(&step("Secret", "beside"), at(1)), None);
        assert_eq!(under_way.holds_up(&Step { app: "other".parse().expect("valid"), ..after }, at(1)), None);
    }
}
