//! Which apps a turn looks at. A plan for all of them is the truth; what comes of an app that is at rest and was not touched is as it was, so that
//! most turns plan one app of a thousand. Once in a while, and whenever more than single objects changed, everything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::News;
use agent_plan::{AppPlan, Kinds};
use shared_model::{AppName, AppState, Digest, ObjectKey, Timestamp};

/// After this everything is looked at again, so that nothing that was overlooked stays so. Events, lists and wakes tell of what happens, so that this
/// need not come often: once a minute it was half of what a quiet agent with 10,000 objects did.
const EVERYTHING_EVERY: Duration = Duration::from_secs(600);

/// With more touched objects than this all apps are looked at: finding the apps of each would cost as much.
const MOST_TOUCHED: usize = 256;

/// What a turn looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All apps.
    Everything,
    /// These apps.
    Apps(BTreeSet<AppName>),
}

/// What is known of the apps that a turn does not look at.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    states: BTreeMap<AppName, Arc<AppState>>,
    restless: BTreeSet<AppName>,
    /// What the last plan rested on beside objects.
    basis: Option<(Option<Digest>, Kinds)>,
    everything_at: Option<Timestamp>,
}

impl Planned {
    /// What to look at now: apps that are not at rest, and those of the touched objects as `apps_of` finds them; everything if the index or what the
    /// API server serves is another one.
    pub(crate) fn scope(
        &mut self,
        news: News,
        index: Option<Digest>,
        kinds: &Kinds,
        now: Timestamp,
        apps_of: impl Fn(&ObjectKey) -> BTreeSet<AppName>,
    ) -> Scope {
        let same_basis = self.basis.as_ref().is_some_and(|(of, known)| *of == index && known == kinds);
        // A clock that was set back must not put it off.
        let overdue = self.everything_at.is_none_or(|at| at <= now || at > now + EVERYTHING_EVERY);
        let touched = match news {
            News::Objects(touched) if same_basis && !overdue && touched.len() <= MOST_TOUCHED => touched,
            _ => {
                self.basis = Some((index, kinds.clone()));
                self.everything_at = Some(now + EVERYTHING_EVERY);
                return Scope::Everything;
            }
        };
        let mut apps = self.restless.clone();
        apps.extend(touched.iter().flat_map(apps_of));
        Scope::Apps(apps)
    }

    /// The next turn looks at this app.
    pub(crate) fn touch(&mut self, app: &AppName) {
        self.restless.insert(app.clone());
    }

    /// The next turn looks at everything.
    pub(crate) fn doubt(&mut self) {
        self.everything_at = None;
    }

    /// Takes in what was planned for the apps of `scope`, and their states out of the plans: those of ten thousand objects are not kept twice. Says
    /// whether the state of any app is another one.
    pub(crate) fn take(&mut self, scope: &Scope, plans: &mut BTreeMap<AppName, AppPlan>) -> bool {
        let mut changed = false;
        let is_looked_at = |app: &AppName| match scope {
            Scope::Everything => true,
            Scope::Apps(apps) => apps.contains(app),
        };
        let known = self.states.len();
        self.states.retain(|app, _| !is_looked_at(app) || plans.contains_key(app));
        changed |= self.states.len() != known;
        self.restless.retain(|app| !is_looked_at(app));
        for (app, planned) in plans {
            if !planned.at_rest {
                self.restless.insert(app.clone());
            }
            if self.states.get(app).map(Arc::as_ref) != Some(&planned.state) {
                self.states.insert(app.clone(), Arc::new(std::mem::take(&mut planned.state)));
                changed = true;
            }
        }
        changed
    }

    /// The newest state of each app.
    pub(crate) fn states(&self) -> &BTreeMap<AppName, Arc<AppState>> {
        &self.states
    }

    /// Whether nothing is left to do for any app.
    pub(crate) fn is_settled(&self) -> bool {
        self.states.values().all(|state| state.wanted == state.applied && state.awaiting_approval.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use shared_model::GroupKind;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("valid")
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), name)
    }

    fn scope(planned: &mut Planned, news: News, index: &[u8], now: i64) -> Scope {
        planned.scope(news, Some(Digest::of(index)), &Kinds::new(), at(now), |key| BTreeSet::from([key.name.parse().expect("valid")]))
    }

    #[test]
    fn everything_is_looked_at_first_with_another_index_with_unnamed_news_and_once_in_a_while_and_else_what_was_touched() {
        let mut planned = Planned::default();
        let touched = || News::Objects(BTreeSet::from([key("a")]));
        assert_eq!(scope(&mut planned, touched(), b"1", 0), Scope::Everything);
        assert_eq!(scope(&mut planned, touched(), b"1", 1), Scope::Apps(BTreeSet::from(["a".parse().expect("valid")])));
        assert_eq!(scope(&mut planned, News::default(), b"1", 2), Scope::Apps(BTreeSet::new()));
        assert_eq!(scope(&mut planned, News::Everything, b"1", 3), Scope::Everything);
        assert_eq!(scope(&mut planned, touched(), b"2", 4), Scope::Everything);
        assert_eq!(scope(&mut planned, touched(), b"2", 610), Scope::Everything);
        assert_ne!(scope(&mut planned, touched(), b"2", 611), Scope::Everything);
        planned.doubt();
        assert_eq!(scope(&mut planned, touched(), b"2", 612), Scope::Everything);
    }
}
