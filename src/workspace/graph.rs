//! Walks over who depends on whom: the order in which packages are published, dependencies first and cycles as one group, and what can be
//! reached from a package.

use std::collections::{BTreeMap, VecDeque};

/// What can be reached from a number, on the shortest ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    start: usize,
    /// For each number the one before it, nearer to the start.
    before: BTreeMap<usize, usize>,
}

impl Reached {
    /// Walks from `start`; `next` gives what one step leads to.
    ///
    /// ```
    /// use pkgs_action::workspace::graph::Reached;
    /// let next = |number| match number { 0 => vec![1, 2], 1 => vec![3], 2 => vec![0], _ => vec![] };
    /// let reached = Reached::from(0, next);
    /// assert_eq!(reached.numbers().collect::<Vec<_>>(), [1, 2, 3]);
    /// assert_eq!(reached.way_to(3), [1]);
    /// ```
    #[must_use]
    pub fn from<N: IntoIterator<Item = usize>>(start: usize, next: impl Fn(usize) -> N) -> Reached {
        let mut before = BTreeMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(number) = open.pop_front() {
            for further in next(number) {
                if further != start && !before.contains_key(&further) {
                    before.insert(further, number);
                    open.push_back(further);
                }
            }
        }
        Reached { start, before }
    }

    /// What is reached, without the start, in order.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        self.before.keys().copied()
    }

    /// What lies between the start and `number`, nearest to the start first; nothing where it is not reached.
    #[must_use]
    pub fn way_to(&self, number: usize) -> Vec<usize> {
        let mut way = Vec::new();
        let mut next = self.before.get(&number);
        while let Some(between) = next.filter(|between| **between != self.start) {
            way.push(*between);
            next = self.before.get(between);
        }
        way.reverse();
        way
    }
}

/// Sorts the numbers `0..count` into waves: each number comes in a later wave than everything `dependencies` names for it, but for
/// members of a cycle, which share a wave. Within a wave the order is that of the numbers.
///
/// ```
/// use pkgs_action::workspace::graph::waves;
/// assert_eq!(waves(3, &[(0, 1), (1, 2)]), [vec![2], vec![1], vec![0]]);
/// assert_eq!(waves(3, &[(0, 1), (1, 0), (1, 2)]), [vec![2], vec![0, 1]]);
/// ```
pub fn waves(count: usize, dependencies: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut outgoing = vec![Vec::new(); count];
    for &(from, to) in dependencies {
        if from < count && to < count && from != to {
            outgoing[from].push(to);
        }
    }
    let component = components(&outgoing);
    let groups = component
        .iter()
        .copied()
        .max()
        .map_or(0, |highest| highest + 1);
    // Components come out dependencies first, so one pass in their order finds every level.
    let mut level = vec![0; groups];
    let mut members = vec![Vec::new(); groups];
    for (number, group) in component.iter().enumerate() {
        members[*group].push(number);
    }
    for group in 0..groups {
        level[group] = members[group]
            .iter()
            .flat_map(|number| &outgoing[*number])
            .filter(|to| component[**to] != group)
            .map(|to| level[component[*to]] + 1)
            .max()
            .unwrap_or(0);
    }
    let mut waves = vec![Vec::new(); level.iter().max().map_or(0, |deepest| deepest + 1)];
    for (group, numbers) in members.into_iter().enumerate() {
        waves[level[group]].extend(numbers);
    }
    for wave in &mut waves {
        wave.sort_unstable();
    }
    waves
}

/// The strongly connected component of each number, components numbered dependencies first (Tarjan's algorithm, without recursion).
fn components(outgoing: &[Vec<usize>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let count = outgoing.len();
    let (mut order, mut low, mut component) =
        (vec![UNSEEN; count], vec![0; count], vec![UNSEEN; count]);
    let (mut next_order, mut next_component) = (0, 0);
    let mut stack = Vec::new();
    for start in 0..count {
        if order[start] != UNSEEN {
            continue;
        }
        let mut path = vec![(start, 0)];
        while let Some((number, edge)) = path.pop() {
            if edge == 0 {
                order[number] = next_order;
                low[number] = next_order;
                next_order += 1;
                stack.push(number);
            } else {
                let child = outgoing[number][edge - 1];
                low[number] = low[number].min(low[child]);
            }
            let unseen = (edge..outgoing[number].len()).find(|edge| {
                let child = outgoing[number][*edge];
                if order[child] != UNSEEN && component[child] == UNSEEN {
                    low[number] = low[number].min(order[child]);
                }
                order[child] == UNSEEN
            });
            if let Some(edge) = unseen {
                path.push((number, edge + 1));
                path.push((outgoing[number][edge], 0));
                continue;
            }
            if low[number] == order[number] {
                while let Some(member) = stack.pop() {
                    component[member] = next_component;
                    if member == number {
                        break;
                    }
                }
                next_component += 1;
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dependencies_come_first_unless_they_depend_back(edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..40)) {
            let waves = waves(12, &edges);
            let mut place = [0; 12];
            for (index, wave) in waves.iter().enumerate() {
                for number in wave {
                    place[*number] = index;
                }
            }
            prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), 12);
            let mut reaches = [[false; 12]; 12];
            for &(from, to) in &edges { reaches[from][to] = true; }
            for middle in 0..12 { for from in 0..12 { for to in 0..12 { reaches[from][to] |= reaches[from][middle] && reaches[middle][to]; } } }
            for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
                if reaches[to][from] { prop_assert_eq!(place[from], place[to]); } else { prop_assert!(place[from] > place[to]); }
            }
        }
    }
}
