//! The planted groups: who they are and how they behave, as one table.

use std::fmt;

/// A planted group of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// Buys every week, moderate baskets, at any daytime hour.
    LoyalWeekly,
    /// Buys every few weeks, many lines and large quantities, in office hours, often from abroad.
    Wholesale,
    /// Buys on Saturdays and Sundays.
    WeekendShopper,
    /// Buys one or two things late in the evening, in the app.
    EveningBrowser,
    /// Came once, before Christmas, for something dear.
    GiftBuyer,
    /// Bought regularly and stopped long ago.
    Lapsed,
    /// Came first in the last weeks.
    New,
    /// Buys in sales, at reduced prices.
    DiscountHunter,
    /// Cancels a third of the orders.
    Hesitant,
    /// Buys now and then, like nobody in particular.
    Occasional,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 10] = [
        Self::LoyalWeekly,
        Self::Wholesale,
        Self::WeekendShopper,
        Self::EveningBrowser,
        Self::GiftBuyer,
        Self::Lapsed,
        Self::New,
        Self::DiscountHunter,
        Self::Hesitant,
        Self::Occasional,
    ];

    /// The group's name in data, as in `loyal_weekly`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoyalWeekly => "loyal_weekly",
            Self::Wholesale => "wholesale",
            Self::WeekendShopper => "weekend_shopper",
            Self::EveningBrowser => "evening_browser",
            Self::GiftBuyer => "gift_buyer",
            Self::Lapsed => "lapsed",
            Self::New => "new",
            Self::DiscountHunter => "discount_hunter",
            Self::Hesitant => "hesitant",
            Self::Occasional => "occasional",
        }
    }

    /// Customers of this group in a thousand.
    pub(crate) const fn share(self) -> u32 {
        match self {
            Self::LoyalWeekly => 50,
            Self::Wholesale => 25,
            Self::WeekendShopper | Self::EveningBrowser => 160,
            Self::GiftBuyer | Self::Lapsed => 140,
            Self::New => 100,
            Self::DiscountHunter => 120,
            Self::Hesitant => 40,
            Self::Occasional => 65,
        }
    }

    pub(crate) const fn behaviour(self) -> Behaviour {
        match self {
            Self::LoyalWeekly => Behaviour {
                pace: Pace::Every {
                    days: 7.0,
                    spread: 0.5,
                },
                first_day: (0, 560),
                lines: (2, 6),
                quantity: (1, 4),
                countries: AT_HOME,
                channels: [50, 30, 18, 1, 1],
                ..PLAIN
            },
            Self::Wholesale => Behaviour {
                pace: Pace::Every {
                    days: 36.0,
                    spread: 1.0,
                },
                first_day: (0, 480),
                lines: (10, 36),
                quantity: (12, 144),
                hours: OFFICE,
                weekdays: Weekdays::WorkingDays,
                prices: (0, 55),
                discount: (5, 15),
                countries: [30, 20, 14, 12, 10, 3, 4, 3, 1, 3],
                channels: [55, 0, 0, 5, 40],
                ..PLAIN
            },
            Self::WeekendShopper => Behaviour {
                pace: Pace::Every {
                    days: 21.0,
                    spread: 1.2,
                },
                first_day: (0, 600),
                lines: (1, 5),
                weekdays: Weekdays::Weekend,
                channels: [20, 25, 53, 1, 1],
                ..PLAIN
            },
            Self::EveningBrowser => Behaviour {
                pace: Pace::Every {
                    days: 26.0,
                    spread: 1.4,
                },
                first_day: (0, 600),
                lines: (1, 3),
                quantity: (1, 2),
                hours: EVENING,
                prices: (25, 95),
                channels: [20, 76, 0, 4, 0],
                ..PLAIN
            },
            Self::GiftBuyer => Behaviour {
                pace: Pace::Windows {
                    windows: &[(318, 355), (684, 721)],
                    orders: (1, 1),
                },
                lines: (1, 4),
                quantity: (1, 2),
                prices: (65, 100),
                channels: [60, 15, 15, 10, 0],
                ..PLAIN
            },
            Self::Lapsed => Behaviour {
                pace: Pace::Every {
                    days: 24.0,
                    spread: 1.4,
                },
                first_day: (0, 150),
                active_days: Some((120, 330)),
                ..PLAIN
            },
            Self::New => Behaviour {
                pace: Pace::Every {
                    days: 19.0,
                    spread: 1.4,
                },
                first_day: (690, 730),
                channels: [45, 35, 10, 10, 0],
                ..PLAIN
            },
            Self::DiscountHunter => Behaviour {
                // January and July sales, and the week of Black Friday.
                pace: Pace::Windows {
                    windows: &[
                        (1, 30),
                        (181, 211),
                        (322, 333),
                        (366, 395),
                        (547, 577),
                        (692, 703),
                    ],
                    orders: (3, 9),
                },
                lines: (2, 6),
                discount: (30, 60),
                cancelled: 50,
                channels: [35, 25, 5, 35, 0],
                ..PLAIN
            },
            Self::Hesitant => Behaviour {
                pace: Pace::Every {
                    days: 30.0,
                    spread: 1.4,
                },
                first_day: (0, 500),
                cancelled: 340,
                prices: (30, 100),
                channels: [55, 30, 0, 15, 0],
                ..PLAIN
            },
            Self::Occasional => Behaviour {
                pace: Pace::Every {
                    days: 95.0,
                    spread: 1.6,
                },
                first_day: (0, 640),
                ..PLAIN
            },
        }
    }
}

