//! What every journal must do: each implementation's tests call [`run`], and [`survive_damage`] where they
//! can reach into its database.

#![expect(clippy::unwrap_used, reason = "a test suite, by its nature")]

mod archive;
mod cached;
mod damage;
mod deployments;
mod leading;
mod lists;
mod migration;
mod publications;
mod records;
mod schedules;

pub use self::migration::take_up_from_before_deployments;

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Journal, JournalReader};

/// Where a journal is kept, apart from the journal itself, so that the suite can close and reopen it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens the journal for writing. The suite never holds two at a time.
    async fn open(&self) -> Arc<dyn Journal>;
    /// Opens it for reading, while it is open for writing.
    async fn open_reader(&self) -> Arc<dyn JournalReader>;
}

/// A store whose database takes statements of others.
#[async_trait]
pub trait Database: Store {
    /// Does to the database what no journal does, and says how many rows it concerned.
    async fn tamper(&self, sql: &str) -> u64;
}

/// Runs the whole suite, each part on an empty store of its own.
pub async fn run<S: Store>(empty_store: impl Fn() -> S) {
    leading::epochs_grow_over_reopening(&empty_store()).await;
    leading::one_coordinator_leads_until_its_lease_ends_or_it_resigns(&empty_store()).await;
    leading::an_older_epoch_is_fenced(&empty_store()).await;
    records::records_come_back_after_reopening(&empty_store()).await;
    records::a_refused_append_leaves_nothing(&empty_store()).await;
    records::concurrent_appends_all_arrive(&empty_store()).await;
    records::only_unfinished_runs_are_taken_up(&empty_store()).await;
    records::readers_see_what_is_committed(&empty_store()).await;
    records::bundles_are_kept_by_digest(&empty_store()).await;
    lists::lists_filter_and_page(&empty_store()).await;
    lists::runs_are_found_by_request_and_prefix(&empty_store()).await;
    publications::published_versions_are_kept_by_name(&empty_store()).await;
    publications::a_version_is_published_once(&empty_store()).await;
    deployments::a_new_bundle_is_a_new_version_and_the_same_is_none(&empty_store()).await;
    deployments::a_retired_workflow_keeps_its_versions_and_goes_on_counting(&empty_store()).await;
    deployments::versions_are_listed_in_pages(&empty_store()).await;
    deployments::who_was_deposed_deploys_and_retires_nothing(&empty_store()).await;
    deployments::of_deployments_at_once_each_is_one_version(&empty_store()).await;
    deployments::names_of_any_kind_are_told_apart(&empty_store()).await;
    schedules::positions_move_on_with_their_runs(&empty_store()).await;
    schedules::a_run_that_is_refused_moves_no_position(&empty_store()).await;
    schedules::schedules_of_any_name_are_told_apart(&empty_store()).await;
    cached::the_last_outcome_of_a_content_is_found(&empty_store()).await;
    cached::an_outcome_goes_with_its_run(&empty_store()).await;
    archive::finished_runs_are_archived_in_their_order_a_batch_at_a_time(&empty_store()).await;
    archive::a_resumed_run_is_archived_once_more(&empty_store()).await;
    archive::only_what_is_archived_and_old_is_discarded(&empty_store()).await;
    archive::discarding_goes_in_small_steps_over_a_restart(&empty_store()).await;
    archive::a_bundle_goes_with_the_last_run_that_used_it(&empty_store()).await;
    archive::who_was_deposed_archives_and_discards_nothing(&empty_store()).await;
}

/// Runs what a journal must bear of its database, each part on an empty store of its own.
pub async fn survive_damage<D: Database>(empty_store: impl Fn() -> D) {
    damage::a_damaged_deployment_costs_no_other(&empty_store()).await;
    damage::a_damaged_deployment_is_replaced_by_the_next(&empty_store()).await;
    cached::a_damaged_outcome_is_as_good_as_none(&empty_store()).await;
    archive::a_damaged_run_is_said_and_costs_no_other(&empty_store()).await;
}
