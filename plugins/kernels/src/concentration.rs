//! How unevenly an amount is spread over groups.

/// The Gini coefficient of an amount over groups of (members, amount): 0 where every group has its share
/// of the members, near 1 where few members have all of it. Within a group the amount is taken as spread
/// evenly, so this is the inequality between groups (C. Gini, *Variabilità e mutabilità*, 1912; by the
/// area below the Lorenz curve). O(groups log groups).
///
/// None where a count or an amount is negative or not finite, and where all counts or all amounts are 0.
#[must_use]
pub fn gini_of_groups(groups: &[(f64, f64)]) -> Option<f64> {
    let is_fit = |number: f64| number.is_finite() && number >= 0.0;
    let are_fit = |(members, amount): &(f64, f64)| is_fit(*members) && is_fit(*amount);
    if !groups.iter().all(are_fit) {
        return None;
    }
    let mut groups: Vec<(f64, f64)> = groups.to_vec();
    groups.retain(|(members, _)| *members > 0.0);
    groups.sort_by(|left, right| (left.1 / left.0).total_cmp(&(right.1 / right.0)));
    let members: f64 = groups.iter().map(|group| group.0).sum();
    let amounts: f64 = groups.iter().map(|group| group.1).sum();
    if members <= 0.0 || amounts <= 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut area = 0.0;
    for (count, amount) in groups {
        let next = below + amount;
        area += count / members * ((below + next) / amounts);
        below = next;
    }
    // Rounding may leave a little less than nothing.
    Some((1.0 - area).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: the mean difference of all pairs of members over twice their mean.
    fn by_pairs(groups: &[(u32, f64)]) -> f64 {
        let each: Vec<f64> = groups
            .iter()
            .flat_map(|(members, amount)| {
                std::iter::repeat_n(amount / f64::from(*members), *members as usize)
            })
            .collect();
        let count = each.len() as f64;
        let pairs = each
            .iter()
            .flat_map(|one| each.iter().map(move |other| (one - other).abs()));
        let difference = pairs.sum::<f64>() / (count * count);
        difference / (2.0 * each.iter().sum::<f64>() / count)
    }

    #[test]
    fn it_is_the_mean_difference_of_members_who_are_equal_within_their_group() {
        let cases: [&[(u32, f64)]; 3] = [
            &[(10, 5.0), (30, 15.0)],
            &[(1, 100.0), (9, 0.0)],
            &[(7, 3.0), (2, 40.0), (12, 41.5), (5, 0.25)],
        ];
        for groups in cases {
            let floats: Vec<(f64, f64)> = groups
                .iter()
                .map(|(members, amount)| (f64::from(*members), *amount))
                .collect();
            let (found, wanted) = (gini_of_groups(&floats).unwrap(), by_pairs(groups));
            assert!((found - wanted).abs() < 1e-12, "{found}, not {wanted}");
        }
    }

    #[test]
    fn losses_and_nothing_have_no_concentration() {
        assert_eq!(gini_of_groups(&[(1.0, -1.0), (9.0, 5.0)]), None);
        assert_eq!(gini_of_groups(&[(1.0, f64::NAN)]), None);
        assert_eq!(gini_of_groups(&[(1.0, 0.0)]), None);
        assert_eq!(gini_of_groups(&[(0.0, 4.0)]), None);
        assert_eq!(gini_of_groups(&[]), None);
    }
}
