//! One plane for all tests of a test binary: a start costs 3 s and 300 MiB, a namespace 10 ms. Tests keep apart by namespaces
//! ([`ControlPlane::fresh_namespace`]); one that stops the API server or changes cluster-wide objects takes a plane of its own.

use tokio::sync::OnceCell;

use crate::{ControlPlane, Fakelet, Options};

/// A plane that is started by the first test that asks for it and ends with the test binary. Meant for a `static`.
///
/// ```no_run
/// static PLANE: e2e_cluster::SharedControlPlane = e2e_cluster::SharedControlPlane::with_pods();
///
/// # async fn doc() -> anyhow::Result<()> {
/// e2e_cluster::require_control_plane!(controllers);
/// let plane = PLANE.get().await?;
/// let namespace = plane.fresh_namespace().await?;
/// # Ok(())
/// # }
/// ```
pub struct SharedControlPlane {
    with_pods: bool,
    plane: OnceCell<(ControlPlane, Option<Fakelet>)>,
}

impl SharedControlPlane {
    /// etcd and kube-apiserver.
    #[must_use]
    pub const fn api_only() -> Self {
        Self { with_pods: false, plane: OnceCell::const_new() }
    }

    /// Also kube-controller-manager and a [`Fakelet`]: Deployments become Available, Jobs complete.
    #[must_use]
    pub const fn with_pods() -> Self {
        Self { with_pods: true, plane: OnceCell::const_new() }
    }

    /// The plane, started if it was not.
    ///
    /// # Errors
    /// As [`ControlPlane::start`] and [`Fakelet::start`]; the next caller tries again.
    pub async fn get(&self) -> anyhow::Result<&ControlPlane> {
        let start = async || {
            let plane = ControlPlane::start(Options { controllers: self.with_pods, ..Options::default() }).await?;
            let fakelet = if self.with_pods { Some(Fakelet::start(&plane).await?) } else { None };
            anyhow::Ok((plane, fakelet))
        };
        let (plane, _) = self.plane.get_or_try_init(start).await?;
        Ok(plane)
    }
}
