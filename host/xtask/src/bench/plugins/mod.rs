//! Plugins: what a decision costs, what many of them weigh, and what those that misbehave, change
//! or compile for long do to everybody else.

mod bomb;
mod cost;
mod decision;
mod faults;
mod fleet;
mod live;
mod site;

use super::Run;
use super::figure::Figure;
use crate::tools::{self, Tool};
use anyhow::Result;

/// Measures everything.
pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let vegeta = tools::require(Tool::Vegeta)?.path;
    let mut figures = decision::measure(run)?;
    figures.extend(faults::measure(run)?);
    figures.extend(fleet::measure(run).await?);
    figures.extend(cost::measure(run).await?);
    figures.extend(live::measure(run, &vegeta).await?);
    Ok(figures)
}
