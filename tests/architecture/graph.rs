//! Strongly connected components of a graph of names.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the strongly connected components with more than one member (Tarjan).
pub(crate) fn cycles<'a>(
    edges: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<BTreeSet<&'a str>> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from).or_default().insert(to);
        graph.entry(to).or_default();
    }
    let mut tarjan = Tarjan::new(&graph);
    for node in graph.keys() {
        if !tarjan.index.contains_key(node) {
            tarjan.visit(node);
        }
    }
    tarjan.found
}

struct Tarjan<'a, 'g> {
    graph: &'g BTreeMap<&'a str, BTreeSet<&'a str>>,
    index: BTreeMap<&'a str, usize>,
    low: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: Vec<BTreeSet<&'a str>>,
}

impl<'a, 'g> Tarjan<'a, 'g> {
    fn new(graph: &'g BTreeMap<&'a str, BTreeSet<&'a str>>) -> Self {
        let (index, low) = (BTreeMap::new(), BTreeMap::new());
        Self { graph, index, low, stack: Vec::new(), found: Vec::new() }
    }

    fn visit(&mut self, node: &'a str) {
        let number = self.index.len();
        self.index.insert(node, number);
        self.low.insert(node, number);
        self.stack.push(node);
        for &next in &self.graph[node] {
            let reached = match self.index.get(next) {
                None => {
                    self.visit(next);
                    self.low[next]
                }
                Some(&index) if self.stack.contains(&next) => index,
                Some(_) => continue,
            };
            let low = self.low[node].min(reached);
            self.low.insert(node, low);
        }
        if self.low[node] == number {
            let start = self.stack.iter().position(|it| *it == node).unwrap_or(0);
            let component: BTreeSet<_> = self.stack.drain(start..).collect();
            if component.len() > 1 {
                self.found.push(component);
            }
        }
    }
}
