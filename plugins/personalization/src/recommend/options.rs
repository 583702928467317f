//! What `with` takes in `personalization/recommend`.

use marquetry_plugin::Input;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `personalization/recommend`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecommendOptions {
    /// Order lines: who bought what. Leave returns and cancellations out with features/sql.
    pub(super) orders: Input,
    /// The column that identifies a customer.
    #[serde(default = "crate::customer_id")]
    pub(super) customer: String,
    /// The column that identifies a product.
    #[serde(default = "product_id")]
    pub(super) product: String,
    /// The column that identifies an order, where products are alike because they were bought together.
    /// Without it everything that a customer ever bought is one basket.
    #[serde(default)]
    pub(super) basket: Option<String>,
    /// The customers' segments: the customer and `segment`.
    #[serde(default)]
    pub(super) segments: Option<Input>,
    /// How alike two products are.
    #[serde(default)]
    pub(super) similarity: Similarity,
    /// How many products a customer or a segment gets at most.
    #[serde(default = "top")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) top: usize,
    /// How many similar products each product has at most; a customer's scores are sums over these.
    #[serde(default = "neighbours")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) neighbours: usize,
    /// How many baskets must hold both of two products, and how many customers of a segment must have
    /// bought a product, for it to count. Of fewer, chance says too much.
    #[serde(default = "min_support")]
    #[schemars(range(min = 1))]
    pub(super) min_support: u32,
    /// Whether what a customer bought is left out of the customer's recommendations.
    #[serde(default = "exclude_bought")]
    pub(super) exclude_bought: bool,
    /// How many products of a basket count. Of a larger one the products that are in most baskets are kept:
    /// a wholesaler's order of everything says little of what goes together, and costs its size squared.
    #[serde(default = "most_items")]
    #[schemars(range(min = 2, max = 100_000))]
    pub(super) most_items: usize,
}

/// How alike two products are. With n baskets, of which a hold the one, b the other and c both:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Similarity {
    /// c / √(a b), 0 to 1 (Sarwar et al. 2001).
    #[default]
    Cosine,
    /// c n / (a b): how many times more often together than by chance; 1 is chance. It likes rare products.
    Lift,
    /// Dunning's log-likelihood ratio G² (1993): how sure it is that both belong together, 0 is not at all.
    /// Pairs that are together less often than by chance are left out.
    LogLikelihood,
}

fn product_id() -> String {
    "product_id".to_owned()
}

const fn top() -> usize {
    10
}

const fn neighbours() -> usize {
    20
}

const fn min_support() -> u32 {
    3
}

const fn exclude_bought() -> bool {
    true
}

const fn most_items() -> usize {
    500
}
