//! The law of the session: whatever is lost, cut or restarted, once the faults stop both sides come to hold the same, and at no time does a queue
//! grow. Hub and agent are the real state machines; the transport between them loses everything that is on its way when it is cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use shared_model::{AppName, AppState, Digest, Generation, Health, Reason, Severity, Timestamp};
use shared_session::{
    AgentConfig, AgentInput, AgentMessage, AgentOutput, AgentSession, AppKey, BootId, ClusterFacts, Delivery, FreshnessDocument, Held,
    HubConfig, HubInput, HubMessage, HubOutput, HubSession, IndexDocument, KeySet, Moment, RootDocument, Secret, Status, StatusAck,
    StatusChange, StatusIndex, StatusUpdate, Target, Verdict, VersionOffer,
};

/// What may be on its way on one lane: the six contents of a hub, and the heartbeats of the time in which a silent peer is still waited for.
const QUEUE_BOUND: usize = 24;

#[derive(Debug, Clone)]
enum Step {
    /// The hub wants something else; every third index is one that the agent refuses.
    Publish,
    /// An app reports something else.
    Report { app: u8, objects: u32 },
    /// An app is withdrawn.
    Withdraw { app: u8 },
    /// Some messages arrive on all lanes.
    Carry { count: u8 },
    /// What the agent's core or the hub's store has in work is finished.
    Finish,
    /// The agent's core cannot take what it was given, this time.
    Fumble,
    /// The store fails.
    FailRecord,
    /// The connection breaks; what was on its way is lost.
    Cut,
    /// A connection is made if there is none.
    Connect,
    /// The hub restarts with what it recorded, or with nothing.
    RestartHub { forgets: bool },
    /// The agent restarts with what it holds.
    RestartAgent,
    /// Time passes.
    Wait { millis: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Publish),
        3 => (0_u8..6, 0_u32..9).prop_map(|(app, objects)| Step::Report { app, objects }),
        1 => (0_u8..6).prop_map(|app| Step::Withdraw { app }),
        8 => (1_u8..5).prop_map(|count| Step::Carry { count }),
        5 => Just(Step::Finish),
        1 => Just(Step::Fumble),
        1 => Just(Step::FailRecord),
        1 => Just(Step::Cut),
        4 => Just(Step::Connect),
        1 => any::<bool>().prop_map(|forgets| Step::RestartHub { forgets }),
        1 => Just(Step::RestartAgent),
        3 => (1_u16..12_000).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// One connection with both ends and what is on its way.
struct Wire {
    hub: HubSession,
    agent: AgentSession,
    to_hub: VecDeque<AgentMessage>,
    to_agent: VecDeque<HubMessage>,
    updates: VecDeque<StatusUpdate>,
    acks: VecDeque<StatusAck>,
    recording: Option<StatusChange>,
    delivery: Option<Delivery>,
    over: bool,
}

struct World {
    uptime: Duration,
    wire: Option<Wire>,
    target: Arc<Target>,
    published: u64,
    recorded: StatusIndex,
    recorded_apps: BTreeMap<AppName, AppState>,
    held: Held,
    refused: Option<Digest>,
    status: Status,
    boot: u8,
    judged: BTreeMap<Digest, u32>,
    longest_queue: usize,
}

fn target(number: u64) -> Arc<Target> {
    let key = AppKey { id: format!("key-{}", number / 4), secret: Secret::new(vec![1; 32]) };
    Arc::new(Target {
        root: RootDocument::new(format!("root {}", number / 7)),
        index: IndexDocument::new(format!("index {number}")),
        freshness: Some(FreshnessDocument::new(format!("fresh {number}"))),
        keys: Arc::new(KeySet::new([key]).unwrap()),
    })
}

fn number(index: &IndexDocument) -> u64 {
    std::str::from_utf8(index.bytes()).unwrap().strip_prefix("index ").unwrap().parse().unwrap()
}

fn is_refused(index: &IndexDocument) -> bool {
    number(index) % 3 == 2
}

fn app_state(objects: u32) -> AppState {
    AppState {
        wanted: None,
        applied: None,
        health: Health::Healthy,
        reason: None,
        objects,
        unhealthy: vec![],
        drift: vec![],
        awaiting_approval: vec![],
        withdrawn: vec![],
        removed: false,
        taken_over: vec![],
        test: None,
    }
}

fn app_name(app: u8) -> AppName {
    format!("app-{app}").parse().unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            uptime: Duration::ZERO,
            wire: None,
            target: target(0),
            published: 0,
            recorded: StatusIndex::empty(),
            recorded_apps: BTreeMap::new(),
            held: Held::default(),
            refused: None,
            status: Status::new(ClusterFacts::default(), []),
            boot: 0,
            judged: BTreeMap::new(),
            longest_queue: 0,
        }
    }

    fn now(&self) -> Moment {
        Moment { uptime: self.uptime, wall: Timestamp::UNIX_EPOCH + self.uptime }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Publish => {
                self.published += 1;
                self.target = target(self.published);
                self.tell_hub(HubInput::Target(Some(Arc::clone(&self.target))));
            }
            Step::Report { app, objects } => self.report(*app, Some(app_state(*objects))),
            Step::Withdraw { app } => self.report(*app, None),
            Step::Carry { count } => (0..*count).for_each(|_| self.carry()),
            Step::Finish => self.finish(),
            Step::Fumble => {
                if self.wire.as_mut().and_then(|wire| wire.delivery.take_if(|delivery| !matches!(delivery, Delivery::Index(_)))).is_some() {
                    self.tell_agent(AgentInput::Delivered { held: self.held.clone(), verdict: None });
                }
            }
            Step::FailRecord => {
                if self.wire.as_mut().and_then(|wire| wire.recording.take()).is_some() {
                    self.tell_hub(HubInput::RecordFailed);
                }
            }
            Step::Cut => self.cut(),
            Step::Connect => self.connect(),
            Step::RestartHub { forgets } => {
                self.cut();
                if *forgets {
                    self.recorded = StatusIndex::empty();
                    self.recorded_apps.clear();
                }
            }
            Step::RestartAgent => {
                self.cut();
                self.boot += 1;
                self.refused = None;
            }
            Step::Wait { millis } => {
                self.uptime += Duration::from_millis(u64::from(*millis));
                self.tick();
            }
        }
        if self.wire.as_ref().is_some_and(|wire| wire.over) {
            self.cut();
        }
        if let Some(wire) = &self.wire {
            let longest = [wire.to_hub.len(), wire.to_agent.len(), wire.updates.len() * QUEUE_BOUND / 2, wire.acks.len() * QUEUE_BOUND / 2];
            self.longest_queue = longest.into_iter().max().unwrap_or(0).max(self.longest_queue);
        }
    }

    fn report(&mut self, app: u8, state: Option<AppState>) {
        self.status = self.status.clone().with(app_name(app), state);
        self.tell_agent(AgentInput::Status(self.status.clone()));
    }

    fn connect(&mut self) {
        if self.wire.is_some() {
            return;
        }
        let config = AgentConfig { versions: VersionOffer::ours(), boot: BootId([self.boot; 16]), agent_version: "1".into() };
        let held = Held { refused: self.refused, ..self.held.clone() };
        let (agent, hello) = AgentSession::open(self.now(), &config, held, self.status.clone());
        let hub = HubSession::open(self.now(), HubConfig::default(), self.recorded.clone());
        self.wire = Some(Wire {
            hub,
            agent,
            to_hub: VecDeque::new(),
            to_agent: VecDeque::new(),
            updates: VecDeque::new(),
            acks: VecDeque::new(),
            recording: None,
            delivery: None,
            over: false,
        });
        self.carry_out(hello);
        self.tell_hub(HubInput::Target(Some(Arc::clone(&self.target))));
    }

    fn cut(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.refused = wire.agent.held().refused;
        }
    }

    fn tick(&mut self) {
        self.tell_hub(HubInput::Tick);
        self.tell_agent(AgentInput::Tick);
    }

    /// One message of each lane arrives.
    fn carry(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let (control, message) = (wire.to_hub.pop_front(), wire.to_agent.pop_front());
        let (update, ack) = (wire.updates.pop_front(), wire.acks.pop_front());
        if let Some(control) = control {
            self.tell_hub(HubInput::Received(control));
        }
        if let Some(update) = update {
            self.tell_hub(HubInput::Status(update));
        }
        if let Some(message) = message {
            self.tell_agent(AgentInput::Received(message));
        }
        if let Some(ack) = ack {
            self.tell_agent(AgentInput::StatusAcknowledged(ack));
        }
    }

    fn finish(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let (recording, delivery) = (wire.recording.take(), wire.delivery.take());
        if let Some(change) = recording {
            for (name, report) in change.apps {
                self.recorded_apps.insert(name, (*report.state).clone());
            }
            for name in &change.removed {
                self.recorded_apps.remove(name);
            }
            self.recorded = change.index;
            self.tell_hub(HubInput::Recorded);
        }
        if let Some(delivery) = delivery {
            let verdict = self.judge(delivery);
            self.tell_agent(AgentInput::Delivered { held: self.held.clone(), verdict });
        }
    }

    fn judge(&mut self, delivery: Delivery) -> Option<Verdict> {
        match delivery {
            Delivery::Root(root) => self.held.root = Some(root.digest()),
            Delivery::Keys(keys) => self.held.keys = Some(keys.digest()),
            Delivery::Freshness(freshness) => self.held.freshness = Some(freshness.digest()),
            Delivery::Index(index) => {
                *self.judged.entry(index.digest()).or_default() += 1;
                if is_refused(&index) {
                    return Some(Verdict::Refused(Reason::new(Severity::Error, "Refused", "")));
                }
                let generation = Generation::new(1, number(&index));
                self.held.index = Some(index.digest());
                self.held.generation = generation;
                return Some(Verdict::Accepted(generation));
            }
        }
        None
    }

    fn tell_hub(&mut self, input: HubInput) {
        let now = self.now();
        let Some(wire) = &mut self.wire else { return };
        for output in wire.hub.handle(now, input) {
            match output {
                HubOutput::Send(message) => wire.to_agent.push_back(message),
                HubOutput::Acknowledge(ack) => wire.acks.push_back(ack),
                HubOutput::Record(change) => assert!(wire.recording.replace(change).is_none(), "one record at a time"),
                HubOutput::Heard(_) => {}
                // The goodbye still arrives, then the connection ends; here it ends at once, which is worse.
                HubOutput::End => wire.over = true,
            }
        }
    }

    fn tell_agent(&mut self, input: AgentInput) {
        let now = self.now();
        let Some(wire) = &mut self.wire else { return };
        let outputs = wire.agent.handle(now, input);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<AgentOutput>) {
        let Some(wire) = &mut self.wire else { return };
        for output in outputs {
            match output {
                AgentOutput::Send(message) => wire.to_hub.push_back(message),
                AgentOutput::SendStatus(update) => wire.updates.push_back(update),
                AgentOutput::Deliver(delivery) => assert!(wire.delivery.replace(delivery).is_none(), "one delivery at a time"),
                AgentOutput::Welcomed { .. } => {}
                AgentOutput::End(_) => wire.over = true,
            }
        }
    }

    fn settled(&self) -> bool {
        let refused = self.wire.as_ref().and_then(|wire| wire.agent.held().refused);
        let index = Some(self.target.index.digest());
        (self.held.index == index || refused == index)
            && self.held.root == Some(self.target.root.digest())
            && self.held.keys == Some(self.target.keys.digest())
            && self.held.freshness == self.target.freshness.as_ref().map(FreshnessDocument::digest)
            && self.recorded == *self.status.index()
    }

    /// No more faults: messages arrive, work is finished, time passes. Gives the simulated time until both sides agree.
    fn settle(&mut self) -> Option<Duration> {
        let begun = self.uptime;
        for _ in 0..2_000 {
            if self.settled() {
                return Some(self.uptime - begun);
            }
            for step in [Step::Connect, Step::Carry { count: 4 }, Step::Finish, Step::Wait { millis: 50 }] {
                self.take(&step);
            }
        }
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_sides_agree_once_the_faults_stop(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let took = world.settle();
        prop_assert!(took.is_some(), "they never agreed: target {:?}, held {:?}", world.target, world.held);
        // What the core could not take is sent again after a minute.
        prop_assert!(took.unwrap() <= Duration::from_secs(75), "{took:?}");
        let told: BTreeMap<AppName, AppState> =
            world.status.apps().iter().map(|(name, report)| (name.clone(), (*report.state).clone())).collect();
        prop_assert_eq!(&world.recorded_apps, &told);
        prop_assert!(world.longest_queue <= QUEUE_BOUND, "a queue of {}", world.longest_queue);
    }

    /// An agent that is in sync and comes back gets nothing of size and sends nothing of size.
    #[test]
    fn a_return_in_sync_costs_bytes(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        prop_assume!(world.settle().is_some());
        let refused = world.wire.as_ref().and_then(|wire| wire.agent.held().refused);
        let judged = world.judged.clone();
        for _ in 0..20 {
            world.take(&Step::Cut);
            world.take(&Step::Connect);
            for _ in 0..30 {
                world.take(&Step::Carry { count: 1 });
                let wire = world.wire.as_ref().unwrap();
                prop_assert!(wire.updates.is_empty(), "a status on its way");
                let small = |message: &HubMessage| matches!(message, HubMessage::Welcome(_) | HubMessage::HeartbeatSeen { .. });
                prop_assert!(wire.to_agent.iter().all(small), "{:?}", wire.to_agent);
                world.take(&Step::Finish);
            }
            world.take(&Step::Wait { millis: 11_000 });
        }
        prop_assert_eq!(&world.judged, &judged);
        prop_assert_eq!(world.refused, refused, "what was refused is remembered over connections");
    }
}

#[test]
fn a_refused_index_is_judged_once_however_long_the_agent_stays() {
    let mut world = World::new();
    for _ in 0..2 {
        world.take(&Step::Publish);
    }
    assert!(is_refused(&world.target.index));
    world.settle().unwrap();
    for _ in 0..100 {
        for step in [Step::Wait { millis: 9_000 }, Step::Carry { count: 9 }, Step::Finish, Step::Connect] {
            world.take(&step);
        }
    }
    assert_eq!(world.judged[&world.target.index.digest()], 1);
}

#[test]
fn silence_ends_both_ends() {
    let mut world = World::new();
    world.take(&Step::Connect);
    world.take(&Step::Carry { count: 4 });
    assert!(world.wire.is_some());
    let wire = world.wire.as_ref().unwrap();
    assert!(wire.hub.wake() <= Duration::from_secs(30) && wire.agent.wake() <= Duration::from_secs(30));
    for _ in 0..4 {
        world.take(&Step::Wait { millis: 10_000 });
    }
    assert!(world.wire.is_none(), "thirty seconds without a word");
}
