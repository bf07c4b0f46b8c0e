//! Hub and agent edges together over real TLS on loopback: a desk and a site in memory, a place where both meet, and a stranger who speaks the wire
//! format without the agent's manners. The tests are in `tests/`; product code is elsewhere.

mod desk;
mod place;
mod site;
mod stranger;
mod wait;

pub use desk::{Cluster, DeskDouble, DeskState, Token};
pub use place::{Agent, Place, PlaceOptions, index, index_generation};
pub use site::{SiteDouble, SiteState};
pub use stranger::{Stranger, goodbye, hello, next};
pub use wait::{PATIENCE, until};
