//! `/livez` and `/readyz`: for whoever restarts this process or sends it traffic.

use axum::extract::State;
use cruvz_core::ErrorKind;

use super::Problem;
use crate::app::App;

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// It takes new publishers and viewers; not so while it drains.
pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.engine().is_draining() {
        return Err(Problem::new(ErrorKind::Unavailable, "the server is shutting down"));
    }
    Ok("ok\n")
}
