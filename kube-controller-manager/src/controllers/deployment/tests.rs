//! Data-driven tests of Deployment steps, driven to convergence with simulated ReplicaSets.

use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetStatus, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::plan::{Action, Observed, Plan, plan};
use super::{annotations, rollout, status};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn template(image: &str) -> PodTemplateSpec {
    let container = Container { name: "c".into(), image: Some(image.into()), ..Container::default() };
    PodTemplateSpec { metadata: None, spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }) }
}

fn number_or_percent(text: &str) -> IntOrString {
    text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int)
}

fn deployment(replicas: i32, image: &str, surge: &str, unavailable: &str) -> Deployment {
    let mut made = Deployment::default();
    made.metadata.name = Some("web".into());
    made.metadata.namespace = Some("default".into());
    made.metadata.uid = Some("d".into());
    made.metadata.generation = Some(1);
    made.spec = Some(DeploymentSpec {
        replicas: Some(replicas),
        template: template(image),
        selector: LabelSelector {
            match_labels: Some([("app".to_owned(), "web".to_owned())].into()),
            ..LabelSelector::default()
        },
        progress_deadline_seconds: Some(600),
        revision_history_limit: Some(2),
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(number_or_percent(surge)),
                max_unavailable: Some(number_or_percent(unavailable)),
            }),
        }),
        ..DeploymentSpec::default()
    });
    made
}

