//! What each planted group likes: how often it responds to an offer. It is what a policy should find out,
//! and no part of the orders.

use crate::Group;

/// The offers that the sample's customers have an opinion on.
pub const OFFERS: [&str; 5] = [
    "discount",
    "free_delivery",
    "early_access",
    "bundle",
    "gift_wrap",
];

/// How often a customer of a group responds to an offer, 0 to 1; none for an offer that is not one of
/// [`OFFERS`].
#[must_use]
pub fn response_rate(group: Group, offer: &str) -> Option<f64> {
    let place = OFFERS.iter().position(|known| *known == offer)?;
    let per_mille: [u16; OFFERS.len()] = match group {
        Group::LoyalWeekly => [120, 160, 340, 200, 60],
        Group::Wholesale => [150, 90, 60, 380, 20],
        Group::WeekendShopper => [180, 300, 120, 140, 90],
        Group::EveningBrowser => [200, 330, 160, 90, 60],
        Group::GiftBuyer => [110, 160, 70, 90, 360],
        Group::Lapsed => [260, 120, 30, 40, 40],
        Group::New => [210, 290, 90, 60, 80],
        Group::DiscountHunter => [420, 180, 60, 110, 20],
        Group::Hesitant => [140, 310, 40, 40, 60],
        Group::Occasional => [190, 200, 60, 60, 150],
    };
    per_mille.get(place).map(|rate| f64::from(*rate) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_offer_is_the_best_for_everybody() {
        let best = |group: &Group| {
            let rate = |offer: &&&str| response_rate(*group, offer).unwrap();
            let by_rate = |left: &&&str, right: &&&str| rate(left).total_cmp(&rate(right));
            OFFERS.iter().max_by(by_rate).unwrap()
        };
        let mut all: Vec<_> = Group::ALL.iter().map(best).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            OFFERS.len(),
            "each offer is the best for somebody"
        );
        assert_eq!(response_rate(Group::New, "voucher"), None);
    }
}