impl std::str::FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut groups = Self::ALL.into_iter();
        groups
            .find(|group| group.name() == text)
            .ok_or_else(|| UnknownGroup(text.to_owned()))
    }
}

/// A text that names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no planted group `{0}`")]
pub struct UnknownGroup(String);

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// How a group buys. Ranges include both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// When orders follow one another.
    pub(crate) pace: Pace,
    /// The day of the first order, for [`Pace::Every`].
    pub(crate) first_day: (u32, u32),
    /// Days from the first order until the customer stops; `None` for who stays.
    pub(crate) active_days: Option<(u32, u32)>,
    /// Lines of an order, small numbers more often.
    pub(crate) lines: (u32, u32),
    /// Pieces on a line, small numbers more often.
    pub(crate) quantity: (u32, u32),
    /// Weight of each hour of the day.
    pub(crate) hours: [u32; 24],
    /// Which days of the week.
    pub(crate) weekdays: Weekdays,
    /// Which part of the catalogue, in per cent of it from the cheapest to the dearest.
    pub(crate) prices: (u32, u32),
    /// Per cent off the list price.
    pub(crate) discount: (u32, u32),
    /// Cancelled orders in a thousand.
    pub(crate) cancelled: u32,
    /// Weight of each of [`COUNTRIES`].
    pub(crate) countries: [u32; COUNTRIES.len()],
    /// Weight of each of [`CHANNELS`].
    pub(crate) channels: [u32; CHANNELS.len()],
}

/// When orders follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// About every so many days; `spread` is the largest deviation as a share of that.
    Every { days: f64, spread: f64 },
    /// So many orders, all within certain windows of days.
    Windows {
        windows: &'static [(u32, u32)],
        orders: (u32, u32),
    },
}

/// Which days of the week a group buys on, nine times out of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weekdays {
    Any,
    Weekend,
    WorkingDays,
}

/// Where customers live.
pub(crate) const COUNTRIES: [&str; 10] = [
    "United Kingdom",
    "Germany",
    "France",
    "Ireland",
    "Netherlands",
    "Spain",
    "Belgium",
    "Sweden",
    "Portugal",
    "Switzerland",
];

/// Where they buy.
pub(crate) const CHANNELS: [&str; 5] = ["web", "app", "store", "marketplace", "phone"];

const AT_HOME: [u32; COUNTRIES.len()] = [88, 3, 3, 2, 1, 1, 1, 1, 0, 0];
const DAYTIME: [u32; 24] = [
    1, 0, 0, 0, 0, 1, 2, 4, 7, 9, 11, 12, 13, 12, 11, 10, 10, 10, 9, 8, 6, 4, 3, 2,
];
const OFFICE: [u32; 24] = [
    0, 0, 0, 0, 0, 0, 1, 6, 14, 18, 17, 14, 9, 12, 14, 12, 8, 3, 0, 0, 0, 0, 0, 0,
];
const EVENING: [u32; 24] = [
    3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 5, 12, 20, 24, 18, 9,
];

/// What a group does unless its entry says otherwise.
const PLAIN: Behaviour = Behaviour {
    pace: Pace::Every {
        days: 60.0,
        spread: 1.5,
    },
    first_day: (0, 700),
    active_days: None,
    lines: (1, 6),
    quantity: (1, 6),
    hours: DAYTIME,
    weekdays: Weekdays::Any,
    prices: (0, 100),
    discount: (0, 0),
    cancelled: 15,
    countries: [62, 10, 9, 5, 4, 3, 2, 2, 1, 2],
    channels: [50, 25, 15, 9, 1],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_thousand() {
        let total: u32 = Group::ALL.iter().map(|group| group.share()).sum();
        assert_eq!(total, 1000);
    }
}
