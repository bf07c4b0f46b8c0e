//! Planning a cluster again: while all that its plan was made from is the same, the plan is the same, and costs a comparison. So a report from one
//! cluster does not make all others be planned anew, and nobody has to say which ones it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_model::{AppName, ClusterName, ClusterUid, Digest, Generation};
use shared_release::{Hold, Index, IndexApp};

use crate::approval::Approved;
use crate::cluster::{ClusterInput, ClusterPlan, plan_cluster};
use crate::memory::Memory;
use crate::wanted::{Gone, Wanted, WantedTest};

/// The plan of a cluster that was made last, with what it was made from.
#[derive(Debug, Clone, Default)]
pub struct LastPlan(Option<(Basis, Arc<ClusterPlan>)>);

impl LastPlan {
    /// As [`plan_cluster`], whatever was planned before.
    pub fn plan(&mut self, input: &ClusterInput<'_>) -> Arc<ClusterPlan> {
        if let Some((basis, plan)) = &self.0
            && basis.is_of(input)
        {
            return plan.clone();
        }
        let plan = Arc::new(plan_cluster(input));
        self.0 = Some((Basis::of(input), plan.clone()));
        plan
    }
}

/// A [`ClusterInput`] that outlives what it was read from. Of releases it holds which ones were missing: a digest says the rest.
#[derive(Debug, Clone)]
struct Basis {
    cluster: ClusterName,
    uid: ClusterUid,
    previous: Option<Index>,
    missing: BTreeSet<Digest>,
    memory: Memory,
    wanted: Wanted,
    approvals: Vec<Approved>,
    holds: BTreeMap<AppName, Hold>,
    tests: BTreeMap<AppName, WantedTest>,
    gone: BTreeMap<AppName, Gone>,
    next: Generation,
}

impl Basis {
    fn of(input: &ClusterInput<'_>) -> Self {
        // Each field by name, so that none that is added later is forgotten here.
        let ClusterInput { cluster, uid, previous, releases: _, memory, wanted, approvals, holds, tests, gone, next } = *input;
        Self {
            cluster: cluster.clone(),
            uid: uid.clone(),
            previous: previous.cloned(),
            missing: missing(input).collect(),
            memory: memory.clone(),
            wanted: wanted.clone(),
            approvals: approvals.to_vec(),
            holds: holds.clone(),
            tests: tests.clone(),
            gone: gone.clone(),
            next,
        }
    }

    fn is_of(&self, input: &ClusterInput<'_>) -> bool {
        let ClusterInput { cluster, uid, previous, releases: _, memory, wanted, approvals, holds, tests, gone, next } = *input;
        let who = self.cluster == *cluster && self.uid == *uid && self.next == next;
        let before = self.previous.as_ref() == previous && self.memory == *memory && missing(input).eq(self.missing.iter().copied());
        let said = self.approvals == approvals && self.holds == *holds && self.tests == *tests && self.gone == *gone;
        who && before && said && self.wanted == *wanted
    }
}

/// The releases that the previous index names and that are not at hand, in order.
fn missing<'a>(input: &'a ClusterInput<'_>) -> impl Iterator<Item = Digest> + 'a {
    let named: BTreeSet<Digest> = input.previous.into_iter().flat_map(|index| index.apps.values()).filter_map(IndexApp::content).collect();
    named.into_iter().filter(|digest| !input.releases.contains_key(digest))
}
