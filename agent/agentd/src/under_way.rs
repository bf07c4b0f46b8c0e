//! Steps that the API server was asked to do and has not answered: a few of each kind at once, so that a kind whose webhook or conversion hangs
//! holds up itself alone. Whoever waits for them waits for progress, not for the last; what is late is taken in when it comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use agent_plan::Step;
use futures_util::FutureExt as _;
use shared_model::{GroupKind, ObjectKey};
use tokio::task::JoinSet;

use crate::agent::IN_FLIGHT;

/// How long nothing may come in before the rest of a group is left to come in later: a hundred times what a write takes.
const PROGRESS: Duration = Duration::from_millis(750);

/// The steps under way, each with what comes of it.
pub(crate) struct UnderWay<T> {
    tasks: JoinSet<(Step, Option<T>)>,
    busy: BTreeSet<ObjectKey>,
    in_flight: BTreeMap<GroupKind, usize>,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), busy: BTreeSet::new(), in_flight: BTreeMap::new() }
    }
}

impl<T: Send + 'static> UnderWay<T> {
    /// Whether something is under way to this object, for whichever app, so that nothing else must be begun.
    pub(crate) fn is_busy(&self, object: &ObjectKey) -> bool {
        self.busy.contains(object)
    }

    /// Begins whatever of `waiting` its kind has room for, and says how many; a step to a busy object is left out, as it is planned again.
    pub(crate) fn begin<F>(&mut self, waiting: &mut BTreeMap<GroupKind, VecDeque<Step>>, attempt: impl Fn(&Step) -> F) -> usize
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut begun = 0;
        for (kind, steps) in waiting.iter_mut() {
            while self.in_flight.get(kind).is_none_or(|count| *count < IN_FLIGHT) {
                let Some(step) = steps.pop_front() else { break };
                if !self.busy.insert(step.object.clone()) {
                    continue;
                }
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

    fn step(kind: &str, name: &str) -> Step {
        let object = ObjectKey::new(GroupKind::new("", kind), Some("web"), name);
        Step { order: 1, app: "web".parse().expect("valid"), object, kind: StepKind::Delete { uid: "u".to_owned() } }
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
            step.object.namespace = Some(format!("n{n}"));
            step
        });
        let others = (0..20).map(|n| step("ConfigMap", &format!("c{n}")));
        let mut waiting = by_kind(hanging.chain(others));
        let attempt = |step: &Step| act(step.object.name.clone());
        let mut done = 0;
        under_way.begin(&mut waiting, attempt);
        while let Some((step, outcome)) = under_way.next_soon().await {
            assert_eq!((step.object.kind.kind.as_str(), outcome.is_some()), ("ConfigMap", true));
            done += 1;
            under_way.begin(&mut waiting, attempt);
        }
        assert_eq!((done, under_way.busy.len(), waiting.values().map(VecDeque::len).sum::<usize>()), (20, IN_FLIGHT, 20 - IN_FLIGHT));
        let mut again = by_kind([step("Widget", "hangs")]);
        again.values_mut().next().expect("one")[0].object.namespace = Some("n0".to_owned());
        under_way.begin(&mut again, attempt);
        assert_eq!(under_way.busy.len(), IN_FLIGHT, "what is busy is not begun twice");
    }

    #[tokio::test]
    async fn an_attempt_that_panics_is_an_attempt_without_an_outcome() {
        let mut under_way = UnderWay::default();
        under_way.begin(&mut by_kind([step("ConfigMap", "panics")]), |step: &Step| act(step.object.name.clone()));
        let (step, outcome) = under_way.next().await.expect("it ended");
        assert!(outcome.is_none() && !under_way.is_busy(&step.object) && under_way.next().await.is_none());
    }
}
