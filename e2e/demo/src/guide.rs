//! What the demo tells at its start: where everything is and what to try.

use crate::world::World;

/// The text, in 80 columns as far as the temporary directory's name allows.
pub(crate) fn guide(world: &World, temporary: bool) -> String {
    let names: Vec<&str> = world.clusters.iter().map(|cluster| cluster.name).collect();
    let kubeconfig = world.clusters.first().map(|cluster| cluster.kubeconfig.display().to_string()).unwrap_or_default();
    format!(
        "\
A hub, three regions with two clusters each, and five apps on them.

API         {api}/api/v1
token       {token}
kubeconfig  {kubeconfig}
            and one beside it for each of
            {first}
            {second}
log         {place}/demo.log

To try something, in another terminal:
  D={place}; cd $D/fleet; export KUBECONFIG=$D/kubeconfigs/eu-west-gpu-a
  $D/capstan status

a commit: each file that changes in this directory is committed
  sed -i s/1.8.0/1.8.1/ apps/llm-gateway/overlays/ap-south/kustomization.yaml
a drift, which the agent heals, also without the hub
  kubectl -n gateway set env deployment/llm-gateway LOG_LEVEL=debug
a broken manifest, which blocks its app alone, and how to mend it
  echo 'oops: [' >> apps/model-server/base/service.yaml
  sed -i '$d' apps/model-server/base/service.yaml
a lost cluster, Stale after 30 seconds and Offline after 90; or the hub itself
  touch $D/stop/us-east-gpu-a; sleep 99; rm $D/stop/us-east-gpu-a
  touch $D/stop/hub; sleep 30; rm $D/stop/hub
a change that deletes too much, and how to let it
  sed -i -E '/quota|weekly|evaluation|cleanup/d' apps/training/base/kust*
  $D/capstan approve training --cluster us-east-train-b

Ctrl-C ends everything{kept}.
",
        api = world.api(),
        token = world.token_file().display(),
        place = world.place.display(),
        first = names.iter().take(3).copied().collect::<Vec<_>>().join(", "),
        second = names.iter().skip(3).copied().collect::<Vec<_>>().join(", "),
        kept = if temporary { " and removes the directory" } else { "" },
    )
}
