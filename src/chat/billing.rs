//! What a reply reports about its price, beside its usage.

use crate::Usd;

/// What a reply reports about its price, beside its usage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Billing {
    pub(crate) tier: Option<ServiceTier>,
    /// Whether it was processed in one region, at a higher price.
    pub(crate) regional: bool,
    /// The cost that the provider reports.
    pub(crate) cost: Option<Usd>,
    /// What the provider's own tools did, which is not part of the usage.
    pub(crate) file_searches: u64,
    pub(crate) generated_images: u64,
    pub(crate) ran_code: bool,
}

impl Billing {
    /// Adds what a later event of a stream reports.
    pub(crate) fn merge(&mut self, later: Self) {
        self.tier = later.tier.or(self.tier);
        self.regional |= later.regional;
        self.cost = later.cost.max(self.cost);
        self.file_searches = later.file_searches.max(self.file_searches);
        self.generated_images = later.generated_images.max(self.generated_images);
        self.ran_code |= later.ran_code;
    }
}

/// A service tier, by its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceTier {
    Standard,
    Flex,
    Priority,
    Fast,
    /// A name that is not known.
    Unknown,
}

impl ServiceTier {
    /// Returns the tier with this name, or `None` if the provider chooses it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "auto" => return None,
            // Tiers that are paid in advance are not priced by the token.
            "default" | "standard" | "standard_only" | "on_demand" | "scale" | "reserved"
            | "batch" => Self::Standard,
            "flex" => Self::Flex,
            // OpenAI's `fast` is another name of it.
            "priority" | "fast" | "performance" => Self::Priority,
            "ultrafast" => Self::Fast,
            _ => Self::Unknown,
        })
    }
}
