//! The picture of which stage needs which: a layered drawing after Sugiyama, Tagawa and Toda ("Methods for
//! visual understanding of hierarchical system structures", 1981). A stage stands one level after the last
//! stage that it needs; an edge that passes levels gets a bend in each; the barycentres of neighbours order
//! a level. A need that another need implies is not drawn: it is one more line and says nothing new. Workflows
//! of few levels run from left to right, others downwards, where paper and screens have more room.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::data::ReportStage;
use crate::format::clip;

/// The drawing, ready for the template.
#[derive(Debug, Serialize)]
pub(crate) struct Graph {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) nodes: Vec<Node>,
    /// Paths in SVG's path language.
    pub(crate) edges: Vec<String>,
}

/// A stage in the drawing.
#[derive(Debug, Serialize)]
pub(crate) struct Node {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) name: String,
    pub(crate) full_name: String,
    pub(crate) kind: String,
    pub(crate) status: &'static str,
}

pub(crate) const NODE_WIDTH: i32 = 160;
pub(crate) const NODE_HEIGHT: i32 = 48;
/// Levels that fit side by side.
const LEVELS_ACROSS: usize = 5;
const MARGIN: f64 = 8.0;
/// Passes over the levels; orders rarely change after four.
const PASSES: usize = 8;

/// Draws the stages. Needs that name no stage are passed over, and so is what would close a circle.
pub(crate) fn draw(stages: &[ReportStage]) -> Graph {
    let index: BTreeMap<&str, usize> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| (stage.name.as_str(), index))
        .collect();
    let needs: Vec<Vec<usize>> = stages
        .iter()
        .map(|stage| {
            let named = stage.needs.iter();
            named
                .filter_map(|name| index.get(name.as_str()).copied())
                .collect()
        })
        .collect();
    let mut layers = Layers::new(&without_implied(&needs));
    layers.order();
    let across = layers.places();
    let shape = Shape::new(layers.levels.len() <= LEVELS_ACROSS, &across);

    let nodes = stages.iter().enumerate().map(|(stage, data)| {
        let (x, y) = shape.corner(layers.level_of[stage], across[stage]);
        Node {
            x: x.round() as i32,
            y: y.round() as i32,
            name: clip(&data.name, 18),
            full_name: clip(&data.name, 200),
            kind: clip(&data.kind, 23),
            status: data.status.as_str(),
        }
    });
    let edges = layers.chains.iter().map(|chain| {
        let points = chain
            .iter()
            .map(|vertex| (layers.level_of[*vertex], across[*vertex]));
        shape.path(points.collect())
    });
    let (width, height) = shape.size(layers.levels.len());
    Graph {
        width,
        height,
        nodes: nodes.collect(),
        edges: edges.collect(),
    }
}

