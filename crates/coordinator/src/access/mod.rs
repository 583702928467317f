//! Who gets in: bearer tokens with roles, checked before any service sees a call.

mod layer;
mod tokens;

pub(crate) use layer::{Access, Caller};
pub use tokens::{Role as AccessRole, TokenError, Tokens, new_token};