/// A cluster in which ReplicaSets do at once what they are told, unless pods are not to become ready.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    seconds: i64,
    images_fail: bool,
    old_pods_run: bool,
    log: Vec<String>,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), seconds: 0, images_fail: false, old_pods_run: false, log: Vec::new() }
    }

    fn step(&mut self) -> Plan {
        let observed = Observed {
            deployment: &self.deployment,
            sets: self.sets.clone(),
            old_pods_run: self.old_pods_run,
            now: at(self.seconds),
        };
        let plan = plan(&observed);
        for action in &plan.actions {
            self.apply(action);
        }
        self.deployment.status = Some(plan.status.clone());
        if let Some(revision) = &plan.revision {
            annotations::put(&mut self.deployment.metadata, annotations::REVISION, revision.clone());
        }
        plan
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Create(set) => {
                let mut set = (**set).clone();
                set.metadata.creation_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(self.seconds)));
                set.metadata.uid = Some(set.name().to_owned());
                self.log.push(format!("create {}", rollout::wanted(&set)));
                self.sets.push(set);
            }
            Action::Update(set) | Action::Scale { set, .. } => {
                let known = self.sets.iter_mut().find(|known| known.name() == set.name()).unwrap();
                if let Action::Scale { from, .. } = action {
                    self.log.push(format!(
                        "{}: {from}>{}",
                        set.annotation(annotations::REVISION).unwrap_or("?"),
                        rollout::wanted(set)
                    ));
                }
                *known = (**set).clone();
            }
            Action::Delete(set) => {
                self.log.push(format!("delete {}", set.annotation(annotations::REVISION).unwrap_or("?")));
                self.sets.retain(|known| known.name() != set.name());
            }
        }
    }

    fn obey(&mut self) {
        for set in &mut self.sets {
            let wanted = rollout::wanted(set);
            let was = rollout::available(set);
            let available = if self.images_fail { was.min(wanted) } else { wanted };
            set.status = Some(ReplicaSetStatus {
                replicas: wanted,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
        self.seconds += 1;
    }

    /// Steps until nothing more happens; checks the bounds of a rolling update at every step.
    fn settle(&mut self) {
        for _ in 0..100 {
            let plan = self.step();
            let total: i32 = self.sets.iter().map(rollout::wanted).sum();
            let goal = rollout::replicas(&self.deployment);
            assert!(total <= (goal + rollout::max_surge(&self.deployment)).max(total.min(goal)), "too many: {total}");
            self.obey();
            if plan.actions.is_empty() && plan.status == self.step().status {
                return;
            }
        }
        panic!("does not settle: {:?}", self.log);
    }

    fn set_image(&mut self, image: &str) {
        self.deployment.spec.as_mut().unwrap().template = template(image);
        let generation = self.deployment.metadata.generation.unwrap() + 1;
        self.deployment.metadata.generation = Some(generation);
    }

    fn progressing(&self) -> String {
        let status = self.deployment.status.as_ref().unwrap();
        let condition = status::condition(status, status::PROGRESSING).unwrap();
        format!("{} {}", condition.status, condition.reason.clone().unwrap_or_default())
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(rollout::wanted).collect()
    }
}

#[test]
fn a_first_rollout_and_an_update() {
    let mut world = World::new(deployment(3, "a", "25%", "25%"));
    world.settle();
    assert_eq!(world.sizes(), [3]);
    assert_eq!(world.progressing(), "True NewReplicaSetAvailable");
    assert_eq!(world.deployment.annotation(annotations::REVISION), Some("1"));
    world.log.clear();
    world.set_image("b");
    world.settle();
    assert_eq!(world.sizes(), [0, 3]);
    assert_eq!(world.log, ["create 1", "1: 3>2", "2: 1>2", "1: 2>1", "2: 2>3", "1: 1>0"]);
    assert_eq!(world.deployment.annotation(annotations::REVISION), Some("2"));
}

#[test]
fn going_back_reuses_the_old_set() {
    let mut world = World::new(deployment(2, "a", "25%", "25%"));
    world.settle();
    world.set_image("b");
    world.settle();
    world.set_image("a");
    world.settle();
    assert_eq!(world.sizes(), [2, 0]);
    assert_eq!(world.deployment.annotation(annotations::REVISION), Some("3"));
    assert_eq!(world.sets[0].annotation(annotations::REVISION_HISTORY), Some("1"));
}

#[test]
fn history_is_cut() {
    let mut world = World::new(deployment(1, "a", "1", "0"));
    for image in ["a", "b", "c", "d", "e"] {
        world.set_image(image);
        world.settle();
    }
    let revisions: Vec<i64> = world.sets.iter().map(|set| annotations::revision(&set.metadata)).collect();
    assert_eq!(revisions, [3, 4, 5]);
}

#[test]
fn a_stuck_rollout_times_out_and_keeps_enough_pods() {
    let mut world = World::new(deployment(4, "a", "25%", "25%"));
    world.settle();
    world.images_fail = true;
    world.set_image("bad");
    for _ in 0..20 {
        world.step();
        world.obey();
    }
    assert_eq!(world.sizes(), [3, 2]);
    assert_eq!(world.progressing(), "True ReplicaSetUpdated");
    world.seconds += 700;
    world.step();
    assert_eq!(world.progressing(), "False ProgressDeadlineExceeded");
    // Going back takes the unhealthy pods away first.
    world.images_fail = false;
    world.set_image("a");
    world.settle();
    assert_eq!(world.sizes(), [4, 0]);
}

#[test]
fn a_size_change_in_the_middle_keeps_proportions() {
    let mut world = World::new(deployment(10, "a", "3", "2"));
    world.settle();
    world.images_fail = true;
    world.set_image("b");
    for _ in 0..5 {
        world.step();
        world.obey();
    }
    assert_eq!(world.sizes(), [8, 5]);
    world.deployment.spec.as_mut().unwrap().replicas = Some(15);
    world.step();
    assert_eq!(world.sizes(), [11, 7]);
}

#[test]
fn a_size_change_alone_scales_the_only_set() {
    let mut world = World::new(deployment(3, "a", "25%", "25%"));
    world.settle();
    world.log.clear();
    world.deployment.spec.as_mut().unwrap().replicas = Some(5);
    world.settle();
    assert_eq!(world.log, ["1: 3>5"]);
    world.deployment.spec.as_mut().unwrap().replicas = Some(0);
    world.settle();
    assert_eq!(world.sizes(), [0]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(deployment(2, "a", "25%", "25%"));
    world.settle();
    world.deployment.spec.as_mut().unwrap().paused = Some(true);
    world.set_image("b");
    world.settle();
    assert_eq!(world.sizes(), [2]);
    assert_eq!(world.progressing(), "Unknown DeploymentPaused");
    world.deployment.spec.as_mut().unwrap().replicas = Some(4);
    world.settle();
    assert_eq!(world.sizes(), [4]);
    world.deployment.spec.as_mut().unwrap().paused = None;
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
    assert_eq!(world.progressing(), "True NewReplicaSetAvailable");
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let mut made = deployment(2, "a", "1", "1");
    made.spec.as_mut().unwrap().strategy =
        Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    let mut world = World::new(made);
    world.settle();
    world.set_image("b");
    world.old_pods_run = true;
    world.step();
    world.obey();
    world.step();
    assert_eq!(world.sizes(), [0]);
    world.old_pods_run = false;
    world.settle();
    assert_eq!(world.sizes(), [0, 2]);
}
