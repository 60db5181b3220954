//! How files and components of a template use each other.
//!
//! Tera recurses for every include, component and block: a chain that is too long would overflow the
//! stack. Components that call themselves and chains that are too long are found here, before Tera sees
//! anything, whatever the values are.

use std::collections::BTreeMap;

use super::source::{Node, Source, Use};
use crate::model::Diagnostic;

/// The longest chain. A link takes about 10 KB of stack in a debug build; a thread has 2 MiB.
const MAX_DEPTH: usize = 32;

/// The first cycle, or the first chain that is too long.
pub(super) fn check(sources: &BTreeMap<String, Source>) -> Option<Diagnostic> {
    let mut graph = Graph::default();
    for (file, source) in sources {
        let file = Node::File(file.clone());
        // A block may be entered again through `super()`.
        graph.weights.insert(file.clone(), 1 + 2 * source.blocks);
        for used in &source.uses {
            let by = used.by.clone().map_or_else(|| file.clone(), Node::Component);
            graph.edges.entry(by).or_default().push((used, source));
        }
    }
    let nodes: Vec<Node> = graph.edges.keys().cloned().collect();
    nodes.iter().find_map(|node| graph.depth(node, &mut Vec::new()).err()).map(|problem| *problem)
}

#[derive(Default)]
struct Graph<'a> {
    edges: BTreeMap<Node, Vec<(&'a Use, &'a Source)>>,
    /// What a node adds to a chain; 1 unless it is here.
    weights: BTreeMap<Node, usize>,
    /// The longest chain from each node that was looked at.
    depths: BTreeMap<Node, usize>,
}

impl Graph<'_> {
    /// The longest chain from `node` on; `path` leads to it. Recurses no deeper than [`MAX_DEPTH`].
    fn depth(&mut self, node: &Node, path: &mut Vec<Node>) -> Result<usize, Box<Diagnostic>> {
        if let Some(depth) = self.depths.get(node) {
            return Ok(*depth);
        }
        path.push(node.clone());
        let weight = self.weights.get(node).copied().unwrap_or(1);
        let mut deepest = weight;
        for (used, source) in self.edges.get(node).cloned().unwrap_or_default() {
            let problem = |message: String| {
                Diagnostic::error("template/cycle", message)
                    .at(&source.path)
                    .span(source.span(used.at.clone()), &source.text)
            };
            if let Some(start) = path.iter().position(|seen| *seen == used.of) {
                let chain = path[start..].iter().chain([&used.of]);
                let chain: Vec<_> = chain.map(|node| format!("`{}`", node.name())).collect();
                let message = format!("the template uses itself: {}", chain.join(" → "));
                return Err(Box::new(problem(message).fix("remove one of the uses")));
            }
            let below =
                if path.len() < MAX_DEPTH { self.depth(&used.of, path)? } else { MAX_DEPTH };
            deepest = deepest.max(weight + below);
            if deepest > MAX_DEPTH {
                let message =
                    format!("files, components and blocks are nested more than {MAX_DEPTH} deep");
                return Err(Box::new(problem(message).fix("use what is needed directly")));
            }
        }
        path.pop();
        self.depths.insert(node.clone(), deepest);
        Ok(deepest)
    }
}

impl Node {
    fn name(&self) -> &str {
        match self {
            Self::File(name) | Self::Component(name) => name,
        }
    }
}