/// Vertices, which are the stages and after them the bends of long edges, by level.
struct Layers {
    stages: usize,
    level_of: Vec<usize>,
    levels: Vec<Vec<usize>>,
    /// Each edge as the vertices that it passes, from the needed stage to the needing one.
    chains: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Layers {
    fn new(needs: &[Vec<usize>]) -> Self {
        let level_of = levels(needs);
        let mut layers = Self {
            stages: needs.len(),
            levels: vec![Vec::new(); level_of.iter().max().map_or(0, |last| last + 1)],
            before: vec![Vec::new(); needs.len()],
            after: vec![Vec::new(); needs.len()],
            level_of,
            chains: Vec::new(),
        };
        for stage in 0..needs.len() {
            layers.levels[layers.level_of[stage]].push(stage);
        }
        for (stage, needed) in needs.iter().enumerate() {
            for needed in needed {
                layers.add_chain(*needed, stage);
            }
        }
        layers
    }

    fn add_chain(&mut self, from: usize, to: usize) {
        let mut chain = vec![from];
        for level in self.level_of[from] + 1..self.level_of[to] {
            let bend = self.level_of.len();
            self.level_of.push(level);
            self.levels[level].push(bend);
            self.before.push(Vec::new());
            self.after.push(Vec::new());
            chain.push(bend);
        }
        chain.push(to);
        for pair in chain.windows(2) {
            self.after[pair[0]].push(pair[1]);
            self.before[pair[1]].push(pair[0]);
        }
        self.chains.push(chain);
    }

    /// Orders each level by the mean position of its vertices' neighbours, forth and back.
    fn order(&mut self) {
        let mut position = vec![0.0; self.level_of.len()];
        for level in &self.levels {
            set_positions(level, &mut position);
        }
        for pass in 0..PASSES {
            let forth = pass % 2 == 0;
            let neighbours = if forth { &self.before } else { &self.after };
            let count = self.levels.len();
            for step in 0..count {
                let level = if forth { step } else { count - 1 - step };
                let mean = |vertex: usize| mean_of(&neighbours[vertex], &position);
                self.levels[level].sort_by(|left, right| {
                    let left_mean = mean(*left).unwrap_or(position[*left]);
                    let right_mean = mean(*right).unwrap_or(position[*right]);
                    left_mean.total_cmp(&right_mean)
                });
                set_positions(&self.levels[level], &mut position);
            }
        }
    }

    /// A place across the levels for every vertex, in units of one stage, from 0: each as near to the mean of
    /// its neighbours as the order and the distances allow.
    fn places(&self) -> Vec<f64> {
        let mut place = vec![0.0; self.level_of.len()];
        for level in &self.levels {
            let mut next = 0.0;
            for vertex in level {
                place[*vertex] = next + self.room(*vertex) / 2.0;
                next += self.room(*vertex);
            }
            let centre = next / 2.0;
            for vertex in level {
                place[*vertex] -= centre;
            }
        }
        for pass in 0..PASSES {
            for level in &self.levels {
                self.relax(level, &mut place, pass % 2 == 0);
            }
        }
        let least = place.iter().copied().fold(f64::INFINITY, f64::min);
        for value in &mut place {
            *value -= least;
        }
        place
    }

    /// Moves a level's vertices towards their neighbours and apart again.
    fn relax(&self, level: &[usize], place: &mut [f64], forth: bool) {
        let wanted: Vec<f64> = level
            .iter()
            .map(|vertex| {
                let (first, second) = if forth {
                    (&self.before[*vertex], &self.after[*vertex])
                } else {
                    (&self.after[*vertex], &self.before[*vertex])
                };
                mean_of(first, place)
                    .or_else(|| mean_of(second, place))
                    .unwrap_or(place[*vertex])
            })
            .collect();
        let distance = |left: usize| (self.room(level[left]) + self.room(level[left + 1])) / 2.0;
        let mut from_left = wanted.clone();
        let mut from_right = wanted;
        for at in 1..level.len() {
            from_left[at] = from_left[at].max(from_left[at - 1] + distance(at - 1));
        }
        for at in (1..level.len()).rev() {
            from_right[at - 1] = from_right[at - 1].min(from_right[at] - distance(at - 1));
        }
        // Both keep the distances, so their mean does.
        for (at, vertex) in level.iter().enumerate() {
            place[*vertex] = (from_left[at] + from_right[at]) / 2.0;
        }
    }

    /// What a vertex takes across its level.
    const fn room(&self, vertex: usize) -> f64 {
        if vertex < self.stages { 1.0 } else { 0.45 }
    }
}

/// The needs that no other need of the same stage leads to: the transitive reduction. Bounded by stages times
/// needs; workflows have hundreds of both at most.
fn without_implied(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let implied_by = |stage: usize, needed: usize| {
        let mut seen = vec![false; needs.len()];
        seen[stage] = true;
        let mut open: Vec<usize> = needs[stage].clone();
        open.retain(|other| *other != needed);
        while let Some(other) = open.pop() {
            if other == needed {
                return true;
            }
            if !std::mem::replace(&mut seen[other], true) {
                open.extend(&needs[other]);
            }
        }
        false
    };
    (0..needs.len())
        .map(|stage| {
            let mut kept = needs[stage].clone();
            kept.sort_unstable();
            kept.dedup();
            kept.retain(|needed| !implied_by(stage, *needed));
            kept
        })
        .collect()
}

/// The level of each stage: the longest way to it. In a circle, which no checked workflow has, the rounds are
/// bounded and edges that do not lead to a later level are drawn without bends.
fn levels(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut level = vec![0; needs.len()];
    for _ in 0..needs.len() {
        let mut changed = false;
        for (stage, needed) in needs.iter().enumerate() {
            let least = needed.iter().map(|needed| level[*needed] + 1).max();
            let least = least.unwrap_or(0).min(needs.len() - 1);
            if level[stage] < least {
                level[stage] = least;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    level
}

fn set_positions(level: &[usize], position: &mut [f64]) {
    for (at, vertex) in level.iter().enumerate() {
        position[*vertex] = at as f64 - (level.len() as f64 - 1.0) / 2.0;
    }
}

fn mean_of(vertices: &[usize], values: &[f64]) -> Option<f64> {
    if vertices.is_empty() {
        return None;
    }
    let sum: f64 = vertices.iter().map(|vertex| values[*vertex]).sum();
    Some(sum / vertices.len() as f64)
}

/// Levels and places as pixels.
struct Shape {
    rightwards: bool,
    level_pitch: f64,
    place_pitch: f64,
    widest: f64,
}

impl Shape {
    fn new(rightwards: bool, places: &[f64]) -> Self {
        let (width, height) = (f64::from(NODE_WIDTH), f64::from(NODE_HEIGHT));
        Self {
            rightwards,
            level_pitch: if rightwards {
                width + 40.0
            } else {
                height + 38.0
            },
            place_pitch: if rightwards {
                height + 18.0
            } else {
                width + 24.0
            },
            widest: places.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The upper left corner of a node.
    fn corner(&self, level: usize, place: f64) -> (f64, f64) {
        let along = MARGIN + level as f64 * self.level_pitch;
        let across = MARGIN + place * self.place_pitch;
        if self.rightwards {
            (along, across)
        } else {
            (across, along)
        }
    }

    fn size(&self, levels: usize) -> (i32, i32) {
        let last = levels.saturating_sub(1);
        let (x, y) = self.corner(last, self.widest);
        let width = x + f64::from(NODE_WIDTH) + MARGIN;
        let height = y + f64::from(NODE_HEIGHT) + MARGIN;
        (width.ceil() as i32, height.ceil() as i32)
    }

    /// A smooth line from node to node: a curve between levels, straight past a bend's level.
    fn path(&self, vertices: Vec<(usize, f64)>) -> String {
        let (half_width, half_height) = (f64::from(NODE_WIDTH) / 2.0, f64::from(NODE_HEIGHT) / 2.0);
        // Where the line enters and leaves the level of each vertex.
        let gates = vertices.into_iter().map(|(level, place)| {
            let (x, y) = self.corner(level, place);
            if self.rightwards {
                let y = y + half_height;
                ((x, y), (x + 2.0 * half_width, y))
            } else {
                let x = x + half_width;
                ((x, y), (x, y + 2.0 * half_height))
            }
        });
        let mut path = String::new();
        let mut leaves: Option<(f64, f64)> = None;
        for (enter, leave) in gates {
            match leaves {
                None => path.push_str(&format!("M{:.0} {:.0}", leave.0, leave.1)),
                Some(from) => {
                    if path.contains('C') {
                        path.push_str(&format!("L{:.0} {:.0}", from.0, from.1));
                    }
                    path.push_str(&self.curve(from, enter));
                }
            }
            leaves = Some(leave);
        }
        path
    }

    fn curve(&self, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> String {
        let (mx, my) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
        if self.rightwards {
            format!("C{mx:.0} {y0:.0} {mx:.0} {y1:.0} {x1:.0} {y1:.0}")
        } else {
            format!("C{x0:.0} {my:.0} {x1:.0} {my:.0} {x1:.0} {y1:.0}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_stands_after_the_last_stage_that_it_needs() {
        // 0 → 1 → 2, 0 → 2, 3 alone.
        let needs = [vec![], vec![0], vec![1, 0], vec![]];
        assert_eq!(levels(&needs), [0, 1, 2, 0]);
    }

    #[test]
    fn an_edge_over_two_levels_bends_in_between() {
        let layers = Layers::new(&[vec![], vec![0], vec![1, 0]]);
        let bend = 3;
        assert_eq!(layers.chains[2], [0, bend, 2]);
        assert_eq!(layers.levels[1], [1, bend]);
    }

    #[test]
    fn a_need_that_another_implies_is_not_drawn() {
        let needs = [vec![], vec![0], vec![1, 0, 1], vec![0]];
        let drawn = [vec![], vec![0], vec![1], vec![0]];
        assert_eq!(without_implied(&needs), drawn);
    }

    #[test]
    fn a_circle_and_a_stage_that_needs_itself_end() {
        let needs = [vec![2], vec![0], vec![1], vec![3]];
        assert!(levels(&needs).iter().all(|level| *level < 4));
        assert_eq!(without_implied(&needs).len(), needs.len());
        let layers = Layers::new(&needs);
        assert_eq!(layers.places().len(), layers.level_of.len());
    }

    #[test]
    fn ordering_undoes_a_crossing() {
        // 0 → 3 and 1 → 2 cross when levels keep the order of the stages.
        let mut layers = Layers::new(&[vec![], vec![], vec![1], vec![0]]);
        layers.order();
        let [sources, sinks] = &layers.levels[..] else {
            unreachable!("two levels")
        };
        let partner = |stage: usize| if stage == 0 { 3 } else { 2 };
        assert_eq!(*sinks, [partner(sources[0]), partner(sources[1])]);
    }

    #[test]
    fn nodes_of_a_level_do_not_overlap() {
        let needs: Vec<_> = std::iter::once(vec![])
            .chain((1..9).map(|_| vec![0]))
            .collect();
        let mut layers = Layers::new(&needs);
        layers.order();
        let places = layers.places();
        let mut second: Vec<_> = layers.levels[1]
            .iter()
            .map(|stage| places[*stage])
            .collect();
        second.sort_by(f64::total_cmp);
        assert!(second.windows(2).all(|pair| pair[1] - pair[0] > 0.999));
    }
}
