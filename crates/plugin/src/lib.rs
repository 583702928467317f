//! What the author of a stage imports.
//!
//! A stage kind is a [`StageHandler`]: a descriptor, made by [`describe`] from the type of its
//! options, and `run`, which gets a [`StageContext`] and gives an outcome. The context reads inputs as
//! tables of a DataFusion session, writes outputs below the attempt's own folder, and carries
//! progress, log, metrics, report panels, the seed and the cancellation. [`testing::TestStage`] runs
//! a handler in a lake of its own. `docs/plugins.md` walks through an example.

mod context;
mod describe;
mod error;
mod gather;
mod handler;
mod option_types;
mod output;
mod panel;
mod registry;
mod reporter;
mod reuse;
pub mod testing;

pub use context::{StageContext, StageSetup};
pub use describe::{DescriptorBuilder, describe};
pub use error::StageError;
pub use handler::StageHandler;
pub use marquetry_types::LogLevel;
pub use option_types::{FileName, Input, PolicyInput, PolicyUpdate, RowExpression};
pub use output::OutputWriter;
pub use panel::{
    Bar, Column, Figure, PANEL_MEDIA_TYPE, Panel, PanelBody, Paragraph, PointGroup, Series,
};
pub use registry::Registry;
pub use reporter::{Reporter, StageEvents};
