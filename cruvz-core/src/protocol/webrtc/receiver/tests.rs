//! A publisher and a receiver, and what lies between them.

use super::*;

mod feedback;
mod hostile;
mod layers;
mod link;
mod losses;
mod order;
